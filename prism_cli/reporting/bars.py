"""Values in groups as level bars with their intervals, each with its figure at the right."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from prism_cli.reporting.canvas import (
    NARROW,
    Canvas,
    finite,
    keys_height,
    label,
    number,
    width_of,
)
from prism_cli.reporting.page import Bar, Bars
from prism_cli.reporting.svg import STAND_IN

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PITCH, _THICK, _BETWEEN, _HEADING = 17, 11, 12, 22
KEYED = 8
"""More names than these are written at their bars."""
_MOST = 400


def draw_bars(part: Bars, colours: Mapping[str, str], width: int) -> "Figure":
    """Groups from the top; where there are few names, colours with a key tell them apart."""
    names = list(dict.fromkeys(bar.name for _, bars in part.groups for bar in bars))
    keyed = len(part.groups) > 1 and len(names) <= KEYED
    above = len(part.groups) > 1 and (not keyed or width <= NARROW)  # groups' names, not beside
    groups, left_out = _first(part.groups)
    beside = names if not keyed else [] if above else [name for name, _ in groups]
    room = width * 0.36
    left = width_of([label(name, room) for name in beside]) + 14 if beside else 2
    right = width_of([number(bar.value, part.decimals) for _, bars in groups for bar in bars]) + 14
    key_names = [name for name in names if name] if keyed else []
    top = keys_height(key_names, width) + 4

    places: list[tuple[float, Bar]] = []
    headings: list[tuple[float, str]] = []
    y = top
    for name, bars in groups:
        lines = max(len(bars), 1)
        headings.append((y + (_HEADING if above else _PITCH * lines) / 2, name))
        y += _HEADING if above else 0
        places += [(y + _PITCH * (line + 0.5), bar) for line, bar in enumerate(bars)]
        y += _PITCH * lines + _BETWEEN
    plot_bottom = y - (_BETWEEN if groups else 0) + 4
    height = plot_bottom + 44 + (18 if left_out else 0)
    canvas = Canvas(width, height, left=left, right=right, top=top, bottom=height - plot_bottom)
    axes = canvas.axes
    axes.set_ylim(plot_bottom, top)
    axes.set_xlim(*_span(part))
    axes.set_yticks([])
    axes.xaxis.set_major_formatter(_plain_ticks)
    axes.locator_params(axis="x", nbins=6 if width > NARROW else 4)
    if not places:
        canvas.nothing()
        return canvas.figure
    canvas.grid("x")
    canvas.keys(key_names, colours)
    for y, name in headings:
        if above:
            canvas.words(label(name, width * 0.85), 0, y, weight=700)
        elif keyed:
            canvas.words(label(name, room), left - 10, y, anchor="right")
    for y, bar in places:
        _bar(axes, y, bar, STAND_IN[colours[bar.name]])
        if not keyed:
            canvas.words(label(bar.name, room), left - 10, y, anchor="right")
        canvas.words(number(bar.value, part.decimals), width, y, anchor="right")
    axes.axvline(0, color=STAND_IN["muted"], linewidth=1)
    middle = left + (width - left - right) / 2
    canvas.small(label(part.measure, width * 0.6), middle, plot_bottom + 34, "center")
    if left_out:
        words = f"{left_out:,} more stand in the table"
        canvas.small(words, middle, plot_bottom + 52, "center")
    return canvas.figure


def _bar(axes: Any, y: float, bar: Bar, colour: str) -> None:
    if not finite(bar.value):
        return
    axes.barh(y, bar.value, _THICK, color=colour, linewidth=0)
    if bar.low is None or bar.high is None or not (finite(bar.low) and finite(bar.high)):
        return
    for width, line in ((3.2, "paper"), (1.2, "ink")):  # a halo keeps it clear of the bar
        axes.plot(
            [bar.low, bar.high],
            [y, y],
            color=STAND_IN[line],
            linewidth=width,
            solid_capstyle="butt",
        )


def _first(
    groups: tuple[tuple[str, tuple[Bar, ...]], ...],
) -> tuple[list[tuple[str, tuple[Bar, ...]]], int]:
    """What there is room for, and how many bars are left out."""
    room, kept = _MOST, []
    for name, bars in groups:
        if room > 0:
            kept.append((name, bars[:room]))
        room -= len(bars)
    return kept, max(0, -room)


def _span(part: Bars) -> tuple[float, float]:
    ends = [
        end
        for _, bars in part.groups
        for bar in bars
        for end in (bar.value, bar.low, bar.high)
        if end is not None and finite(end)
    ]
    low = min([0.0, *ends])
    high = max([0.0, *ends]) if part.top is None else max([part.top, *ends])
    room = (high - low) * 0.03 or 1.0
    return low - room * (low < 0), high + room * (part.top is None or high > part.top)


def _plain_ticks(value: float, _place: object) -> str:
    return f"{value:,.10g}".replace("-", "−")
