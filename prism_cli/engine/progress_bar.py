"""The bar that people see: rows, rate, cost, time left."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

from prism_cli.engine.progress import Progress


class _Bar(Progress):
    def __init__(self, label: str, total: int | None, rich: RichProgress) -> None:
        super().__init__(label, total)
        self._rich = rich
        self._task = rich.add_task(escape(label), total=total, note="")

    def show(self, rows: int, usd: float) -> None:
        super().show(rows, usd)
        cost = f"${usd:.4f}" if usd else ""
        elapsed = self._rich.tasks[self._task].elapsed or 1e-9
        self._rich.update(self._task, completed=rows, note=f"{self.rows / elapsed:,.1f}/s {cost}")


@contextmanager
def progress_bar(label: str, total: int | None) -> Iterator[Progress]:
    """A rich bar on stderr for the block."""
    with RichProgress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as rich:
        yield _Bar(label, total, rich)
