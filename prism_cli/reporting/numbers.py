"""Tables of the numbers behind a figure, and numbers formatted for people."""

import math
from collections.abc import Sequence

from prism_cli.reporting.page import Bar, Bars, Cell, HeatMap, Histogram, Lines, Table

_SIDE_BY_SIDE = 5
"""With more names than these, bars are listed in rows instead of columns."""


def behind(part: Bars | Lines | HeatMap | Histogram) -> Table:
    """Return all numbers of a figure as a table."""
    if isinstance(part, Bars):
        return _of_bars(part)
    if isinstance(part, Lines):
        return _of_lines(part)
    if isinstance(part, HeatMap):
        rows = tuple((name, *values) for name, values in zip(part.rows, part.values, strict=False))
        return Table((part.row_title, *part.columns), rows, decimals=part.decimals)
    rows = tuple(
        (bucket, *(counts[place] if place < len(counts) else None for _, counts in part.series))
        for place, bucket in enumerate(part.buckets)
    )
    names = [name for name, _ in part.series]
    return Table((part.x, *(names if any(names) else ["count"])), rows)


def number(value: float | None, decimals: int) -> str:
    """Format a number: − for minus, thousands separators, – for None, <0.001 for tiny values."""
    if value is None or not math.isfinite(value):
        return "–" if value is None or math.isnan(value) else ("∞" if value > 0 else "−∞")
    shown = f"{abs(value):,.{decimals}f}"
    if value and not float(shown.replace(",", "")):
        return f"{'<' if value > 0 else '>−'}{10**-decimals:.{decimals}f}"
    return f"−{shown}" if value < 0 else shown


def cell(value: Cell, decimals: int) -> str:
    """Format the content of a cell."""
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return f"{value:,}".replace("-", "−")
    return number(value, decimals)


def span(interval: Sequence[float] | None, decimals: int) -> str | None:
    """Format an interval; None without one."""
    if interval is None:
        return None
    return f"{number(interval[0], decimals)} to {number(interval[1], decimals)}"


def is_number_column(cells: Sequence[Cell]) -> bool:
    """Return whether a column is aligned to the right."""
    present = [value for value in cells if value is not None]
    return bool(present) and not any(isinstance(value, str) for value in present)


def _of_bars(part: Bars) -> Table:
    names = list(dict.fromkeys(bar.name for _, bars in part.groups for bar in bars))
    spans = any(bar.low is not None for _, bars in part.groups for bar in bars)
    if len(part.groups) > 1 and len(names) <= _SIDE_BY_SIDE and not (spans and len(names) > 3):
        columns = [column for name in names for column in ([name, "95 %"] if spans else [name])]
        wide: list[tuple[Cell, ...]] = []
        for group, bars in part.groups:
            by_name = {bar.name: bar for bar in bars}
            line: list[Cell] = [group]
            for name in names:
                bar = by_name.get(name)
                line.append(float(bar.value) if bar else None)
                if spans:
                    line.append(bar_span(bar, part.decimals) if bar else None)
            wide.append(tuple(line))
        return Table(("", *columns), tuple(wide), decimals=part.decimals)
    grouped = len(part.groups) > 1
    head = (*(("group",) if grouped else ()), "", part.measure, *(("95 %",) if spans else ()))
    rows = tuple(
        (
            *((group,) if grouped else ()),
            bar.name,
            float(bar.value),
            *((bar_span(bar, part.decimals),) if spans else ()),
        )
        for group, bars in part.groups
        for bar in bars
    )
    return Table(head, rows, decimals=part.decimals)


def bar_span(bar: Bar, decimals: int) -> str | None:
    """Format the interval of a bar; None without one."""
    return None if bar.low is None or bar.high is None else span((bar.low, bar.high), decimals)


def with_interval(remark: str, bar: Bar) -> str:
    """Return a remark on a bar with its interval, if there is one."""
    interval = bar_span(bar, 3)
    return "; ".join(filter(None, (remark, interval and f"95 %: {interval}")))


def _of_lines(part: Lines) -> Table:
    if part.scatter:
        rows_of_points = tuple(
            (line.name, f"{x:,.6g}", y) for line in part.lines for x, y in line.points
        )
        return Table(("", part.x, part.y), rows_of_points, decimals=part.decimals)
    by_x = [
        {
            x: (float(y), weight)
            for (x, y), weight in zip(
                line.points, line.weights or [None] * len(line.points), strict=False
            )
        }
        for line in part.lines
    ]
    weighted = [bool(line.weights) for line in part.lines]
    head: list[str] = [part.x]
    for line, has in zip(part.lines, weighted, strict=True):
        head += [line.name or part.y, *(["rows"] if has else [])]
    rows = []
    for x in sorted({x for points in by_x for x in points}):
        line_cells: list[Cell] = [f"{x:.6g}"]
        for points, has in zip(by_x, weighted, strict=True):
            y, weight = points.get(x, (None, None))
            line_cells += [y, *([weight] if has else [])]
        rows.append(tuple(line_cells))
    return Table(tuple(head), tuple(rows), decimals=part.decimals)
