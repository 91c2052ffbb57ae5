"""One run per output: a kernel lock on `.OUT.lock`, gone with the process that held it.

The file itself stays: removing it would let two runs hold locks on two files of one name.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from prism_cli.errors import LockedError, StorageError


@contextmanager
def output_lock(output: Path) -> Iterator[None]:
    """Hold `output` for the block.

    Raises:
        LockedError: another process holds it; nothing was touched.
        StorageError: its folder cannot be made or written.
    """
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(output.with_name(f".{output.name}.lock"))
        lock.acquire(blocking=False)
    except Timeout:
        raise LockedError(
            f"{output}: another run is working on this output; this one stops without touching it"
        ) from None
    except OSError as error:
        raise StorageError(
            f"{output}: cannot be written: {error.strerror or error}; nothing was done. Name an "
            "output in a folder that can be written with -o"
        ) from error
    try:
        yield
    finally:
        lock.release()
