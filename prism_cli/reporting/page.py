"""What a report consists of: sections of figures, tables and words, as plain data.

Nothing here is drawn or escaped: every text may hold markup and control characters of a hostile
document, and `html.render_page` makes it harmless. Each figure is rendered with its own numbers as
a table beside it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

Cell = str | int | float | None
"""Of a table. Floats are shown with the table's decimals, None as a dash."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One value, with the interval around it where there is one."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Bars:
    """Values in groups, such as systems within data sets. One name has one colour in all groups.

    Attributes:
        measure: what the values are, with the unit; labels the axis.
        groups: (name, its bars).
        top: end of the axis; None: by the values. It begins at 0, or below where values do.
    """

    title: str
    measure: str
    groups: tuple[tuple[str, tuple[Bar, ...]], ...]
    top: float | None = None
    decimals: int = 3


@dataclass(frozen=True, slots=True)
class Line:
    """Points (x, y) in order of x; `weights`, where given, are counts of rows behind each point."""

    name: str
    points: tuple[tuple[float, float], ...]
    weights: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Lines:
    """Curves over one axis.

    Attributes:
        x, y: what the axes are, with units.
        diagonal: draw y = x, as a reliability curve needs it.
        x_range, y_range: None: by the points.
        mark: an x to mark with its words, such as (0.5, "verdict").
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


@dataclass(frozen=True, slots=True)
class HeatMap:
    """A matrix of values.

    Attributes:
        values: a row of values a row name; None where there is none.
        scale: what the palest and the strongest colour stand for; None: by the values.
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
        series: (name, a count a bucket).
    """

    title: str
    x: str
    buckets: tuple[str, ...]
    series: tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells under column names; columns of numbers are set to the right."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    title: str = ""
    decimals: int = 4


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Texts of rows for reading, such as a query with the document that it moved.

    Attributes:
        heading: one line, such as the query.
        facts: (name, value) in small, such as ("nDCG@10", "0.00 → 1.00").
        texts: (name, text) to read; long ones are folded open by the reader.
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
    """A heading, what it says in a sentence or two, and its parts in order."""

    title: str
    words: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """A report.

    Attributes:
        title: what was evaluated.
        headline: the result in one or two sentences, for who reads nothing else.
        highlights: (name, value, remark): the few figures that count.
        provenance: of metrics.json: command, versions, files, models; shown at the end.
    """

    title: str
    headline: str
    sections: tuple[Section, ...]
    highlights: tuple[tuple[str, str, str], ...] = ()
    provenance: Mapping[str, object] = field(default_factory=dict)
