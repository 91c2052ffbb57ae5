"""Size, SHA-256 and time of change of an input file or of a folder's documents."""

import hashlib
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from prism_cli.files.digest import StreamDigest
from prism_cli.shards.formats.documents import documents_in

_CHUNK_BYTES = 1 << 20
_TICK_NS, _COARSE_TICK_NS = 100_000_000, 2_000_000_000
"""Time within which two changes may leave equal times: above any kernel's tick, and for file
systems that keep whole seconds."""


@dataclass(frozen=True, slots=True)
class FileDigest:
    """Digest of a file when it was read.

    Attributes:
        sha256: of its `bytes`, as hex.
        line_ends: number of \\n bytes; meaningless for a compressed file.
        changed_ns: time of last change, in nanoseconds since the epoch.
        settled_ns: the same if any later change has another time; 0 if the file was read so soon
            after its change that a second one may go unnoticed, and for folders.
        inode_changed_ns: time of last change of the file or of its attributes, which no program
            can set back: it differs after an edit that keeps size and `changed_ns`.
    """

    bytes: int
    sha256: str
    line_ends: int
    changed_ns: int
    settled_ns: int = 0
    inode_changed_ns: int = field(default=0, compare=False)


def digest_file(
    path: Path, first_bytes: int | None = None, *, check: Callable[[], None] | None = None
) -> FileDigest:
    """Return the digest of a file, of its first bytes, or of the documents of a folder.

    Args:
        check: called again and again; what it raises ends the reading of a file.
    """
    if path.is_dir():
        return _digest_folder(path)
    digest, size, ends = StreamDigest(), 0, 0
    left = first_bytes if first_bytes is not None else sys.maxsize
    with path.open("rb", buffering=0) as file:
        now, state = time.time_ns(), os.fstat(file.fileno())
        while left > size and (chunk := file.read(min(left - size, _CHUNK_BYTES))):
            if check is not None:
                check()
            digest.update(chunk)
            size += len(chunk)
            ends += chunk.count(b"\n")
    changed = state.st_mtime_ns
    tick = _TICK_NS if changed % 1_000_000_000 else _COARSE_TICK_NS
    settled = changed if changed + tick < now else 0
    return FileDigest(size, digest.hexdigest(), ends, changed, settled, state.st_ctime_ns)


_digests: dict[tuple[str, int, int], FileDigest] = {}


def cached_digest(path: Path) -> FileDigest:
    """Return the digest of a file that many outputs depend on; it is read once in this process
    unless its size or time of last change differs."""
    key = (os.path.abspath(path), *size_and_change(path))
    digest = _digests.get(key)
    if digest is None:
        digest = digest_file(path)
        if digest.settled_ns:
            _digests[key] = digest
    return digest


def _digest_folder(folder: Path) -> FileDigest:
    """Return one digest of the names and bytes of all documents."""
    digest = hashlib.sha256()
    for path in documents_in(folder):
        name = path.relative_to(folder).as_posix()
        digest.update(f"{digest_file(path).sha256} {name}\n".encode(errors="surrogateescape"))
    size, changed = size_and_change(folder)
    return FileDigest(size, digest.hexdigest(), 0, changed)


def size_and_change(path: Path) -> tuple[int, int]:
    """Return bytes and last change (nanoseconds since the epoch) of a file or of documents."""
    if not path.is_dir():
        now = path.stat()
        return now.st_size, now.st_mtime_ns
    stats = [document.stat() for document in documents_in(path)]
    changed = max((stat.st_mtime_ns for stat in stats), default=0)
    return sum(stat.st_size for stat in stats), changed
