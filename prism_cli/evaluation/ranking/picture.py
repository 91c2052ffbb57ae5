"""nDCG@10 of all systems with their intervals, as an SVG that stays text."""

import io
from collections.abc import Mapping
from typing import Any

from prism_cli.domain.metrics import PRIMARY

_COLOURS = ("#4c78a8", "#f58518", "#54a24b", "#b279a2", "#e45756", "#72b7b2")


def bar_chart(metrics: Mapping[str, Any]) -> bytes:
    """One group of bars a data set, one bar a system. Same metrics, same bytes."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    ranking = metrics["ranking"]
    intervals = metrics["statistics"]["intervals"]
    systems = list(dict.fromkeys(name for one in ranking.values() for name in one))
    bars = sum(len(one) for one in ranking.values())
    figure = Figure(figsize=(7, 1.3 + 0.34 * (bars + len(ranking))), layout="constrained")
    axes = figure.add_subplot()
    place, ticks, shown = 0.0, [], set()
    for dataset, values in ranking.items():
        ticks.append((place + (len(values) - 1) / 2, dataset))
        for system, measures in values.items():
            value = measures[PRIMARY]
            low, high = intervals[dataset][system][PRIMARY]
            axes.barh(
                place,
                value,
                0.85,
                color=_COLOURS[systems.index(system) % len(_COLOURS)],
                label=None if system in shown else system,
                xerr=[[max(value - low, 0)], [max(high - value, 0)]],
                error_kw={"ecolor": "#333333", "capsize": 3, "lw": 1},
            )
            axes.text(0.01, place, f"{value:.3f}", va="center", color="white", fontsize=9)
            shown.add(system)
            place += 1
        place += 1
    axes.set_yticks([middle for middle, _ in ticks], [name for _, name in ticks])
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel(f"{PRIMARY}, with 95 % intervals over queries")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.legend(loc="outside upper left", ncols=2, frameon=False)
    drawn = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "prism", "svg.fonttype": "none"}):
        canvas: Any = FigureCanvasSVG(figure)
        canvas.print_svg(drawn, metadata={"Date": None})
    return drawn.getvalue()
