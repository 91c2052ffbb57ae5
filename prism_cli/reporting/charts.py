"""Draw the figures of a report as SVG: bars, curves, matrices and histograms.

matplotlib lays them out; output is reproducible. Names may hold any text: they are truncated, and
no markup or formula in them is interpreted.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from prism_cli.reporting import svg
from prism_cli.reporting.colours import PLAIN, assigned
from prism_cli.reporting.drawings import (
    draw_bars,
    draw_heat_map,
    draw_histogram,
    draw_lines,
    has_key,
    names_of,
)
from prism_cli.reporting.figure_text import WIDTH
from prism_cli.reporting.page import Bars, HeatMap, Histogram, Lines
from prism_cli.reporting.sanitize import one_line
from prism_cli.reporting.svg import STAND_IN

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Chart = Bars | Lines | HeatMap | Histogram
_TITLE = 200


def draw(
    part: Chart, ident: str, colours: Mapping[str, str] | None = None, width: int = WIDTH
) -> bytes:
    """Return an <svg> element for a page, in the page's colours.

    Args:
        ident: prefix of every id inside, unique within the page.
        colours: name -> colour, from `page_colours`; None for a single figure.
        width: in pixels: WIDTH, or NARROW.

    Raises:
        MissingPackageError: matplotlib is not installed.
    """
    return _drawn(part, colours, width, lambda figure, title: svg.embedded(figure, ident, title))


def svg_file(part: Chart) -> bytes:
    """Return a self-contained SVG file."""
    return _drawn(part, None, WIDTH, svg.standing_alone)


def page_colours(parts: Iterable[object]) -> dict[str, str]:
    """Return name -> colour over all figures of a page.

    A name is plain if it is in one figure only, and that figure distinguishes no names by colour.
    """
    figures = [
        (part, names_of(part)) for part in parts if isinstance(part, Bars | Lines | Histogram)
    ]
    seen: dict[str, int] = {}
    for _, names in figures:
        for name in names:
            seen[name] = seen.get(name, 0) + 1
    coloured = []
    for part, names in figures:
        alike = len(names) < 2 or (isinstance(part, Bars) and not has_key(part))
        coloured.append([name for name in names if not alike or seen[name] > 1])
    chosen = assigned(coloured)
    return {name: chosen.get(name, PLAIN) for _, names in figures for name in names}


def _drawn(
    part: Chart,
    colours: Mapping[str, str] | None,
    width: int,
    finish: Callable[["Figure", str], bytes],
) -> bytes:
    from matplotlib.figure import Figure

    named = page_colours([part]) if colours is None else colours
    paint = {name: STAND_IN[colour] for name, colour in named.items()}
    draw_part: Any = {
        Bars: draw_bars,
        Lines: draw_lines,
        HeatMap: draw_heat_map,
        Histogram: draw_histogram,
    }
    with svg.settings():
        figure = Figure(figsize=(width / 72, 1), dpi=72, layout="constrained")
        axes: Any = figure.subplots()
        height = draw_part[type(part)](part, axes, paint, width)
        if not height:
            axes.clear()
            axes.set_axis_off()
            axes.text(0, 0.5, "no values", color=STAND_IN["muted"])
        figure.set_size_inches(width / 72, (height or 40) / 72)
        return finish(figure, one_line(part.title, _TITLE))
