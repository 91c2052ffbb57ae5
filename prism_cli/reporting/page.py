"""Content of a report as plain data: sections of figures, tables and text.

Texts may hold markup and control characters of a hostile document; `html.render_page` escapes them.
Each figure is rendered with a table of its numbers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

Cell = str | int | float | None
"""Cell of a table. Floats are shown with the table's decimals, None as a dash."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A value with its interval, if there is one."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Bars:
    """Values in groups, such as systems within data sets. One name has one colour in all groups.

    Attributes:
        measure: label of the axis, with the unit.
        groups: (name, its bars).
        top: end of the axis; None: the largest value. It begins at 0, or at a negative value.
    """

    title: str
    measure: str
    groups: tuple[tuple[str, tuple[Bar, ...]], ...]
    top: float | None = None
    decimals: int = 3


@dataclass(frozen=True, slots=True)
class Line:
    """Points (x, y) in order of x; `weights`, if any, are counts of rows behind each point."""

    name: str
    points: tuple[tuple[float, float], ...]
    weights: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Lines:
    """Curves over one axis.

    Attributes:
        x, y: labels of the axes, with units.
        diagonal: draw y = x, for a reliability curve.
        x_range, y_range: None: the range of the points.
        mark: an x to mark, with its label, such as (0.5, "verdict").
        scatter: each line is one point, and is drawn; else lone points are named in the title.
    """

    title: str
    x: str
    y: str
    lines: tuple[Line, ...]
    diagonal: bool = False
    x_range: tuple[float, float] | None = None
    y_range: tuple[float, float] | None = None
    mark: tuple[float, str] | None = None
    decimals: int = 3
    scatter: bool = False


@dataclass(frozen=True, slots=True)
class HeatMap:
    """A matrix of values.

    Attributes:
        values: a row of values for each name of `rows`; None for a missing value.
        scale: values of the palest and the strongest colour; None: the range of the values.
    """

    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]
    row_title: str = ""
    column_title: str = ""
    scale: tuple[float, float] | None = None
    decimals: int = 2


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts by bucket, one series or several.

    Attributes:
        buckets: names in order, such as "0.0-0.1".
        series: (name, a count for each bucket).
    """

    title: str
    x: str
    buckets: tuple[str, ...]
    series: tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells under column names; columns of numbers are aligned to the right."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    title: str = ""
    decimals: int = 4


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Texts of a row, such as a query with a document.

    Attributes:
        heading: one line, such as the query.
        facts: (name, value) in small print, such as ("nDCG@10", "0.00 → 1.00").
        texts: (name, text); long ones are collapsed.
    """

    heading: str
    facts: tuple[tuple[str, str], ...] = ()
    texts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Excerpts:
    """Excerpts under one title."""

    title: str
    excerpts: tuple[Excerpt, ...]


@dataclass(frozen=True, slots=True)
class Note:
    """A paragraph. A warning stands out."""

    text: str
    warning: bool = False


Part = Bars | Lines | HeatMap | Histogram | Table | Excerpts | Note


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, a sentence or two of explanation, and its parts in order."""

    title: str
    words: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """A report.

    Attributes:
        title: what was evaluated.
        headline: the result in one or two sentences.
        highlights: (name, value, remark) of the main figures.
        provenance: command, versions, files and models from metrics.json; shown at the end.
    """

    title: str
    headline: str
    sections: tuple[Section, ...]
    highlights: tuple[tuple[str, str, str], ...] = ()
    provenance: Mapping[str, object] = field(default_factory=dict)
