"""Scores before and after a sample: lines for a terminal, and an SVG that stays text."""

import io
import math
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from prism_cli.reporting.sanitize import one_line
from prism_cli.reporting.svg import settings

Bins = Sequence[Mapping[str, Any]]
"""Bins with their score range ("0.00-0.05") and rows before and after."""
_BLOCKS = "▁▂▃▄▅▆▇█"
_PANELS = 12
_TITLE = 60
"""Characters of a source's name above its panel."""
_STYLE: dict[str, Any] = {
    "svg.hashsalt": "prism", "svg.fonttype": "none", "hatch.linewidth": 0.5,
    "text.parse_math": False,
}  # fmt: skip
_PALE, _EDGE, _DARK = "#eef2f7", "#8aa0bd", "#1f4e8c"


def terminal_lines(figures: Mapping[str, Any], encoding: str | None) -> list[str]:
    """Return a bar per bin, with the kept rows in a darker shade, and a line per source."""
    bins: Bins = figures["histogram"]
    kept, left = "█", "░"
    plain = not can_show(kept + left + _BLOCKS, encoding)
    if plain:
        kept, left = "#", "."
    width = max((len(f"{row['before']:,}") for row in bins), default=1)
    width = max(width, len("before"))
    room = max(10, min(60, shutil.get_terminal_size().columns - 2 * width - 18))
    most = max((row["before"] for row in bins), default=0) or 1
    lines = [
        f"histogram ({kept} after, {left} before):",
        f"  {'score':>9}  {'before':>{width}}  {'after':>{width}}",
    ]
    for row in bins:
        whole, part = (math.ceil(row[name] * room / most) for name in ("before", "after"))
        bar = kept * part + left * (whole - part)
        counts = f"{row['before']:>{width},}  {row['after']:>{width},}"
        lines.append(f"  {row['score']:>9}  {counts}  {bar}".rstrip())
    sources: Mapping[str, Bins] = figures.get("histograms", {})
    if sources:
        lines.append("by source, lowest scores first:")
    cells = []
    for name, own in sources.items():
        before, after = ([row[side] for row in own] for side in ("before", "after"))
        line = [name, f"{sum(before):,}", "before", f"{sum(after):,}", "after"]
        if not plain:
            line[3:3] = [_spark(before, before)]
            line.append(_spark(after, before))
        cells.append(line)
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        columns = [
            cell.rjust(width) if cell[0].isdigit() and place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        lines.append(f"  {'  '.join(columns)}".rstrip())
    return lines


def picture(figures: Mapping[str, Any]) -> Any:
    """Return a matplotlib figure with a panel for all rows and one per source, at most 12."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    panels = {"all rows": figures["histogram"], **figures.get("histograms", {})}
    shown = list(panels.items())[:_PANELS]
    columns = 1 if len(shown) == 1 else 2 if len(shown) < 5 else 3
    rows = -(-len(shown) // columns)
    size = (4.2 * columns, 2.7 * rows + 0.7) if len(shown) > 1 else (7.2, 3.6)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).flat
    for number, (name, bins) in enumerate(shown):
        axes, width = grid[number], 1 / len(bins)
        lefts = [index * width for index in range(len(bins))]
        before, after = ([row[side] for row in bins] for side in ("before", "after"))
        look = {"facecolor": _PALE, "edgecolor": _EDGE, "hatch": "////", "linewidth": 0.6}
        axes.bar(lefts, before, width, align="edge", label="before", **look)
        look = {"facecolor": _DARK, "edgecolor": "white", "linewidth": 0.8}
        axes.bar(lefts, after, width, align="edge", label="after", **look)
        title = f"{one_line(name, _TITLE)}: {sum(before):,} → {sum(after):,}"
        axes.set_title(title, fontsize=10)
        axes.set_xlim(0, 1)
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10], integer=True))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.tick_params(labelsize=8, labelbottom=number + columns >= len(shown))
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    for axes in grid[len(shown) :]:
        axes.set_axis_off()
    figure.supxlabel("score", fontsize=10)
    figure.supylabel("rows", fontsize=10)
    figure.suptitle("Scores before and after sampling", fontsize=12, x=0.01, ha="left")
    handles, labels = grid[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=2, frameon=False)
    return figure


def svg(figures: Mapping[str, Any]) -> bytes:
    """`picture` as SVG. Same figures, same bytes, regardless of the user's matplotlibrc."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    drawn = io.BytesIO()
    with settings(_STYLE):
        canvas: Any = FigureCanvasSVG(picture(figures))
        canvas.print_svg(drawn, metadata={"Date": None})
    return drawn.getvalue()


def _spark(counts: Sequence[int], scale: Sequence[int]) -> str:
    """Return a block per bin, scaled to the largest of `scale`; a blank for 0."""
    most = max(scale, default=0) or 1
    return "".join(
        _BLOCKS[math.ceil(count * len(_BLOCKS) / most) - 1] if count else " " for count in counts
    )


def can_show(text: str, encoding: str | None) -> bool:
    """Return whether a stream of that encoding can write `text`."""
    try:
        text.encode(encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True
