"""Progress bar on a terminal: rows, rate, cost, time left."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as RichProgress
from rich.table import Column

from prism_cli.engine.progress import Progress
from prism_cli.reporting.sanitize import escape_invisible

_BAR_WIDTH = 20
_NARROW = 100
"""Terminal columns below which the bar is half as long."""


class _Bar(Progress):
    def __init__(self, label: str, total: int | None, unit: str, rich: RichProgress) -> None:
        super().__init__(label, total, unit)
        self._rich = rich
        self._task = rich.add_task(
            escape_invisible(label), total=total, note=escape_invisible(self.words)
        )

    def _changed(self) -> None:
        self._rich.update(
            self._task, completed=self.rows, total=self.total, note=escape_invisible(self.words),
            description=escape_invisible(self.label),
        )  # fmt: skip


@contextmanager
def progress_bar(label: str, total: int | None, unit: str = "rows") -> Iterator[Progress]:
    """Show a rich bar on stderr during the block."""
    console = Console(stderr=True)
    label_column = TextColumn(
        "{task.description}",
        markup=False,
        table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1),
    )
    with RichProgress(
        label_column,
        BarColumn(_BAR_WIDTH if console.width >= _NARROW else _BAR_WIDTH // 2),
        TextColumn("{task.fields[note]}", markup=False, table_column=Column(no_wrap=True)),
        console=console,
        transient=True,
    ) as rich:
        yield _Bar(label, total, unit, rich)
