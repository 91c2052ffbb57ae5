"""Paper to draw a figure on: pixels, words that are cut to fit, keys of colours."""

import math
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from prism_cli.reporting.svg import STAND_IN
from prism_cli.reporting.visible import one_line

WIDTH = 640
SIZE = 12
"""Of words, in pixels."""
_CELL = 6.4
"""Width of a letter, about: browsers choose fonts of their own."""
_LONGEST = 34
KEY_LINE = 20


def cells(text: str) -> int:
    """Width in letters; those of East Asia count twice."""
    return sum(1 + (unicodedata.east_asian_width(one) in "WF") for one in text)


def label(text: str, longest: int = _LONGEST) -> str:
    """A name as figures show it."""
    return one_line(text, longest)


def width_of(texts: Sequence[str], size: float = SIZE) -> float:
    """Pixels that the widest takes."""
    return max(map(cells, texts), default=0) * _CELL * size / SIZE


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
    """A figure of WIDTH × height pixels with one pair of axes inside margins.

    Attributes:
        axes: matplotlib's.
    """

    def __init__(
        self, height: float, *, left: float, right: float, top: float, bottom: float
    ) -> None:
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure

        self.height = max(height, top + bottom + 1)
        self.figure = Figure(figsize=(WIDTH / 72, self.height / 72), dpi=72, facecolor="none")
        FigureCanvasSVG(self.figure)
        box = (
            left / WIDTH,
            bottom / self.height,
            (WIDTH - left - right) / WIDTH,
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
            x / WIDTH,
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

    def keys(self, names: Sequence[str], colours: Mapping[str, str], left: float = 0) -> None:
        """Which colour is whose, in lines from the top."""
        from matplotlib.patches import Rectangle

        for name, x, y in key_places(names, left):
            self.figure.add_artist(
                Rectangle(
                    (x / WIDTH, 1 - (y + 5) / self.height),
                    10 / WIDTH,
                    10 / self.height,
                    facecolor=STAND_IN[colours[name]],
                    edgecolor="none",
                )
            )
            self.words(label(name), x + 16, y)


def key_places(names: Sequence[str], left: float) -> list[tuple[str, float, float]]:
    """(name, x, y) in pixels; a new line where the paper ends."""
    places: list[tuple[str, float, float]] = []
    x, y = left, KEY_LINE / 2
    for name in names:
        wide = 16 + width_of([label(name)]) + 18
        if x > left and x + wide > WIDTH:
            x, y = left, y + KEY_LINE
        places.append((name, x, y))
        x += wide
    return places


def keys_height(names: Sequence[str], left: float = 0) -> float:
    """Pixels that `Canvas.keys` takes, with the space below."""
    return key_places(names, left)[-1][2] + KEY_LINE / 2 + 10 if names else 0
