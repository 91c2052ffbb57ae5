"""Paper to draw a figure on: pixels, words that are cut to fit, keys of colours."""

import functools
import math
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from prism_cli.reporting.svg import STAND_IN
from prism_cli.reporting.visible import one_line

WIDTH, NARROW = 640, 360
"""Of figures for a page and for a telephone, in pixels."""
SIZE = 12
"""Of words, in pixels."""
_LONGEST = 100
KEY_LINE = 20


def label(text: str, room: float = 230, size: float = SIZE) -> str:
    """A name as figures show it: on one line, cut to `room` pixels."""
    shown = one_line(text, _LONGEST)
    length = len(shown)
    while length > 1 and _width(shown) * size > room:
        length -= 1
        shown = shown[: length - 1].rstrip() + "…"
    return shown


def width_of(texts: Sequence[str], size: float = SIZE) -> float:
    """Pixels that the widest takes, in a wide font: the browser chooses its own."""
    return max((_width(text) for text in texts), default=0.0) * size


@functools.cache
def _width(text: str) -> float:
    """In units of the size. A letter of East Asia is a square."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    wide = sum(unicodedata.east_asian_width(one) in "WF" for one in text)
    rest = "".join(one for one in text if unicodedata.east_asian_width(one) not in "WF")
    font = FontProperties(family="DejaVu Sans", size=100)
    measured = (
        text_to_path.get_text_width_height_descent(rest, font, ismath=False)[0] if rest else 0
    )
    return wide + float(measured) / 100


def finite(value: float | None) -> bool:
    """Whether there is something to draw."""
    return value is not None and math.isfinite(value)


def number(value: float | None, decimals: int) -> str:
    """A number as people read it: − for minus, commas, – for none, <0.001 for almost nothing."""
    if value is None or not math.isfinite(value):
        return "–" if value is None or math.isnan(value) else ("∞" if value > 0 else "−∞")
    shown = f"{abs(value):,.{decimals}f}"
    if value and not float(shown.replace(",", "")):
        return f"{'<' if value > 0 else '>−'}{10**-decimals:.{decimals}f}"
    return f"−{shown}" if value < 0 else shown


class Canvas:
    """A figure of width × height pixels with one pair of axes inside margins.

    Attributes:
        axes: matplotlib's.
    """

    def __init__(
        self, width: float, height: float, *, left: float, right: float, top: float, bottom: float
    ) -> None:
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure

        self.width = width
        self.height = max(height, top + bottom + 1)
        self.figure = Figure(figsize=(width / 72, self.height / 72), dpi=72, facecolor="none")
        FigureCanvasSVG(self.figure)
        box = (
            left / width,
            bottom / self.height,
            (width - left - right) / width,
            (self.height - top - bottom) / self.height,
        )
        self.axes: Any = self.figure.add_axes(box, facecolor="none")
        for side in self.axes.spines.values():
            side.set_visible(False)
        self.axes.tick_params(
            length=0, pad=5, labelsize=SIZE - 1, labelcolor=STAND_IN["muted"], which="both"
        )
        self.axes.set_axisbelow(True)

    def grid(self, axis: str) -> None:
        """Thin lines across, at the ticks of `axis`."""
        self.axes.grid(visible=True, axis=axis, color=STAND_IN["rule"], linewidth=0.8)

    def nothing(self) -> None:
        """Say that there is nothing to draw."""
        self.axes.set_axis_off()
        self.words("no values", 0, self.height / 2, colour="muted")

    def words(
        self,
        text: str,
        x: float,
        y: float,
        *,
        anchor: str = "left",
        colour: str = "ink",
        size: float = SIZE,
        weight: int = 400,
        turned: float = 0,
        vertical: str = "center_baseline",
    ) -> None:
        """One line of words at pixels from the figure's top left."""
        self.figure.text(
            x / self.width,
            1 - y / self.height,
            text,
            ha=anchor,
            va=vertical,
            color=STAND_IN[colour],
            fontsize=size,
            fontweight=weight,
            rotation=turned,
            rotation_mode="anchor",
        )

    def small(self, text: str, x: float, y: float, anchor: str = "left", turned: float = 0) -> None:
        """Words that stand back, such as an axis's."""
        vertical = "baseline" if turned else "center_baseline"
        self.words(
            text,
            x,
            y,
            anchor=anchor,
            turned=turned,
            vertical=vertical,
            colour="muted",
            size=SIZE - 1,
        )

    def keys(self, names: Sequence[str], colours: Mapping[str, str]) -> None:
        """Which colour is whose, in lines from the top."""
        for name, x, y in key_places(names, self.width):
            self.box(x, y - 5, 10, 10, colours[name])
            self.words(label(name), x + 16, y)

    def box(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        colour: str,
        alpha: float | None = None,
    ) -> None:
        """A filled rectangle; x and y as for `words`, of its top left."""
        from matplotlib.patches import Rectangle

        self.figure.add_artist(
            Rectangle(
                (x / self.width, 1 - (y + height) / self.height),
                width / self.width,
                height / self.height,
                facecolor=STAND_IN[colour],
                linewidth=0,
                alpha=alpha,
            )
        )


def key_places(names: Sequence[str], width: float) -> list[tuple[str, float, float]]:
    """(name, x, y) in pixels; a new line where the paper ends."""
    places: list[tuple[str, float, float]] = []
    x, y = 0.0, KEY_LINE / 2
    for name in names:
        wide = 16 + width_of([label(name)]) + 18
        if x and x + wide > width:
            x, y = 0.0, y + KEY_LINE
        places.append((name, x, y))
        x += wide
    return places


def keys_height(names: Sequence[str], width: float) -> float:
    """Pixels that `Canvas.keys` takes, with the space below."""
    return key_places(names, width)[-1][2] + KEY_LINE / 2 + 10 if names else 0
