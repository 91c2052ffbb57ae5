"""What an input holds: size, digest, time of change; of a file or of a folder's documents."""

import hashlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from prism_cli.files.digest import StreamDigest
from prism_cli.shards.formats.documents import documents_in

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Measured:
    """What a file held when it was looked at.

    Attributes:
        sha256: of its `bytes`, as hex.
        line_ends: how many bytes are a line end; says nothing about a packed file.
        changed_ns: its time of last change, in nanoseconds since the epoch.
    """

    bytes: int
    sha256: str
    line_ends: int
    changed_ns: int


def measure(path: Path, first_bytes: int | None = None) -> Measured:
    """Look at a file, or at its first bytes; or at the documents of a folder."""
    if path.is_dir():
        return _measured_folder(path)
    digest, size, ends = StreamDigest(), 0, 0
    left = first_bytes if first_bytes is not None else sys.maxsize
    with path.open("rb", buffering=0) as file:
        changed = os.fstat(file.fileno()).st_mtime_ns
        while left > size and (chunk := file.read(min(left - size, _CHUNK_BYTES))):
            digest.update(chunk)
            size += len(chunk)
            ends += chunk.count(b"\n")
    return Measured(size, digest.hexdigest(), ends, changed)


def _measured_folder(folder: Path) -> Measured:
    """Names and bytes of its documents together."""
    whole = hashlib.sha256()
    for path in documents_in(folder):
        name = path.relative_to(folder).as_posix()
        whole.update(f"{measure(path).sha256} {name}\n".encode(errors="surrogateescape"))
    size, changed = size_and_change(folder)
    return Measured(size, whole.hexdigest(), 0, changed)


def size_and_change(path: Path) -> tuple[int, int]:
    """Bytes, and the last change in nanoseconds since the epoch; of a folder, of its documents."""
    if not path.is_dir():
        now = path.stat()
        return now.st_size, now.st_mtime_ns
    found = [one.stat() for one in documents_in(path)]
    return sum(one.st_size for one in found), max((one.st_mtime_ns for one in found), default=0)
