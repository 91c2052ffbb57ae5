"""Text inside SVG figures: names truncated to their room, the colour key, number ticks."""

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from prism_cli.reporting.sanitize import one_line
from prism_cli.reporting.svg import STAND_IN

WIDTH, NARROW = 640, 360
"""Widths of figures for wide and narrow screens, in pixels."""
_LONGEST = 100


def colour_key(axes: Any, names: Sequence[str], paint: Mapping[str, str], width: int) -> int:
    """Draw the colour key above the axes; return its height in pixels."""
    from matplotlib.patches import Patch

    labels = [(cut(name, width * 0.5), paint[name]) for name in names if name]
    if not labels:
        return 0
    columns = max(1, int(width / (widest(label for label, _ in labels) + 40)))
    handles = [Patch(color=colour, label=label) for label, colour in labels]
    axes.figure.legend(handles=handles, loc="outside upper left", ncols=columns, handleheight=0.8)
    return 20 * math.ceil(len(labels) / columns)


def use_ink(labels: Iterable[Any]) -> None:
    for label in labels:
        label.set(color=STAND_IN["ink"], fontsize=12)


def number_ticks(axis: Any, width: int) -> None:
    """Set a few ticks with thousands separators and a proper minus sign."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(6 if width > NARROW else 4, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(lambda value, _place: f"{value:,.10g}".replace("-", "−"))


def cut(text: str, room: float) -> str:
    """Return `text` on one line, cut to `room` pixels."""
    shown = one_line(text, _LONGEST)
    length = len(shown)
    while length > 1 and _pixels(shown) > room:
        length -= 1
        shown = shown[: length - 1].rstrip() + "…"
    return shown


def widest(texts: Iterable[str]) -> float:
    return max(map(_pixels, texts), default=0.0)


@functools.cache
def _pixels(text: str) -> float:
    """Return the width in matplotlib's font, which is wider than usual browser fonts."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    if not text:
        return 0.0
    font = FontProperties(size=12)
    return float(text_to_path.get_text_width_height_descent(text, font, ismath=False)[0])
