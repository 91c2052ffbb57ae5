"""matplotlib's SVG made fit for a page with a strict Content-Security-Policy.

No style attribute, no <style>, no metadata; ids that no other figure has; and colours that the
page, or the file itself, decides: the drawing uses stand-ins for them.
"""

import io
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from prism_cli.reporting.colours import LIGHT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STAND_IN = {name: f"#fed{number:03x}" for number, name in enumerate(LIGHT)}
"""Colour name -> the colour to draw with."""
_NAMESPACE = "http://www.w3.org/2000/svg"
_SETTINGS = {
    "svg.hashsalt": "prism", "svg.fonttype": "none", "text.parse_math": False,
    "font.family": "DejaVu Sans", "font.size": 12, "path.simplify": False,
    "axes.unicode_minus": True, "hatch.linewidth": 0.6,
}  # fmt: skip
_MARGIN = 16
"""Around a figure that stands alone, in pixels."""
_IDS = re.compile(r"url\(#([^)]+)\)")


@contextmanager
def settings() -> Iterator[None]:
    """matplotlib as we want it, whatever the user's matplotlibrc says."""
    import matplotlib.style

    with (
        matplotlib.style.context(["default", _SETTINGS], after_reset=True),
        warnings.catch_warnings(),
    ):
        # Its font lacks some scripts; the reader's browser has them.
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        yield


def embedded(figure: "Figure", ident: str, title: str) -> bytes:
    """For a page of ours: colours are the page's variables."""
    root = _cleaned(figure, ident, {name: f"var(--{name})" for name in LIGHT})
    root.set("role", "img")
    root.set("aria-label", title)
    return _bytes(root)


def standing_alone(figure: "Figure", title: str) -> bytes:
    """For a file: light colours on paper."""
    root = _cleaned(figure, "figure", LIGHT)
    width, height = (int(root.attrib[name]) + 2 * _MARGIN for name in ("width", "height"))
    root.attrib.update(
        {
            "xmlns": _NAMESPACE,
            "font-family": "system-ui, sans-serif",
            "width": str(width),
            "height": str(height),
            "viewBox": f"-{_MARGIN} -{_MARGIN} {width} {height}",
        }
    )
    paper = {"x": f"-{_MARGIN}", "y": f"-{_MARGIN}", "fill": LIGHT["paper"]}
    root.insert(0, ElementTree.Element("rect", paper, width="100%", height="100%"))
    heading = ElementTree.Element("title")
    heading.text = title
    root.insert(0, heading)
    return _bytes(root)


def _cleaned(figure: "Figure", ident: str, colours: Mapping[str, str]) -> ElementTree.Element:
    drawn = io.BytesIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    canvas: Any = figure.canvas
    canvas.print_svg(drawn, metadata=nothing)
    root = ElementTree.fromstring(drawn.getvalue())
    paint = {STAND_IN[name]: value for name, value in colours.items()}
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.rpartition("}")[2] in ("style", "metadata") or (
                child.tag.endswith("}defs") and not _kept(child)
            ):
                parent.remove(child)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        element.tail = None
        if element.tag != "text":
            element.text = None
        old = dict(element.attrib)
        element.attrib.clear()
        for name, value in _attributes(old):
            element.set(name, paint.get(value, _own(name, value, ident)))
    _unwrap(root)
    for name in ("version", "xmlns"):
        root.attrib.pop(name, None)
    width, height = (round(float(side)) for side in root.attrib["viewBox"].split()[2:])
    root.attrib.update({"width": str(width), "height": str(height), "stroke-linejoin": "round"})
    return root


def _kept(definitions: ElementTree.Element) -> bool:
    return any(not child.tag.endswith("}style") for child in definitions)


def _attributes(old: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Presentation attributes instead of a style; the font is the page's."""
    for name, value in old.items():
        if name != "style":
            yield name.rpartition("}")[2], value
    for declaration in old.get("style", "").split(";"):
        name, _, value = declaration.partition(":")
        if value and name.strip() not in ("font-family", "-inkscape-stroke"):
            yield name.strip(), value.strip()


def _own(name: str, value: str, ident: str) -> str:
    if name == "id":
        return f"{ident}-{value}"
    if name == "href" and value.startswith("#"):
        return f"#{ident}-{value[1:]}"
    return _IDS.sub(rf"url(#{ident}-\1)", value)


def _unwrap(root: ElementTree.Element) -> None:
    """Drop groups that only carry a name of matplotlib's, from the inside out."""
    for parent in reversed(list(root.iter())):
        children: list[ElementTree.Element] = []
        for child in parent:
            if child.tag == "g" and not child.attrib.keys() - {"id"}:
                children.extend(child)
            else:
                children.append(child)
        parent[:] = children


def _bytes(root: ElementTree.Element) -> bytes:
    return ElementTree.tostring(root, encoding="unicode").encode() + b"\n"
