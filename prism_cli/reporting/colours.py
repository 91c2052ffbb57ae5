"""Colours of a report, light and dark, and their assignment to names.

The series follow Okabe and Ito's palette for colour-blind readers, darkened (light) or lightened
(dark) to a contrast with the paper of at least 3:1; ink and muted have at least 4.5:1.
"""

from collections.abc import Iterable, Mapping, Sequence

LIGHT = {
    "paper": "#fdfdfb", "raised": "#f4f4ef", "ink": "#1d1f22", "muted": "#5b6068",
    "rule": "#d9d9d2", "link": "#0b5aa5", "warning": "#a03d00", "wash": "#fdf1e4",
    "heat": "#74a5de", "plain": "#5f7a99",
    "c0": "#0072b2", "c1": "#d55e00", "c2": "#00916a", "c3": "#b3588d",
    "c4": "#b07a00", "c5": "#2f8fc7", "c6": "#6e6e6e", "c7": "#7a5230",
}  # fmt: skip
DARK = {
    "paper": "#15171a", "raised": "#1d2024", "ink": "#e6e5e1", "muted": "#a2a7ae",
    "rule": "#363a40", "link": "#82b9f2", "warning": "#f3a05c", "wash": "#2b2119",
    "heat": "#2d639c", "plain": "#8ea6c2",
    "c0": "#4aa3df", "c1": "#f08238", "c2": "#2fbd93", "c3": "#d992bf",
    "c4": "#dba827", "c5": "#93d0f5", "c6": "#a9a9a9", "c7": "#bf936b",
}  # fmt: skip
SERIES = tuple(name for name in LIGHT if name[0] == "c" and name[1:].isdigit())
PLAIN = "plain"
"""Colour of names that need no distinction."""


def assigned(figures: Iterable[Sequence[str]]) -> dict[str, str]:
    """Return name -> colour, the same in all figures of a page.

    Two names of one figure share a colour only if it has more names than there are colours.

    Args:
        figures: the names that each figure distinguishes by colour.
    """
    beside: dict[str, set[str]] = {}
    for names in figures:
        for name in names:
            beside.setdefault(name, set()).update(names)
    chosen: dict[str, str] = {}
    for name, others in beside.items():
        taken = [chosen[other] for other in others if other in chosen]
        chosen[name] = min(SERIES, key=taken.count)
    return chosen


def stylesheet() -> str:
    """Return CSS variables for the reader's preferred colour scheme; print is light."""
    return (
        f":root{{color-scheme:light dark;{_variables(LIGHT)}}}\n"
        f"@media screen and (prefers-color-scheme:dark){{:root{{{_variables(DARK)}}}}}\n"
    )


def _variables(colours: Mapping[str, str]) -> str:
    return "".join(f"--{name}:{value};" for name, value in colours.items())
