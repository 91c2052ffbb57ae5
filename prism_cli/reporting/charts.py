"""Figures of a report: bars, curves, matrices and histograms as SVG, the same bytes each time.

Names may hold anything: they are cut, and no mark-up or formula in them is followed.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from prism_cli.reporting import svg
from prism_cli.reporting.bars import KEYED, draw_bars
from prism_cli.reporting.canvas import WIDTH
from prism_cli.reporting.colours import PLAIN, assigned
from prism_cli.reporting.curves import draw_lines
from prism_cli.reporting.matrices import draw_heat_map, draw_histogram
from prism_cli.reporting.page import Bars, HeatMap, Histogram, Lines
from prism_cli.reporting.visible import one_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Chart = Bars | Lines | HeatMap | Histogram
_TITLE = 200


def draw(
    part: Chart, ident: str, colours: Mapping[str, str] | None = None, width: int = WIDTH
) -> bytes:
    """An <svg> element for a page of ours, in the page's colours.

    Args:
        ident: starts every id inside; no two figures of a page may share it.
        colours: name -> colour, of `page_colours`; None: this figure is alone.
        width: in pixels: WIDTH, or NARROW.

    Raises:
        MissingPackageError: matplotlib is not installed (by way of ModuleNotFoundError).
    """
    return _drawn(part, colours, width, lambda figure, title: svg.embedded(figure, ident, title))


def svg_file(part: Chart) -> bytes:
    """An SVG file that stands alone."""
    return _drawn(part, None, WIDTH, svg.standing_alone)


def page_colours(parts: Iterable[object]) -> dict[str, str]:
    """Name -> colour over all figures of a page.

    A name that no figure needs to tell apart from others, and that stands in one figure alone, is
    plain.
    """
    figures = [(part, named(part)) for part in parts if isinstance(part, Bars | Lines | Histogram)]
    seen: dict[str, int] = {}
    for _, names in figures:
        for name in names:
            seen[name] = seen.get(name, 0) + 1
    told = []
    for part, names in figures:
        alike = len(names) < 2 or (
            isinstance(part, Bars) and (len(part.groups) < 2 or len(names) > KEYED)
        )
        told.append([name for name in names if not alike or seen[name] > 1])
    chosen = assigned(told)
    return {name: chosen.get(name, PLAIN) for _, names in figures for name in names}


def named(part: Bars | Lines | Histogram) -> list[str]:
    """What colours tell apart, in order of appearance."""
    if isinstance(part, Bars):
        found: Sequence[str] = [bar.name for _, bars in part.groups for bar in bars]
    elif isinstance(part, Lines):
        found = [line.name for line in part.lines]
    else:
        found = [name for name, _ in part.series]
    return list(dict.fromkeys(found))


def _drawn(
    part: Chart,
    colours: Mapping[str, str] | None,
    width: int,
    finish: Callable[["Figure", str], bytes],
) -> bytes:
    colours = page_colours([part]) if colours is None else colours
    draw_part: Any = {
        Bars: draw_bars,
        Lines: draw_lines,
        HeatMap: draw_heat_map,
        Histogram: draw_histogram,
    }[type(part)]
    with svg.settings():
        figure: Figure = draw_part(part, colours, width)
        return finish(figure, one_line(part.title, _TITLE))
