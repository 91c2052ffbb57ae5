"""Signs of life in files: how often they are renewed, and how old they are for all machines."""

import os
from pathlib import Path

from prism_cli.shards.file_creation import new_attempt, open_private

EVERY_SECONDS = 5.0
"""Interval at which a living process renews its file."""
STALE_SECONDS = 4 * EVERY_SECONDS
"""Age of the file of a process that is gone."""


def seconds_since_change(path: Path) -> float | None:
    """Return the age of a file by the clock of its file system, which all machines share; None if
    there is none.

    Raises:
        OSError: a file beside it, which is removed at once, cannot be created.
    """
    probe = path.with_name(f".{path.name}.{new_attempt()}")
    try:
        os.close(open_private(probe))
        os.utime(probe)
        return probe.stat().st_mtime - path.stat().st_mtime
    except FileNotFoundError:
        return None
    finally:
        probe.unlink(missing_ok=True)
