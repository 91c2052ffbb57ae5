"""Which weights these are: SHA-256 over a model's directory, cheap the second time."""

import hashlib
import os
from pathlib import Path

from prism_cli.modeling.embedded import cache_dir, file_sha256


def directory_digest(path: Path) -> str:
    """SHA-256 (hex) over config and weight files; large files' hashes are kept in the cache."""
    digest = hashlib.sha256()
    names = ("config.json", "adapter_config.json")
    files = [path / name for name in names if (path / name).is_file()]
    for file in [*files, *sorted(path.glob("*.safetensors"))]:
        digest.update(f"{file.name} {cached_sha256(file)}\n".encode())
    return digest.hexdigest()


def cached_sha256(path: Path) -> str:
    """A file's SHA-256 (hex); remembered by place, size and time where it is large."""
    state = path.stat()
    if state.st_size < 1 << 20:
        return file_sha256(path)
    key = f"{path.resolve()}\0{state.st_size}\0{state.st_mtime_ns}\0{state.st_ino}"
    memo = cache_dir() / "hashes" / hashlib.sha256(key.encode()).hexdigest()[:32]
    try:
        kept = memo.read_text(encoding="ascii")
        if len(kept) == 64:
            return kept
    except (OSError, UnicodeDecodeError):
        pass
    digest = file_sha256(path)
    try:
        memo.parent.mkdir(parents=True, exist_ok=True)
        part = memo.with_name(f"{memo.name}.{os.getpid()}")
        part.write_text(digest, encoding="ascii")
        part.replace(memo)
    except OSError:
        pass  # a cache that cannot be written costs time only
    return digest
