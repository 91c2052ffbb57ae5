"""Progress on standard error: a bar on a terminal, one plain line a minute elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prism_cli.engine.heartbeat import Heartbeat
from prism_cli.engine.progress import Progress
from prism_cli.reporting.sanitize import escape_invisible

LINE_SECONDS = 60.0


class _Lines(Progress):
    def __init__(self, label: str, total: int | None, unit: str) -> None:
        super().__init__(label, total, unit)
        self._next = self.started + LINE_SECONDS

    def _changed(self) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + LINE_SECONDS
            print(self.line, file=sys.stderr, flush=True)


def announce_load(model: str, *, quiet: bool) -> None:
    """Print that a model is being loaded, which takes seconds to minutes."""
    if not quiet:
        print(escape_invisible(f"prism: loading {model} …"), file=sys.stderr, flush=True)


def show_notice(line: str, *, quiet: bool) -> None:
    """Print a line about what a run waits for."""
    if not quiet:
        print(escape_invisible(line), file=sys.stderr, flush=True)


@contextmanager
def show_progress(
    label: str,
    total: int | None,
    *,
    quiet: bool,
    record_path: Path | None = None,
    unit: str = "rows",
) -> Iterator[Progress]:
    """Show progress during the block: a bar on a terminal, lines elsewhere.

    Args:
        unit: what is counted.
        record_path: also write the heartbeat of that output.
    """
    if record_path is not None:
        with (
            show_progress(label, total, quiet=quiet, unit=unit) as progress,
            Heartbeat(record_path, progress.snapshot),
        ):
            yield progress
    elif quiet:
        yield Progress(label, total, unit)
    elif sys.stderr.isatty():
        from prism_cli.engine.progress_bar import progress_bar

        with progress_bar(label, total, unit) as bar:
            yield bar
    else:
        yield _Lines(label, total, unit)
