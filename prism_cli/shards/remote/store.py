"""Requests to object stores, repeated while they fail for a time."""

import os
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from prism_cli.errors import MissingDataError, MissingPackageError, PrerequisiteError, StorageError
from prism_cli.files.urls import ObjectName, without_secrets

if TYPE_CHECKING:
    from obstore.store import ObjectStore

BLOCK_BYTES = 8 << 20
"""Bytes of one request; a block is held in memory."""
WHOLE_BYTES = 64 << 20
"""Size from which a file is uploaded in several parts, which takes no condition."""
RETRY_SECONDS = 300.0
"""Time after which a failing request is given up."""
_REQUEST_SECONDS = 30
_MAX_WAIT_SECONDS = 10.0
_RETRIES = {
    "max_retries": 3,
    "retry_timeout": timedelta(seconds=2 * _REQUEST_SECONDS),
    "backoff": {
        "init_backoff": timedelta(seconds=0.2),
        "max_backoff": timedelta(seconds=5),
        "base": 2,
    },
}
"""Of the client library, so that one failed part does not repeat a whole upload."""
_STATUS = re.compile(r"status code: (\d{3})")
_AGAIN = (408, 409, 425, 429)
"""Answers below 500 that a later request may not get."""
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_T = TypeVar("_T")


@dataclass(frozen=True)
class ObjectState:
    """An object as the store lists it.

    Attributes:
        etag: changes with the object's content.
        version: generation, where the store has them.
        changed_ns: time of last change, in nanoseconds since the epoch.
    """

    size: int
    etag: str
    version: str = ""
    changed_ns: int = 0

    @property
    def condition(self) -> dict[str, str]:
        """Condition for a write that replaces only this state."""
        both = {"e_tag": self.etag, "version": self.version}
        return {name: value for name, value in both.items() if value}


class OtherState(Exception):
    """The object is not in the state that a request expects."""


def object_state(name: ObjectName) -> ObjectState | None:
    """Return the state of an object; None if there is none.

    Raises:
        StorageError: the store does not answer.
        PrerequisiteError: it refuses.
    """
    import_library(name)
    from obstore import head

    try:
        return _state(_repeated(name, lambda: head(_store(name), name.key)))
    except FileNotFoundError:
        return None


def objects_below(folder: ObjectName) -> Iterator[tuple[str, ObjectState]]:
    """Yield (key, state) of the objects in a folder, its subfolders included.

    Raises: as `object_state`; MissingDataError for a missing bucket.
    """
    import_library(folder)
    from obstore import list as list_objects

    pages = list_objects(_store(folder), prefix=folder.key.removesuffix("/") or None)
    while page := _repeated(folder, lambda: next(iter(pages), None)):
        for meta in page:
            yield meta["path"], _state(meta)


def read_blocks(name: ObjectName, state: ObjectState) -> Iterator[bytes]:
    """Yield the blocks of an object.

    Raises: as `_read_block`.
    """
    for start in range(0, state.size, BLOCK_BYTES):
        yield _read_block(name, state, start)


def _read_block(name: ObjectName, state: ObjectState, start: int) -> bytes:
    """Return up to BLOCK_BYTES of an object from `start`.

    Raises:
        OtherState: the object is not in `state` any more.
        StorageError, PrerequisiteError: as `object_state`.
    """
    from obstore import get

    end = min(start + BLOCK_BYTES, state.size)

    def block() -> bytes:
        options = {"if_match": state.etag, "range": (start, end)}
        data = bytes(get(_store(name), name.key, options=options).bytes())  # type: ignore[arg-type]
        if len(data) != end - start:
            raise _Cut(f"expected {end - start:,} bytes, found {len(data):,}")
        return data

    try:
        return _repeated(name, block)
    except FileNotFoundError:
        raise OtherState("was removed") from None


def attributes(name: ObjectName) -> Mapping[str, str]:
    """Return the metadata that `put` gave an object; {} if there is no object.

    Raises: as `object_state`.
    """
    from obstore import get

    try:
        found = _repeated(name, lambda: get(_store(name), name.key, options={"head": True}))
    except FileNotFoundError:
        return {}
    return {str(key): str(value) for key, value in found.attributes.items()}


def put(
    name: ObjectName, content: Path | bytes, replaced: ObjectState | None, **metadata: str
) -> ObjectState:
    """Write a whole object, and return its state.

    A file of more than WHOLE_BYTES is written in parts, after a look at the present object instead
    of under a condition; an aborted write leaves no object.

    Args:
        replaced: state of the object that is replaced; None to create one.

    Raises:
        OtherState: there is another object.
        StorageError, PrerequisiteError: as `object_state`.
    """
    from obstore import put as put_object

    size = content.stat().st_size if isinstance(content, Path) else len(content)
    in_parts = size > WHOLE_BYTES
    mode: Any = replaced.condition if replaced else "create"

    def write() -> Mapping[str, Any]:
        if in_parts:
            now = object_state(name)
            if (now and now.condition) != (replaced and replaced.condition):
                raise OtherState("changed")
        return put_object(
            _store(name),
            name.key,
            content,
            mode="overwrite" if in_parts else mode,
            use_multipart=in_parts,
            chunk_size=BLOCK_BYTES,
            max_concurrency=4,
            attributes=metadata,
        )

    written = _repeated(name, write)
    return ObjectState(size, written["e_tag"] or "", written["version"] or "")


def delete(name: ObjectName) -> None:
    """Remove an object, if there is one.

    Raises: as `object_state`.
    """
    from obstore import delete as delete_object

    _repeated(name, lambda: delete_object(_store(name), name.key))


def import_library(name: ObjectName) -> None:
    """Raise MissingPackageError if the client library is not installed."""
    try:
        import obstore  # noqa: F401
    except ImportError:
        raise MissingPackageError("obstore", "remote", where=str(name)) from None


@cache
def _store(name: ObjectName) -> "ObjectStore":
    if name.key:
        return _store(name._replace(key=""))
    from obstore.store import from_url

    client: dict[str, Any] = {"timeout": f"{_REQUEST_SECONDS}s", "connect_timeout": "10s"}
    settings: dict[str, Any] = {"client_options": client, "retry_config": _RETRIES}
    if name.scheme == "s3":
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL", "")
        settings |= {"endpoint": endpoint} if endpoint else {}
        client |= {"allow_http": True} if urlsplit(endpoint).hostname in _LOOPBACK else {}
        settings |= _profile()
    store: ObjectStore = from_url(f"{name.scheme}://{name.bucket}", **settings)
    return store


def _profile() -> dict[str, Any]:
    """Return credentials and region of the user's AWS profile, unless the environment has a key."""
    if os.environ.get("AWS_ACCESS_KEY_ID"):
        return {}
    try:
        from boto3 import Session
        from obstore.auth.boto3 import Boto3CredentialProvider
    except ImportError:
        return {}
    session = Session()
    if session.get_credentials() is None:
        return {}
    return {"credential_provider": Boto3CredentialProvider(session)}


class _Cut(Exception):
    """A body that ended early."""


def _repeated(name: ObjectName, request: Callable[[], _T]) -> _T:
    """Return what a request returns; repeat it while the store fails for a time.

    Raises:
        FileNotFoundError: no such object.
        OtherState: the condition of the request does not hold.
        MissingDataError: no such bucket.
        PrerequisiteError: the store refuses.
        StorageError: it failed for RETRY_SECONDS.
    """
    from obstore import exceptions

    refusals = (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError)
    deadline = time.monotonic() + RETRY_SECONDS
    wait, tries = 0.2, 0
    while True:
        tries += 1
        try:
            return request()
        except (exceptions.AlreadyExistsError, exceptions.PreconditionError):
            raise OtherState("changed") from None
        except refusals as error:
            raise PrerequisiteError(
                f"{name}: the store refuses: {_words(error)}. Nothing was published; check the "
                "credentials in the environment and their rights to read, list and write there "
                "(`prism help storage`)"
            ) from None
        except FileNotFoundError as error:
            if "NoSuchBucket" in str(error):
                raise _no_bucket(name) from None
            raise
        except (exceptions.BaseError, _Cut, OSError) as error:
            match = _STATUS.search(str(error))
            status = int(match[1]) if match else 500
            if "NoSuchBucket" in str(error):
                raise _no_bucket(name) from None
            over = time.monotonic() + wait > deadline
            if over or (status < 500 and status not in _AGAIN):
                raise StorageError(
                    f"{name}: the store failed {tries} time{'s' * (tries != 1)}: {_words(error)}. "
                    "Nothing was published and the replies so far are kept; run the same command "
                    "again when the store answers"
                ) from None
            time.sleep(wait * random.uniform(0.5, 1))
            wait = min(2 * wait, _MAX_WAIT_SECONDS)


def _no_bucket(name: ObjectName) -> MissingDataError:
    return MissingDataError(f"{name}: there is no bucket {name.bucket}; nothing was done")


def _words(error: BaseException) -> str:
    """Return the first line of an error, without addresses, which may hold a signature."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return without_secrets(re.sub(r"https?://\S+", "the store", line))[:300]


def _state(meta: Mapping[str, Any]) -> ObjectState:
    changed = int(meta["last_modified"].timestamp() * 1e9)
    etag = meta["e_tag"] or meta["version"] or f"{meta['size']}-{changed}"
    return ObjectState(meta["size"], etag, meta["version"] or "", changed)
