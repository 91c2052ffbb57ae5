"""Draw each kind of figure on matplotlib's axes; each function returns the height it needs.

The height is in pixels, and 0 if there is nothing to draw. `paint` has a colour for each name.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from prism_cli.reporting.figure_text import NARROW, colour_key, cut, number_ticks, use_ink, widest
from prism_cli.reporting.numbers import number
from prism_cli.reporting.page import Bar, Bars, HeatMap, Histogram, Line, Lines
from prism_cli.reporting.svg import STAND_IN

_KEYED = 8
"""With more names than these, each bar has its name beside it instead of a key."""
_MOST_BARS = 400
_DOTTED = 30
"""Curves of at most this many points show them."""
_SHADES = 6
"""Shades in the key of a matrix; its cells have continuous shades."""
_WIDEST_CELL = 112


def names_of(part: Bars | Lines | Histogram) -> list[str]:
    """Names that colours distinguish, in order of appearance."""
    if isinstance(part, Bars):
        names: Sequence[str] = [bar.name for _, bars in part.groups for bar in bars]
    elif isinstance(part, Lines):
        names = [line.name for line in part.lines]
    else:
        names = [name for name, _ in part.series]
    return list(dict.fromkeys(names))


def has_key(part: Bars) -> bool:
    """Return whether a key names the bars; else each has its name beside it."""
    return len(part.groups) > 1 and len(names_of(part)) <= _KEYED


def draw_bars(part: Bars, axes: Any, paint: Mapping[str, str], width: int) -> int:
    """Draw horizontal bars with their intervals, group below group, values at the right."""
    from matplotlib.transforms import blended_transform_factory

    keyed = has_key(part)
    above = len(part.groups) > 1 and (not keyed or width <= NARROW)
    shown, hidden = _first(part.groups)
    places: list[tuple[float, Bar]] = []
    headings: list[tuple[float, str]] = []
    y = 0.0
    for name, bars in shown:
        headings.append((y if above else y + max(len(bars) - 1, 0) / 2, name))
        y += 1.2 if above else 0
        places += [(y + line, bar) for line, bar in enumerate(bars)]
        y += max(len(bars), 1) + 0.7
    if not places:
        return 0
    beside = [] if keyed and above else headings if keyed else [(y, bar.name) for y, bar in places]
    drawn = [(y, bar) for y, bar in places if math.isfinite(bar.value)]
    axes.barh(
        [y for y, _ in drawn],
        [bar.value for _, bar in drawn],
        0.65,
        color=[paint[bar.name] for _, bar in drawn],
    )
    spans = [(y, bar.low, bar.high) for y, bar in drawn if _finite(bar.low) and _finite(bar.high)]
    if spans:
        for line, colour in ((3.2, "paper"), (1.2, "ink")):  # a halo keeps it clear of the bar
            axes.hlines(*zip(*spans, strict=True), color=STAND_IN[colour], linewidth=line)
    axes.set_ylim(y - 1, -0.7)
    axes.set_xlim(*_span(part))
    axes.set_yticks([])
    from_the_edge = blended_transform_factory(axes.figure.transFigure, axes.transData)
    beside_axes = {"va": "center_baseline", "transform": axes.get_yaxis_transform()}
    for place, name in headings if above else ():
        look = {"weight": 700, "va": "center_baseline", "transform": from_the_edge}
        axes.text(0.005, place, cut(name, width * 0.85), in_layout=False, **look)
    for place, name in beside:
        axes.text(-0.015, place, cut(name, width * 0.36), ha="right", **beside_axes)
    for place, bar in places:
        axes.text(1.015, place, number(bar.value, part.decimals), **beside_axes)
    number_ticks(axes.xaxis, width)
    axes.grid(axis="x")
    axes.axvline(0, color=STAND_IN["muted"], linewidth=1)
    more = f"\n{hidden:,} more are in the table" if hidden else ""
    axes.set_xlabel(cut(part.measure, width * 0.6) + more)
    keys = colour_key(axes, names_of(part) if keyed else [], paint, width)
    return round(17 * y) + 44 + keys + (14 if hidden else 0)


def _first(
    groups: Sequence[tuple[str, tuple[Bar, ...]]],
) -> tuple[list[tuple[str, tuple[Bar, ...]]], int]:
    """Return the groups cut to _MOST_BARS, and the number of bars left out."""
    room, shown = _MOST_BARS, []
    for name, bars in groups:
        if room > 0:
            shown.append((name, bars[:room]))
        room -= len(bars)
    return shown, max(0, -room)


def _span(part: Bars) -> tuple[float, float]:
    """Return the ends of the axis: 0 or the smallest value, and `top` or the largest value."""
    values = [
        value
        for _, bars in part.groups
        for bar in bars
        for value in (bar.value, bar.low, bar.high)
        if value is not None and math.isfinite(value)
    ]
    low, high = min([0.0, *values]), max([part.top or 0.0, *values])
    room = (high - low) * 0.03 or 1.0
    return low - room * (low < 0), high + room * (part.top is None or high > part.top)


def draw_lines(part: Lines, axes: Any, paint: Mapping[str, str], width: int) -> int:
    """Draw curves; the size of a point grows with its rows. The label of y is above the axis."""
    curves = [(line, points) for line in part.lines if (points := _points(line))]
    if not curves:
        return 0
    for line, points in curves:
        x, y, weights = zip(*points, strict=True)
        axes.plot(x, y, color=paint[line.name], linewidth=1.8)
        if len(points) <= _DOTTED:
            most = max(weights)
            plain = 64 if part.scatter else 24
            sizes = [16 + 110 * weight / most if line.weights else plain for weight in weights]
            look = {"color": paint[line.name], "edgecolors": STAND_IN["paper"], "linewidths": 1}
            axes.scatter(x, y, sizes, zorder=3, **look)
    for limits, setter in ((part.x_range, axes.set_xlim), (part.y_range, axes.set_ylim)):
        if limits is not None:
            room = (limits[1] - limits[0]) * 0.02
            setter(limits[0] - room, limits[1] + room)
    muted = {"color": STAND_IN["muted"], "linewidth": 1}
    if part.diagonal:
        axes.axline((0, 0), slope=1, linestyle=(0, (4, 3)), **muted)
    low, high = axes.get_xlim()
    if part.mark is not None and low <= part.mark[0] <= high:
        axes.axvline(part.mark[0], linestyle=(0, (1, 2)), **muted)
        right = part.mark[0] > (low + high) / 2
        axes.annotate(
            cut(part.mark[1], width * 0.3),
            (part.mark[0], 1),
            (-6 if right else 6, -4),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha="right" if right else "left",
            va="top",
            color=STAND_IN["muted"],
            fontsize=11,
        )
    number_ticks(axes.xaxis, width)
    number_ticks(axes.yaxis, width)
    axes.grid()
    axes.set_title(cut(part.y, width * 0.85))
    axes.set_xlabel(cut(part.x, width * 0.7))
    names = list(dict.fromkeys(line.name for line, _ in curves)) if len(part.lines) > 1 else []
    return 330 + colour_key(axes, names, paint, width)


def _points(line: Line) -> list[tuple[float, float, int]]:
    """Return (x, y, weight) of the points that can be drawn."""
    return [
        (x, y, weight)
        for (x, y), weight in zip(line.points, line.weights or [1] * len(line.points), strict=False)
        if math.isfinite(x) and math.isfinite(y) and weight
    ]


def draw_heat_map(part: HeatMap, axes: Any, _paint: Mapping[str, str], width: int) -> int:
    """Draw cells from pale to strong, with their values if there is room."""
    from matplotlib.colors import LinearSegmentedColormap

    if not part.rows or not part.columns:
        return 0
    rows, columns = range(len(part.rows)), range(len(part.columns))
    lines = [[*line, *[None] * len(columns)][: len(columns)] for line in part.values]
    cells = [[value if _finite(value) else math.nan for value in line] for line in lines]
    low, high = _scale(part)
    heat = STAND_IN["heat"]
    shades = LinearSegmentedColormap.from_list("heat", [f"{heat}00", heat])
    look = {"edgecolors": STAND_IN["paper"], "linewidth": 2, "zorder": 1}
    mesh = axes.pcolormesh(cells, cmap=shades, vmin=low, vmax=high, **look)
    axes.axvspan(0, len(columns), color=STAND_IN["raised"], zorder=0)
    row_names = [cut(name, width * 0.28) for name in part.rows]
    column_names = [cut(name, width * 0.25) for name in part.columns]
    room = width - widest([*row_names, part.row_title and "WW"]) - 20
    cell = min(_WIDEST_CELL, room / len(columns))
    axes.set_xlim(0, room / cell)
    axes.set_ylim(len(rows), 0)
    axes.set_yticks([row + 0.5 for row in rows], row_names)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    turned = widest(column_names) > cell - 8
    leaning = {"rotation": 45, "ha": "left", "rotation_mode": "anchor"} if turned else {}
    axes.set_xticks([column + 0.5 for column in columns], column_names, **leaning)
    use_ink([*axes.get_xticklabels(), *axes.get_yticklabels()])
    axes.set_xlabel(cut(part.column_title, width * 0.6), loc="left")
    axes.set_ylabel(cut(part.row_title, 28 * len(rows)))
    texts = [[number(value, part.decimals) for value in line] for line in lines]
    if max(map(widest, texts), default=0) <= cell - 6:
        for row, line in enumerate(texts):
            for column, text in enumerate(line):
                middle = {"ha": "center", "va": "center"}
                axes.text(column + 0.5, row + 0.5, text, fontsize=11, **middle)
    bar = axes.figure.colorbar(
        mesh,
        location="bottom",
        anchor=(0, 0),
        shrink=0.2,
        aspect=10,
        boundaries=[low + (high - low) * step / _SHADES for step in range(_SHADES + 1)],
        ticks=[low, high],
    )
    bar.ax.set_xticklabels([number(end, part.decimals) for end in (low, high)])
    bar.ax.set_facecolor(STAND_IN["raised"])
    bar.outline.set_visible(False)
    top = 0.72 * widest(column_names) if turned else 14
    return round(28 * len(rows) + top) + 64 + (22 if part.column_title else 0)


def _scale(part: HeatMap) -> tuple[float, float]:
    """Return the values of the palest and the strongest colour."""
    values = [
        value for line in part.values for value in line if value is not None and _finite(value)
    ]
    low, high = part.scale or (min(values, default=0.0), max(values, default=1.0))
    return (low, high) if high > low else (low, low + 1.0)


def draw_histogram(part: Histogram, axes: Any, paint: Mapping[str, str], width: int) -> int:
    """Draw bars of the series side by side in each bucket, with counts if there is room."""
    if not part.buckets:
        return 0
    names = [name for name, _ in part.series]
    most = max((count for _, counts in part.series for count in counts), default=0)
    step = (width - 20 - widest([f"{most:,}"])) / len(part.buckets)
    share = 0.82 / max(len(names), 1)
    longest = widest(f"{count:,}" for _, counts in part.series for count in counts)
    for place, (name, counts) in enumerate(part.series):
        lefts = [bucket + 0.09 + share * place for bucket in range(len(counts))]
        bars = axes.bar(lefts, counts, share * 0.94, align="edge", color=paint[name])
        if longest <= share * step * 1.15:
            axes.bar_label(bars, fmt="{:,.0f}", padding=2, fontsize=11, color=STAND_IN["muted"])
    axes.set_xlim(0, len(part.buckets))
    axes.set_ylim(0, most * 1.08 or 1.0)
    buckets = [cut(bucket, 110) for bucket in part.buckets]
    turned = widest(buckets) > step
    every = math.ceil(14 / step) if turned else 1
    leaning = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if turned else {}
    places = [bucket + 0.5 for bucket in range(len(buckets))]
    axes.set_xticks(places[::every], buckets[::every], **leaning)
    axes.locator_params(axis="y", nbins=5, integer=True)
    axes.yaxis.set_major_formatter(lambda value, _place: f"{value:,.0f}")
    axes.grid(axis="y")
    axes.axhline(0, color=STAND_IN["muted"], linewidth=1)
    axes.set_xlabel(cut(part.x, width * 0.7))
    below = 0.72 * widest(buckets) if turned else 14
    return round(250 + below) + colour_key(axes, names if len(names) > 1 else [], paint, width)


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
