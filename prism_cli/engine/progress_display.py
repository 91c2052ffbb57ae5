"""Progress on standard error: a bar on a terminal, one plain line a minute elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prism_cli.engine.live import LiveRecord
from prism_cli.engine.progress import Progress

LINE_SECONDS = 60.0


class _Lines(Progress):
    def __init__(self, label: str, total: int | None) -> None:
        super().__init__(label, total)
        self._next = self.started + LINE_SECONDS

    def _changed(self) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + LINE_SECONDS
            print(self.line, file=sys.stderr, flush=True)


@contextmanager
def shown_progress(
    label: str, total: int | None, *, quiet: bool, papers: Path | None = None
) -> Iterator[Progress]:
    """A progress for the block, in the manner that fits stderr.

    Args:
        papers: keep a live record of it for that output.
    """
    if papers is not None:
        with (
            shown_progress(label, total, quiet=quiet) as progress,
            LiveRecord(papers, progress.live),
        ):
            yield progress
    elif quiet:
        yield Progress(label, total)
    elif sys.stderr.isatty():
        from prism_cli.engine.progress_bar import progress_bar

        with progress_bar(label, total) as bar:
            yield bar
    else:
        yield _Lines(label, total)
