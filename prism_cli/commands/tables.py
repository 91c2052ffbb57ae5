"""Objects as a table: ruled or aligned on a terminal, plain aligned columns elsewhere.

No word is broken: a column is as wide as its longest word at least, and where the terminal is too
narrow for all columns, each row becomes a line of names and values.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from prism_cli.reporting.sanitize import escape_invisible

if TYPE_CHECKING:
    from rich.console import Console

    from prism_cli.reporting.figures import Figure

_PLAIN_WIDTH = 2000
"""No cell is folded where the reader is a program."""
_GAP = {True: 3, False: 1}
"""Columns between cells, with rules and without."""


def print_table(title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Print a table on standard output, a line per object; the first one names the columns."""
    with stdout_console() as console:
        show_table(console, rows, title=title, ruled=console.is_terminal)


def show_table(
    console: "Console", rows: Sequence[Mapping[str, Any]], *, title: str = "", ruled: bool = False
) -> None:
    """Print a table on a console.

    Args:
        rows: cells are texts of ours or of anybody: no markup in them is followed.
        ruled: with lines around the cells.
    """
    from rich import box
    from rich.cells import cell_len
    from rich.table import Table
    from rich.text import Text

    title, heads = escape_invisible(title), [escape_invisible(name) for name in rows[0]]
    cells = [[escape_invisible(_cell(row[name])) for name in rows[0]] for row in rows]
    right = [_is_number(value) for value in rows[0].values()]
    columns = list(zip(heads, *cells, strict=True))
    room = console.width - 1 - _GAP[ruled] * len(columns)
    widths = fitted(
        [[[cell_len(word) for word in cell.split()] for cell in column] for column in columns], room
    )
    if widths is None:
        if title:
            console.print(Text(title))
        for line in cells:
            pairs = zip(heads[1:], line[1:], strict=True)
            text = ", ".join(f"{head} {cell}" for head, cell in pairs if cell)
            console.print(Text(f"{line[0]}: {text}"))
        return
    table = Table(
        title=Text(title) if title else None,
        title_justify="left",
        box=box.ROUNDED if ruled else None,
        pad_edge=ruled,
    )
    for head, to_right, width in zip(heads, right, widths, strict=True):
        table.add_column(
            Text(head), justify="right" if to_right else "left", width=width, overflow="fold"
        )
    for line in cells:
        table.add_row(*map(Text, line))
    console.print(table)


def value_text(figure: "Figure") -> str:
    """Return a figure's value with three decimals."""
    return "-" if figure.value is None else f"{figure.value:.3f}"


def interval_text(figure: "Figure") -> str:
    """Return a figure's interval with three decimals."""
    return "-" if figure.interval is None else "{:.3f} to {:.3f}".format(*figure.interval)


def fitted(columns: Sequence[Sequence[Sequence[int]]], room: int) -> list[int] | None:
    """Widths of columns that hold each word whole and `room` together; None where there are none.

    Args:
        columns: column -> cell, the head first -> widths of its words. Heads are broken first.
    """
    least = [max((max(cell, default=0) for cell in column), default=0) for column in columns]
    widths = [max(map(_line_width, column)) for column in columns]
    if sum(widths) > room:
        widths = [
            max(low, *map(_line_width, cells)) if cells else low
            for low, (_, *cells) in zip(least, columns, strict=True)
        ]
    while sum(widths) > room:
        spare = [wide - low for wide, low in zip(widths, least, strict=True)]
        able = [place for place, width in enumerate(spare) if width > 0]
        if not able:
            return None
        widths[max(able, key=lambda place: widths[place])] -= 1
    return widths


def plain_console(*, stderr: bool = False, plain_width: int = _PLAIN_WIDTH) -> "Console":
    """A console to which every string is text: no markup, no emoji names, and what would be
    invisible or steer the terminal is escaped. Styles come as rich's Text.

    Args:
        plain_width: where the stream is no terminal.
    """
    from rich.console import Console
    from rich.text import Text

    class PlainConsole(Console):
        def render_str(self, text: str, **how: Any) -> Text:
            return super().render_str(escape_invisible(text), **how)

    console = PlainConsole(stderr=stderr, markup=False, emoji=False, highlight=False)
    if not console.is_terminal:
        console.width = plain_width
    return console


def _line_width(words: Sequence[int]) -> int:
    return sum(words) + max(len(words) - 1, 0)


@contextmanager
def stdout_console(plain_width: int = _PLAIN_WIDTH) -> "Iterator[Console]":
    """A console whose words go to standard output at the end, and not by rich, which would end a
    closed pipe with 1; `plain_width` as of `plain_console`."""
    console = plain_console(plain_width=plain_width)
    with console.capture() as shown:
        yield console
    if console.is_terminal:
        print(shown.get(), end="")
    else:
        print("".join(f"{line.rstrip()}\n" for line in shown.get().splitlines()), end="")


def _is_number(value: object) -> bool:
    if isinstance(value, str):
        return bool(value) and value.strip("+-0123456789.,% e") in ("", "to")
    return value is None or isinstance(value, int | float)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.4f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
