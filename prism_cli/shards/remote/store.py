"""Objects in stores: their states, and whole reads and writes."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from prism_cli.errors import MissingDataError, StorageError
from prism_cli.files.urls import ObjectName
from prism_cli.shards.remote.client import client, import_library
from prism_cli.shards.remote.refusals import error_status
from prism_cli.shards.remote.requests import Cut, OtherState, check_stop, repeated

_LAST_KEY = "\U0010ffff"
BLOCK_BYTES = 8 << 20
"""Bytes of one request; a block is held in memory."""
WHOLE_BYTES = 64 << 20
"""Size from which a file is uploaded in several parts, which takes no condition."""


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


def object_state(name: ObjectName) -> ObjectState | None:
    """Return the state of an object; None if there is none.

    Raises:
        StorageError: the store does not answer.
        PrerequisiteError: it refuses.
    """
    import_library(name)
    try:
        return _state(repeated(name, "reading", lambda: _head(name)))
    except FileNotFoundError:
        return None


def _head(name: ObjectName) -> Any:
    from obstore import exceptions, get, head

    try:
        return head(client(name), name.key)
    except exceptions.BaseError as error:
        if error_status(str(error)) in (400, 401, 403):  # why is said only in a body
            get(client(name), name.key, options={"range": (0, 1)})
        raise


def objects_below(folder: ObjectName, last: str = "") -> Iterator[tuple[str, ObjectState]]:
    """Yield (key, state) of the objects in a folder, its subfolders included.

    Args:
        last: leave out the keys up to this one.

    Raises: as `object_state`; MissingDataError for a missing bucket.
    """
    import_library(folder)
    from obstore import list as list_objects

    prefix = folder.key.removesuffix("/") or None
    pages: Any = None

    def next_page() -> Any:
        nonlocal pages
        stream, pages = pages, None  # a stream ends with its first error
        if stream is None:
            stream = iter(list_objects(client(folder), prefix=prefix, offset=last or None))
        page = next(stream, None)
        pages = stream
        return page

    while page := repeated(folder, "listing", next_page):
        for meta in page:
            yield meta["path"], _state(meta)
        last = page[-1]["path"]


def objects_in(folder: ObjectName) -> dict[str, tuple[str, ObjectState]]:
    """Return (key, state) of the objects in a folder, without its subfolders, by name.

    Raises: as `objects_below`.
    """
    import_library(folder)
    from obstore import list_with_delimiter

    prefix = folder.key.removesuffix("/") or None
    found = repeated(folder, "listing", lambda: list_with_delimiter(client(folder), prefix=prefix))
    return {
        meta["path"].rpartition("/")[2]: (meta["path"], _state(meta)) for meta in found["objects"]
    }


@cache
def check_bucket(name: ObjectName) -> None:
    """Make sure, once, that the bucket of an output exists.

    Raises:
        StorageError: it does not, or the store does not answer.
        PrerequisiteError: the store refuses.
    """
    try:
        next(objects_below(name, _LAST_KEY), None)
    except MissingDataError as error:
        raise StorageError(f"{error}. Create it, or name another output with -o") from None


def read_blocks(name: ObjectName, state: ObjectState) -> Iterator[bytes]:
    """Yield the blocks of an object.

    Raises: as `_read_block`.
    """
    for start in range(0, state.size, BLOCK_BYTES):
        check_stop()
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
            raise Cut(f"expected {end - start:,} bytes, found {len(data):,}")
        return data

    try:
        return repeated(name, "reading", block)
    except FileNotFoundError:
        raise OtherState("was removed") from None


def attributes(name: ObjectName) -> Mapping[str, str]:
    """Return the metadata that `put` gave an object; {} if there is no object.

    Raises: as `object_state`.
    """
    from obstore import get

    try:
        found = repeated(
            name, "reading", lambda: get(client(name), name.key, options={"head": True})
        )
    except FileNotFoundError:
        return {}
    return {str(key): str(value) for key, value in found.attributes.items()}


def put(
    name: ObjectName,
    content: Path | bytes,
    replaced: ObjectState | Literal["any"] | None,
    *,
    once: bool = False,
    check: Callable[[], None] = lambda: None,
    **metadata: str,
) -> ObjectState:
    """Write a whole object, and return its state.

    A file of more than WHOLE_BYTES is written in parts, after a look at the present object instead
    of under a condition; an aborted write leaves no object.

    Args:
        replaced: state of the object that is replaced; "any"; None to create one.
        once: raise at the first failure.
        check: called between the parts of a file; an error aborts the write.
        metadata: of the object, by name.

    Raises:
        OtherState: there is another object.
        StorageError, PrerequisiteError: as `object_state`.
    """
    from obstore import put as put_object

    size = content.stat().st_size if isinstance(content, Path) else len(content)
    in_parts = size > WHOLE_BYTES
    expected = replaced if isinstance(replaced, ObjectState) else None
    mode: Any = expected.condition if expected else "create"

    def write() -> Mapping[str, Any]:
        if in_parts and replaced != "any":
            now = object_state(name)
            if (now and now.etag) != (expected and expected.etag):
                raise OtherState("changed")
        return put_object(
            client(name),
            name.key,
            _blocks(content, check) if in_parts and isinstance(content, Path) else content,
            mode="overwrite" if in_parts or replaced == "any" else mode,
            use_multipart=in_parts,
            chunk_size=BLOCK_BYTES,
            max_concurrency=4,
            attributes=metadata,
        )

    try:
        written = repeated(name, "writing", write, once=once, may_take_long=in_parts)
    except FileNotFoundError:
        raise OtherState("was removed") from None
    return ObjectState(size, written["e_tag"] or "", written["version"] or "")


def _blocks(path: Path, check: Callable[[], None]) -> Iterator[bytes]:
    with path.open("rb", buffering=0) as file:
        while block := file.read(BLOCK_BYTES):
            check_stop()  # an error here aborts the upload
            check()
            yield block


def delete(name: ObjectName) -> None:
    """Remove an object, if there is one.

    Raises: as `object_state`.
    """
    from obstore import delete as delete_object

    repeated(name, "deleting", lambda: delete_object(client(name), name.key))


def _state(meta: Mapping[str, Any]) -> ObjectState:
    changed = int(meta["last_modified"].timestamp() * 1e9)
    etag = meta["e_tag"] or meta["version"] or f"{meta['size']}-{changed}"
    return ObjectState(meta["size"], etag, meta["version"] or "", changed)
