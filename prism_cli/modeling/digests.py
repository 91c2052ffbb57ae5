"""SHA-256 digests of model directories; hashes of large files are cached."""

import hashlib
import os
from pathlib import Path

from prism_cli.files.digest import file_sha256
from prism_cli.modeling.embedded import cache_dir


def directory_digest(path: Path) -> str:
    """Return the SHA-256 (hex) over config and weight files."""
    digest = hashlib.sha256()
    names = ("config.json", "adapter_config.json")
    files = [path / name for name in names if (path / name).is_file()]
    for file in [*files, *sorted(path.glob("*.safetensors"))]:
        digest.update(f"{file.name} {cached_sha256(file)}\n".encode())
    return digest.hexdigest()


def cached_sha256(path: Path) -> str:
    """Return a file's SHA-256 (hex); that of a large file is cached by path, size and time."""
    state = path.stat()
    if state.st_size < 1 << 20:
        return file_sha256(path)
    key = f"{path.resolve()}\0{state.st_size}\0{state.st_mtime_ns}\0{state.st_ino}"
    memo = cache_dir() / "hashes" / hashlib.sha256(key.encode()).hexdigest()[:32]
    try:
        cached = memo.read_text(encoding="ascii")
        if len(cached) == 64:
            return cached
    except (OSError, UnicodeDecodeError):
        pass
    digest = file_sha256(path)
    try:
        memo.parent.mkdir(parents=True, exist_ok=True)
        part = memo.with_name(f"{memo.name}.{os.getpid()}")
        part.write_text(digest, encoding="ascii")
        part.replace(memo)
    except OSError:
        pass  # without a cache it only takes longer
    return digest
