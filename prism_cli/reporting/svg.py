"""Write a matplotlib figure as SVG for a page with a strict Content-Security-Policy.

The SVG has no style attribute, <style> or metadata, and its ids belong to one figure. Figures are
drawn with stand-in colours, which the page's CSS variables or the colours of a file replace.
"""

import io
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING, Any

from prism_cli.reporting.colours import LIGHT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STAND_IN = {name: f"#fed{number:03x}" for number, name in enumerate(LIGHT)}
"""Colour name -> colour to draw with."""
_RC: dict[str, Any] = {
    "svg.fonttype": "none", "svg.hashsalt": "prism", "text.parse_math": False,
    "path.simplify": False, "font.family": "sans-serif", "font.size": 12,
    "text.color": STAND_IN["ink"], "axes.labelcolor": STAND_IN["muted"], "axes.labelsize": 11,
    "axes.labelpad": 7, "axes.titlecolor": STAND_IN["muted"], "axes.titlesize": 11,
    "axes.titlelocation": "left", "axes.titlepad": 9, "axes.facecolor": "none",
    "figure.facecolor": "none", "savefig.facecolor": "auto",
    "axes.spines.left": False, "axes.spines.right": False, "axes.spines.top": False,
    "axes.spines.bottom": False, "axes.axisbelow": True, "axes.xmargin": 0.02,
    "axes.ymargin": 0.02, "axes.formatter.useoffset": False,
    "grid.color": STAND_IN["rule"], "xtick.labelsize": 11, "ytick.labelsize": 11,
    "xtick.labelcolor": STAND_IN["muted"], "ytick.labelcolor": STAND_IN["muted"],
    "xtick.color": STAND_IN["rule"], "ytick.color": STAND_IN["rule"],
    "xtick.major.size": 0, "ytick.major.size": 0, "xtick.major.pad": 6, "ytick.major.pad": 6,
    "legend.frameon": False, "legend.handlelength": 1, "legend.handletextpad": 0.5,
    "legend.columnspacing": 1.5, "legend.borderaxespad": 0, "legend.borderpad": 0.25,
}  # fmt: skip
_NO_METADATA = dict.fromkeys(("Date", "Creator", "Format", "Type"))
_MARGIN = 16 / 72
"""Margin of a self-contained SVG file, in inches of 72 pixels."""
_OF_A_FILE = 'xmlns="http://www.w3.org/2000/svg" font-family="system-ui, sans-serif" '
_UNWANTED = re.compile(r"<metadata>.*?</metadata>|<defs>\s*<style.*?</style>\s*</defs>", re.DOTALL)
_BETWEEN_TAGS = re.compile(r">\s+<")
_TAG = re.compile(r"<[^>]+>")
_COLOUR = re.compile(r"#fed[0-9a-f]{3}")


@contextmanager
def settings(style: dict[str, Any] = _RC) -> Iterator[None]:
    """Draw with `style`, by default the report's, regardless of the user's matplotlibrc."""
    import matplotlib.style

    with matplotlib.style.context(["default", style], after_reset=True), warnings.catch_warnings():
        # matplotlib's font lacks some scripts; the reader's browser has them.
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        # Stacked accents may leave no room for the axes; the numbers are in the table.
        warnings.filterwarnings("ignore", "constrained_layout not applied", UserWarning)
        yield


def embedded(figure: "Figure", ident: str, title: str) -> bytes:
    """Return an <svg> element that takes its colours from the page."""
    paint = {STAND_IN[name]: f"var(--{name})" for name in LIGHT}
    return _cleaned(figure, ident, title, paint)


def standing_alone(figure: "Figure", title: str) -> bytes:
    """Return an SVG file in the light colours."""
    figure.set_facecolor(STAND_IN["paper"])
    width, height = figure.get_size_inches()
    figure.set_size_inches(width + 2 * _MARGIN, height + 2 * _MARGIN)
    figure.set_layout_engine("constrained", w_pad=_MARGIN, h_pad=_MARGIN)
    paint = {STAND_IN[name]: LIGHT[name] for name in LIGHT}
    return _cleaned(figure, "figure", title, paint, _OF_A_FILE)


def _cleaned(
    figure: "Figure", ident: str, title: str, paint: Mapping[str, str], attributes: str = ""
) -> bytes:
    """Replace what the policy forbids. matplotlib escapes names: a tag holds none of their text."""
    drawn = io.StringIO()
    figure.savefig(drawn, format="svg", metadata=_NO_METADATA)
    text = _UNWANTED.sub("", drawn.getvalue().partition("<svg")[2].partition(">")[2])
    width, height = (round(72 * inches) for inches in figure.get_size_inches())
    root = (
        f'<svg {attributes}role="img" aria-label="{escape(title)}" width="{width}" '
        f'height="{height}" viewBox="0 0 {width} {height}" stroke-linejoin="round">'
    )

    def tag(match: re.Match[str]) -> str:
        changed = re.sub(r'^<g id="[^"]*"', "<g", match[0])
        changed = re.sub(r' style="([^"]*)"', lambda style: _attributes(style[1]), changed)
        changed = re.sub(r' (?:xlink:)?href="#', f' href="#{ident}-', changed)
        changed = re.sub(r' id="', f' id="{ident}-', changed).replace("url(#", f"url(#{ident}-")
        return _COLOUR.sub(lambda colour: paint.get(colour[0], colour[0]), changed)

    return (root + _TAG.sub(tag, _BETWEEN_TAGS.sub("><", text.strip()))).encode()


def _attributes(style: str) -> str:
    """Turn a style into presentation attributes; the font is the page's."""
    pairs = (declaration.partition(": ")[::2] for declaration in style.split("; "))
    return "".join(f' {name}="{value}"' for name, value in pairs if name != "font-family")
