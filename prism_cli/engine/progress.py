"""How far a run is: a bar on a terminal, one plain line a minute elsewhere; always on stderr."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prism_cli.engine.live import LiveRecord

LINE_SECONDS = 60.0


class Progress:
    """Counts rows of one shard; what is shown is up to the subclass.

    Args:
        label: what is worked on.
        total: rows expected; None where unknown.
    """

    def __init__(self, label: str, total: int | None) -> None:
        self.label = label
        self.total = total
        self.rows = 0
        self.usd = 0.0
        self.started = time.monotonic()

    def advance(self, rows: int, usd: float) -> None:
        """`rows` more are through; `usd` spent so far."""
        self.show(self.rows + rows, usd)

    def show(self, rows: int, usd: float) -> None:
        """So many are through; in whatever thread."""
        self.rows = rows
        self.usd = usd

    def live(self) -> dict[str, Any]:
        """For a record that another terminal reads."""
        return {"label": self.label, "total": self.total, "through": self.rows, "moved": self.rows}

    @property
    def line(self) -> str:
        """The state in plain words."""
        seconds = max(time.monotonic() - self.started, 1e-9)
        rate = self.rows / seconds
        of = f" of {self.total:,}" if self.total else ""
        left = (
            f", {(self.total - self.rows) / rate / 60:.1f} min left"
            if self.total and self.rows
            else ""
        )
        cost = f", {self.usd:.4f} USD" if self.usd else ""
        return f"{self.label}: {self.rows:,}{of} rows, {rate:,.1f} rows/s{cost}{left}"


class _Lines(Progress):
    def __init__(self, label: str, total: int | None) -> None:
        super().__init__(label, total)
        self._next = self.started + LINE_SECONDS

    def show(self, rows: int, usd: float) -> None:
        super().show(rows, usd)
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
