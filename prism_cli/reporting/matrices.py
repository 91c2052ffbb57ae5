"""Matrices of values as shaded cells, and counts by bucket as upright bars."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from prism_cli.reporting.canvas import (
    SIZE,
    WIDTH,
    Canvas,
    cells,
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

_ROW, _WIDEST, _NARROWEST = 28, 76, 9
_LETTER = 7.0


def draw_heat_map(part: HeatMap, colours: Mapping[str, str]) -> "Figure":
    """Cells from pale to strong; the value stands in each where there is room."""
    from matplotlib.patches import Rectangle

    rows = [label(name, 28) for name in part.rows]
    columns = [label(name, 24) for name in part.columns]
    left = min(width_of(rows), 190) + 14
    wide = max(_NARROWEST, min(_WIDEST, (WIDTH - left - 4) / max(len(columns), 1)))
    texts = [[number(value, part.decimals) for value in line] for line in part.values]
    widest = max((cells(text) for line in texts for text in line), default=0)
    written = widest * _LETTER * 11 / 12 <= wide - 4
    turned = max(map(cells, columns), default=0) * 6.4 > wide - 6
    top = (width_of(columns) * 0.72 + 16 if turned else 22) + (22 if part.column_title else 0)
    height = top + _ROW * max(len(rows), 1) + 6
    canvas = Canvas(height, left=left, right=0, top=top, bottom=6)
    axes = canvas.axes
    axes.set_xlim(0, WIDTH - left)
    axes.set_ylim(_ROW * max(len(rows), 1), 0)
    axes.set_xticks([])
    axes.set_yticks([])
    low, high = _scale(part)
    for row, line in enumerate(part.values[: len(rows)]):
        for column, value in enumerate(line[: len(columns)]):
            strength = 0.0
            if value is not None and finite(value):
                strength = min(max((value - low) / (high - low), 0.0), 1.0)
            corner = (column * wide + 1, row * _ROW + 1)
            axes.add_patch(Rectangle(corner, wide - 2, _ROW - 2, linewidth=0,
                                     facecolor=STAND_IN["raised"]))  # fmt: skip
            if strength:
                axes.add_patch(Rectangle(corner, wide - 2, _ROW - 2, linewidth=0,
                                         facecolor=STAND_IN["heat"], alpha=round(strength, 3)))  # fmt: skip
            if written:
                canvas.words(texts[row][column], left + (column + 0.5) * wide,
                             top + (row + 0.5) * _ROW, anchor="center", size=SIZE - 1)  # fmt: skip
    for row, name in enumerate(rows):
        canvas.words(name, left - 10, top + (row + 0.5) * _ROW, anchor="right")
    for column, name in enumerate(columns):
        if turned:
            canvas.words(name, left + (column + 0.5) * wide - 2, top - 7, turned=45,
                         vertical="baseline")  # fmt: skip
        else:
            canvas.words(name, left + (column + 0.5) * wide, top - 12, anchor="center")
    if part.column_title:
        canvas.words(label(part.column_title, 60), left, 8, size=SIZE - 1, colour="muted")
    if part.row_title:
        canvas.words(label(part.row_title, 30), left - 10, top - 12, anchor="right", size=SIZE - 1,
                     colour="muted")  # fmt: skip
    if not rows or not columns:
        canvas.words("no values", WIDTH / 2, top + _ROW / 2, anchor="center", colour="muted")
    return canvas.figure


def _scale(part: HeatMap) -> tuple[float, float]:
    if part.scale is not None:
        low, high = part.scale
    else:
        values = [
            value for line in part.values for value in line if value is not None and finite(value)
        ]
        low, high = (min(values), max(values)) if values else (0.0, 1.0)
    return (low, high) if high > low else (low, low + 1.0)


def draw_histogram(part: Histogram, colours: Mapping[str, str]) -> "Figure":
    """Bars of the series side by side in each bucket; counts above them where there is room."""
    names = [name for name, _ in part.series]
    keyed = names if len(names) > 1 else []
    most = max((count for _, counts in part.series for count in counts), default=0)
    left, bottom = width_of([f"{most:,}"]) + 14, 50
    top = keys_height(keyed) + 20
    step = (WIDTH - left - 6) / max(len(part.buckets), 1)
    buckets = [label(bucket, 16) for bucket in part.buckets]
    turned = width_of(buckets, SIZE - 1) > step - 6
    every = 1
    if turned:
        bottom += round(width_of(buckets, SIZE - 1) * 0.72)
        every = max(1, round(14 / step + 0.49))
    height = top + 200 + bottom
    canvas = Canvas(height, left=left, right=6, top=top, bottom=bottom)
    axes = canvas.axes
    axes.set_xlim(0, max(len(buckets), 1))
    axes.set_ylim(0, most * 1.02 or 1)
    axes.set_xticks([])
    axes.locator_params(axis="y", nbins=5, integer=True)
    axes.yaxis.set_major_formatter(lambda value, _place: f"{value:,.0f}")
    canvas.grid("y")
    canvas.keys(keyed, colours)
    share = 0.82 / max(len(names), 1)
    room = max(width_of([f"{count:,}" for _, counts in part.series for count in counts], 10), 1)
    for which, (name, counts) in enumerate(part.series):
        places = [place + 0.09 + share * which for place in range(len(counts))]
        axes.bar(places, counts, share * 0.94, align="edge", linewidth=0,
                 color=STAND_IN[colours[name]])  # fmt: skip
        if room <= share * step * 1.15:
            for place, count in zip(places, counts, strict=True):
                canvas.words(f"{count:,}", left + (place + share / 2) * step,
                             top + 200 * (1 - count / (most * 1.02 or 1)) - 8, anchor="center", size=10,
                             colour="muted")  # fmt: skip
    axes.axhline(0, color=STAND_IN["muted"], linewidth=1)
    for place, bucket in list(enumerate(buckets))[::every]:
        x, y = left + (place + 0.5) * step, top + 200 + 14
        if turned:
            canvas.words(bucket, x + 4, y - 4, anchor="right", size=SIZE - 1, turned=45,
                         colour="muted", vertical="baseline")  # fmt: skip
        else:
            canvas.words(bucket, x, y, anchor="center", size=SIZE - 1, colour="muted")
    canvas.words(label(part.x, 70), left + (WIDTH - left) / 2, height - 10, anchor="center",
                 size=SIZE - 1, colour="muted")  # fmt: skip
    if not most:
        canvas.words("no counts", WIDTH / 2, top + 100, anchor="center", colour="muted")
    return canvas.figure
