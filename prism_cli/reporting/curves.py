"""Curves with their names at their ends."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from prism_cli.reporting.canvas import NARROW, Canvas, finite, keys_height, label, width_of
from prism_cli.reporting.page import Line, Lines
from prism_cli.reporting.svg import STAND_IN

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_HEIGHT, _GAP = 330, 15
_DOTTED = 30
"""Curves of no more points show them."""


def draw_lines(part: Lines, colours: Mapping[str, str], width: int) -> "Figure":
    """y's words stand above the axis; names right of the last points, apart from one another, or,
    on narrow paper, in a key."""
    drawn = [(line, points) for line in part.lines if (points := _points(line))]
    told = [line.name for line, _ in drawn] if len(part.lines) > 1 else []
    keys = told if width <= NARROW else []
    names = [] if keys else [label(name, 180) for name in told]
    right = width_of(names) * 1.12 + 14 if names else 16  # they are bold
    left, top, bottom = 52, keys_height(keys, width) + 34, 50
    height = max(_HEIGHT if drawn else 40, len(names) * _GAP + 110) + top - 34
    canvas = Canvas(width, height, left=left, right=right, top=top, bottom=bottom)
    axes = canvas.axes
    everything = [point for _, points in drawn for point in points]
    axes.set_xlim(*_range(part.x_range, [x for x, _, _ in everything]))
    axes.set_ylim(*_range(part.y_range, [y for _, y, _ in everything]))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _place: f"{value:,.10g}".replace("-", "−"))
    axes.locator_params(nbins=6 if width > NARROW else 4)
    if not drawn:
        canvas.nothing()
        return canvas.figure
    canvas.grid("both")
    canvas.keys(keys, colours)
    if part.diagonal:
        lows, highs = zip(axes.get_xlim(), axes.get_ylim(), strict=True)
        ends = [max(lows), min(highs)]
        axes.plot(ends, ends, color=STAND_IN["muted"], linewidth=1, linestyle=(0, (4, 3)))
    if part.mark is not None and finite(part.mark[0]):
        axes.axvline(part.mark[0], color=STAND_IN["muted"], linewidth=1, linestyle=(0, (1, 2)))
        low, high = axes.get_xlim()
        at = left + (part.mark[0] - low) / (high - low) * (width - left - right)
        if left <= at <= width - right:
            side = "right" if at > width / 2 else "left"
            x = at + (-6 if side == "right" else 6)
            words = label(part.mark[1], width * 0.3)
            canvas.small(words, x, top + 8, side)
    for line, points in drawn:
        colour = STAND_IN[colours[line.name]]
        axes.plot(
            [x for x, _, _ in points],
            [y for _, y, _ in points],
            color=colour,
            linewidth=1.8,
            solid_joinstyle="round",
            clip_on=True,
        )
        if len(points) <= _DOTTED:
            axes.scatter(
                [x for x, _, _ in points],
                [y for _, y, _ in points],
                s=_areas(points),
                color=colour,
                edgecolors=STAND_IN["paper"],
                linewidths=1,
                zorder=3,
            )
    if names:
        ends_y = [axes.transData.transform((0, points[-1][1]))[1] for _, points in drawn]
        wanted = [min(max(height - y, top), height - bottom) for y in ends_y]
        for (line, _), name, y in zip(
            drawn, names, _apart(wanted, top, height - bottom), strict=True
        ):
            canvas.words(name, width - right + 8, y, colour=colours[line.name], weight=700)
    canvas.small(label(part.y, width), 0, top - 22)
    canvas.small(
        label(part.x, width * 0.7), left + (width - left - right) / 2, height - 12, "center"
    )
    return canvas.figure


def _points(line: Line) -> list[tuple[float, float, int | None]]:
    weights: Sequence[int | None] = line.weights or [None] * len(line.points)
    return [
        (x, y, weight)
        for (x, y), weight in zip(line.points, weights, strict=False)
        if finite(x) and finite(y) and weight != 0
    ]


def _areas(points: Sequence[tuple[float, float, int | None]]) -> list[float]:
    """In square pixels: by the rows behind a point, so that points of few rows look it."""
    most = max((weight or 0 for _, _, weight in points), default=0)
    return [
        24.0 if not most or weight is None else 16 + 110 * weight / most for _, _, weight in points
    ]


def _range(given: tuple[float, float] | None, values: Sequence[float]) -> tuple[float, float]:
    if given is not None:
        low, high = given
    else:
        low, high = (min(values), max(values)) if values else (0.0, 1.0)
    room = (high - low) * 0.02 or abs(high) * 0.1 or 0.5
    return low - room, high + room


def _apart(wanted: Sequence[float], top: float, bottom: float) -> list[float]:
    """Places near `wanted`, in their order, no two nearer than a line of words."""
    order = sorted(range(len(wanted)), key=wanted.__getitem__)
    places = [wanted[index] for index in order]
    for at in range(1, len(places)):
        places[at] = max(places[at], places[at - 1] + _GAP)
    limit = max(bottom, top + _GAP * (len(places) - 1))
    for at in range(len(places) - 1, -1, -1):
        places[at] = min(places[at], limit - _GAP * (len(places) - 1 - at))
    found = [0.0] * len(wanted)
    for index, place in zip(order, places, strict=True):
        found[index] = place
    return found
