"""Objects as a table on standard output: ruled on a terminal, plain aligned columns elsewhere."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from prism_cli.reporting.visible import spelled

if TYPE_CHECKING:
    from rich.console import Console

_PLAIN_WIDTH = 2000
"""No cell is folded where the reader is a program."""


def plain_console(*, stderr: bool = False) -> "Console":
    """A console to which every string is text: no markup, no emoji names, and what would be
    invisible or steer the terminal is spelled. Styles come as rich's Text."""
    from rich.console import Console
    from rich.text import Text

    class PlainConsole(Console):
        def render_str(self, text: str, **how: Any) -> Text:
            return super().render_str(spelled(text), **how)

    return PlainConsole(stderr=stderr, markup=False, emoji=False, highlight=False)


def print_table(title: str, rows: Sequence[dict[str, Any]]) -> None:
    """One line an object; the columns are those of the first."""
    from rich import box
    from rich.table import Table

    console = plain_console()
    ruled = console.is_terminal
    if not ruled:
        console.width = _PLAIN_WIDTH
    table = Table(
        title=title, title_justify="left", box=box.ROUNDED if ruled else None, pad_edge=ruled
    )
    for name, value in rows[0].items():
        number = isinstance(value, int | float) or value is None
        table.add_column(name, justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    if ruled:
        console.print(table)
        return
    with console.capture() as plain:
        console.print(table)
    print("\n".join(line.rstrip() for line in plain.get().splitlines()))


@contextmanager
def stdout_console() -> "Iterator[Console]":
    """A console whose words go to standard output at the end, and not by rich, which would end a
    closed pipe with 1."""
    console = plain_console()
    with console.capture() as shown:
        yield console
    print(shown.get(), end="")


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.4f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
