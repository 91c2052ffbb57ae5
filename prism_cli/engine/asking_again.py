"""Runs that make several outputs anew (--overwrite, --fresh, --retry-final): the same command after
a stop goes on, and does not make the outputs again that the stopped run has finished.

From its start until it comes to its end, `again-ID` beside the ledger has its mark: the sequence
number from which replies count for all outputs of the command in a folder, also for those that are
added later; with --overwrite alone, a number at random.
"""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from hashlib import sha256
from pathlib import Path

from prism_cli.engine.jobs import Job
from prism_cli.engine.run_options import RunOptions
from prism_cli.shards.file_creation import create_file, new_attempt
from prism_cli.shards.state import ledger_path


def mark_path(options: RunOptions, home: Path | None) -> Path | None:
    """Return the path of the mark beside the ledger of an output; None if there is none to keep."""
    if not options.again or home is None:
        return None
    run = _run_id(options.again, os.path.abspath(home.parent))
    return ledger_path(home).with_name(f"again-{run}")


@cache
def _run_id(command: str, folder: str) -> str:
    return sha256(os.fsencode(f"{command} {os.path.realpath(folder)}")).hexdigest()[:16]


def mark_paths(options: RunOptions, jobs: Sequence[Job]) -> list[Path]:
    """Return the paths of the marks that exist."""
    paths = dict.fromkeys(mark_path(options, job.home) for job in jobs)
    return [path for path in paths if path and path.exists()]


def read_mark(path: Path | None) -> int | None:
    """Return the mark that an unfinished run has kept."""
    with suppress(OSError, ValueError):
        return int(path.read_bytes()) if path else None
    return None


def keep_mark(path: Path | None, take: Callable[[], int]) -> int:
    """Return the mark of the run: the kept one, or a new one, which is kept."""
    kept = read_mark(path)
    if kept is not None:
        return kept
    mark = take()
    if path is None:
        return mark
    part = path.with_name(f".{path.name}.{new_attempt()}")
    with suppress(OSError):  # not kept: the same command would ask again
        try:
            with os.fdopen(create_file(part, private=True), "wb") as file:
                file.write(b"%d" % mark)
            path.hardlink_to(part)  # never over that of another process of the run
        finally:
            part.unlink(missing_ok=True)
    kept = read_mark(path)
    return mark if kept is None else kept
