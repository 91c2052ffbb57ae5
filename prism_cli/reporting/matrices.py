"""Matrices of values as shaded cells, and counts by bucket as upright bars."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from prism_cli.reporting.canvas import (
    SIZE,
    Canvas,
    finite,
    keys_height,
    label,
    number,
    width_of,
)
from prism_cli.reporting.page import HeatMap, Histogram
from prism_cli.reporting.svg import STAND_IN

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ROW, _WIDEST = 28, 112
_SHADES = 6
_TALL = 200
_LEAN = 0.72
"""What turned words take of their length, both ways."""


def draw_heat_map(part: HeatMap, colours: Mapping[str, str], width: int) -> "Figure":
    """Cells from pale to strong; the value stands in each where there is room."""
    rows = [label(name, width * 0.28) for name in part.rows]
    columns = [label(name, width * 0.25) for name in part.columns]
    row_title = label(part.row_title, width * 0.28)
    left = max(width_of(rows), width_of([row_title], SIZE - 1)) + 14
    count = max(len(columns), 1)
    wide = min(_WIDEST, (width - left - 4) / count)
    turned = width_of(columns) > wide - 8
    if turned:  # the last name leans over the edge
        wide = min(wide, (width - left - width_of(columns[-1:]) * _LEAN) / (count - 0.5))
    top = (width_of(columns) * _LEAN + 16 if turned else 24) + (22 if part.column_title else 0)
    down = top + _ROW * max(len(rows), 1)
    canvas = Canvas(width, down + 34, left=left, right=0, top=top, bottom=34)
    canvas.axes.set_axis_off()
    texts = [[number(value, part.decimals) for value in line] for line in part.values]
    written = width_of([text for line in texts for text in line], SIZE - 1) <= wide - 6
    low, high = _scale(part)
    for row, line in enumerate(part.values[: len(rows)]):
        for column, value in enumerate(line[: len(columns)]):
            strength = 0.0
            if value is not None and finite(value):
                strength = min(max((value - low) / (high - low), 0.0), 1.0)
            x, y = left + column * wide, top + row * _ROW
            _shade(canvas, x + 1, y + 1, wide - 2, _ROW - 2, strength)
            if written:
                canvas.words(
                    texts[row][column], x + wide / 2, y + _ROW / 2, anchor="center", size=SIZE - 1
                )
    for row, name in enumerate(rows):
        canvas.words(name, left - 10, top + (row + 0.5) * _ROW, anchor="right")
    for column, name in enumerate(columns):
        x = left + (column + 0.5) * wide
        if turned:
            canvas.words(name, x - 2, top - 7, turned=45, vertical="baseline")
        else:
            canvas.words(name, x, top - 12, anchor="center")
    canvas.small(label(part.column_title, width * 0.6), left, 8)
    canvas.small(row_title, left - 10, top - 12, "right")
    if rows and columns:
        first, last = number(low, part.decimals), number(high, part.decimals)
        canvas.small(first, left, down + 22)
        start = left + width_of([first], SIZE - 1) + 8
        for shade in range(_SHADES):
            _shade(canvas, start + 16 * shade, down + 16, 16, 11, shade / (_SHADES - 1))
        canvas.small(last, start + 16 * _SHADES + 8, down + 22)
    else:
        canvas.nothing()
    return canvas.figure


def _shade(
    canvas: Canvas, x: float, y: float, width: float, height: float, strength: float
) -> None:
    canvas.box(x, y, width, height, "raised")
    if strength:
        canvas.box(x, y, width, height, "heat", alpha=round(strength, 3))


def _scale(part: HeatMap) -> tuple[float, float]:
    if part.scale is not None:
        low, high = part.scale
    else:
        every = [value for line in part.values for value in line]
        values = [value for value in every if value is not None and finite(value)]
        low, high = (min(values), max(values)) if values else (0.0, 1.0)
    return (low, high) if high > low else (low, low + 1.0)


def draw_histogram(part: Histogram, colours: Mapping[str, str], width: int) -> "Figure":
    """Bars of the series side by side in each bucket; counts above them where there is room."""
    names = [name for name, _ in part.series]
    keyed = names if len(names) > 1 else []
    most = max((count for _, counts in part.series for count in counts), default=0)
    left, bottom = width_of([f"{most:,}"]) + 14, 50
    top = keys_height(keyed, width) + 20
    step = (width - left - 6) / max(len(part.buckets), 1)
    buckets = [label(bucket, 110, SIZE - 1) for bucket in part.buckets]
    turned = width_of(buckets, SIZE - 1) > step - 6
    every = 1
    if turned:
        bottom += round(width_of(buckets, SIZE - 1) * _LEAN)
        every = max(1, round(14 / step + 0.49))
    height = top + _TALL + bottom if part.buckets else 40
    canvas = Canvas(width, height, left=left, right=6, top=top, bottom=bottom)
    axes = canvas.axes
    if not part.buckets:
        canvas.nothing()
        return canvas.figure
    axes.set_xlim(0, len(buckets))
    full = most * 1.02 or 1.0
    axes.set_ylim(0, full)
    axes.set_xticks([])
    axes.locator_params(axis="y", nbins=5, integer=True)
    axes.yaxis.set_major_formatter(lambda value, _place: f"{value:,.0f}")
    canvas.grid("y")
    canvas.keys(keyed, colours)
    share = 0.82 / max(len(names), 1)
    room = max(
        width_of([f"{count:,}" for _, counts in part.series for count in counts], SIZE - 1), 1
    )
    for which, (name, counts) in enumerate(part.series):
        places = [place + 0.09 + share * which for place in range(len(counts))]
        colour = STAND_IN[colours[name]]
        axes.bar(places, counts, share * 0.94, align="edge", linewidth=0, color=colour)
        if room <= share * step * 1.1:
            for place, count in zip(places, counts, strict=True):
                x = left + (place + share / 2) * step
                canvas.small(f"{count:,}", x, top + _TALL * (1 - count / full) - 9, "center")
    axes.axhline(0, color=STAND_IN["muted"], linewidth=1)
    for place, bucket in list(enumerate(buckets))[::every]:
        x, y = left + (place + 0.5) * step, top + _TALL + 14
        if turned:
            canvas.small(bucket, x + 4, y - 4, "right", turned=45)
        else:
            canvas.small(bucket, x, y, "center")
    canvas.small(label(part.x, width * 0.7), left + (width - left) / 2, height - 10, "center")
    return canvas.figure
