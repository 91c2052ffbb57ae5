"""Requests to object stores, repeated while they fail for a time."""

import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from prism_cli.errors import MissingDataError, PrerequisiteError, StorageError
from prism_cli.files.urls import ObjectName, without_secrets
from prism_cli.shards.remote.client import client, import_library

BLOCK_BYTES = 8 << 20
"""Bytes of one request; a block is held in memory."""
WHOLE_BYTES = 64 << 20
"""Size from which a file is uploaded in several parts, which takes no condition."""
RETRY_SECONDS = 300.0
"""Time after which a failing request is given up."""
_MAX_WAIT_SECONDS = 10.0
_STATUS = re.compile(r"status code: (\d{3})")
_AGAIN = (408, 409, 425, 429)
"""Answers below 500 that a later request may not get."""
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


_checks: list[Callable[[], None]] = []


@contextmanager
def stoppable(check: Callable[[], None]) -> Iterator[None]:
    """Call `check`, which raises to stop the run, between the requests of the block and while one
    is repeated."""
    _checks.append(check)
    try:
        yield
    finally:
        _checks.pop()


def _check_stop() -> None:
    if _checks:
        _checks[-1]()


def object_state(name: ObjectName) -> ObjectState | None:
    """Return the state of an object; None if there is none.

    Raises:
        StorageError: the store does not answer.
        PrerequisiteError: it refuses.
    """
    import_library(name)
    from obstore import head

    try:
        return _state(_repeated(name, lambda: head(client(name), name.key)))
    except FileNotFoundError:
        return None


def objects_below(folder: ObjectName) -> Iterator[tuple[str, ObjectState]]:
    """Yield (key, state) of the objects in a folder, its subfolders included.

    Raises: as `object_state`; MissingDataError for a missing bucket.
    """
    import_library(folder)
    from obstore import list as list_objects

    pages = list_objects(client(folder), prefix=folder.key.removesuffix("/") or None)
    while page := _repeated(folder, lambda: next(iter(pages), None)):
        for meta in page:
            yield meta["path"], _state(meta)


@cache
def check_bucket(name: ObjectName) -> None:
    """Make sure, once, that the bucket of an output exists.

    Raises:
        StorageError: it does not, or the store does not answer.
        PrerequisiteError: the store refuses.
    """
    try:
        next(objects_below(name), None)
    except MissingDataError as error:
        raise StorageError(f"{error}. Create it, or name another output with -o") from None


def read_blocks(name: ObjectName, state: ObjectState) -> Iterator[bytes]:
    """Yield the blocks of an object.

    Raises: as `_read_block`.
    """
    for start in range(0, state.size, BLOCK_BYTES):
        _check_stop()
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
        data = bytes(get(client(name), name.key, options=options).bytes())  # type: ignore[arg-type]
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
        found = _repeated(name, lambda: get(client(name), name.key, options={"head": True}))
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
            if (now and now.etag) != (replaced and replaced.etag):
                raise OtherState("changed")
        return put_object(
            client(name),
            name.key,
            _blocks(content) if in_parts and isinstance(content, Path) else content,
            mode="overwrite" if in_parts else mode,
            use_multipart=in_parts,
            chunk_size=BLOCK_BYTES,
            max_concurrency=4,
            attributes=metadata,
        )

    written = _repeated(name, write)
    return ObjectState(size, written["e_tag"] or "", written["version"] or "")


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb", buffering=0) as file:
        while block := file.read(BLOCK_BYTES):
            _check_stop()  # an error here aborts the upload
            yield block


def delete(name: ObjectName) -> None:
    """Remove an object, if there is one.

    Raises: as `object_state`.
    """
    from obstore import delete as delete_object

    _repeated(name, lambda: delete_object(client(name), name.key))


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
            until = time.monotonic() + wait * random.uniform(0.5, 1)
            while (left := until - time.monotonic()) > 0:
                _check_stop()
                time.sleep(min(left, 0.2))
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
