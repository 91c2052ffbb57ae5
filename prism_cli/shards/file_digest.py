"""Size, SHA-256 and time of change of an input file or of a folder's documents."""

import hashlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from prism_cli.files.digest import StreamDigest
from prism_cli.shards.formats.documents import documents_in

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class FileDigest:
    """Digest of a file when it was read.

    Attributes:
        sha256: of its `bytes`, as hex.
        line_ends: number of \\n bytes; meaningless for a compressed file.
        changed_ns: time of last change, in nanoseconds since the epoch.
    """

    bytes: int
    sha256: str
    line_ends: int
    changed_ns: int


def digest_file(path: Path, first_bytes: int | None = None) -> FileDigest:
    """Return the digest of a file, of its first bytes, or of the documents of a folder."""
    if path.is_dir():
        return _digest_folder(path)
    digest, size, ends = StreamDigest(), 0, 0
    left = first_bytes if first_bytes is not None else sys.maxsize
    with path.open("rb", buffering=0) as file:
        changed = os.fstat(file.fileno()).st_mtime_ns
        while left > size and (chunk := file.read(min(left - size, _CHUNK_BYTES))):
            digest.update(chunk)
            size += len(chunk)
            ends += chunk.count(b"\n")
    return FileDigest(size, digest.hexdigest(), ends, changed)


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
