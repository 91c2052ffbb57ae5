"""Figures of a finished evaluation as one flat list, made once from the content of metrics.json.

metrics.json keeps values, intervals and counts in separate trees; pages, comparisons, tables, model
cards and the quickstart read these records.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prism_cli.reporting.page import Bar

Metrics = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured value.

    Attributes:
        name: the measure, such as "nDCG@10" or "answer_retention".
        value: None where there was nothing to measure.
        interval: 95 %, low and high.
        n: rows or queries behind it.
        group: data set, or average, of a ranking; elsewhere the keys above the name, such as
            "baselines · lead"; the context of answers.
        system: of a ranking; "" elsewhere.
        words: interpretation of an agreement, such as "moderate"; "" elsewhere.
    """

    name: str
    value: float | None
    interval: Sequence[float] | None = None
    n: int | None = None
    group: str = ""
    system: str = ""
    words: str = ""


Groups = Mapping[str, Mapping[str, Figure]]
"""Group -> name -> figure."""
NO_FIGURE = Figure("", None)
_KINDS = ("quality", "labels", "answers")
"""Evaluations of rows; each names the tree of its figures."""


def figures_of(metrics: Metrics) -> list[Figure]:
    """Return all figures in the order of metrics.json; the average over data sets is last."""
    if "ranking" in metrics:
        return list(_of_ranking(metrics))
    content = next(metrics[kind] for kind in _KINDS if kind in metrics)
    statistics = metrics.get("statistics", {})
    return [
        Figure(
            path[-1],
            value,
            _beside(statistics.get("intervals", {}), path),
            _beside(statistics.get("counts", {}), path),
            " · ".join(path[:-1]),
            words=_beside(statistics.get("words", {}), path) or "",
        )
        for path, value in numbers(content)
    ]


def grouped(metrics: Metrics) -> Groups:
    """Return the figures of an evaluation of rows; a missing group is empty."""
    groups: defaultdict[str, dict[str, Figure]] = defaultdict(dict)
    for figure in figures_of(metrics):
        groups[figure.group][figure.name] = figure
    return groups


def bars_of(figures: Iterable[tuple[str, Figure]]) -> tuple[Bar, ...]:
    """Return a bar for each (name, figure) that has a value."""
    return tuple(
        Bar(name, figure.value, *(figure.interval or ()))
        for name, figure in figures
        if figure.value is not None
    )


def average_name(metrics: Metrics) -> str:
    """Name the mean over data sets, with the number of missing ones."""
    measured, missing = len(metrics["ranking"]), len(metrics["missing_sets"])
    if missing:
        return f"average of {measured} of the {measured + missing} sets"
    return f"average of the {measured} sets"


def numbers(
    content: Mapping[str, Any], path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], float | None]]:
    """Yield each number, or null, of a tree with the keys that lead to it."""
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from numbers(value, (*path, name))
        elif value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
            yield (*path, name), value


def _of_ranking(metrics: Metrics) -> Iterator[Figure]:
    blocks = dict(metrics["ranking"])
    if "average" in metrics:
        blocks[average_name(metrics)] = metrics["average"]
    intervals = metrics["statistics"]["intervals"]
    for group, systems in blocks.items():
        queries = metrics.get("datasets", {}).get(group, {}).get("queries")
        for system, measures in systems.items():
            spans = intervals.get(group, {}).get(system, {})
            for name, value in measures.items():
                yield Figure(name, value, spans.get(name), queries, group, system)


def _beside(tree: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    """Return the entry of a `statistics` tree for a figure, by dotted name or nested path.

    The dotted name of a baseline's figure leaves out `baselines`.
    """
    dotted = ".".join(path[1:] if path[0] == "baselines" else path)
    if dotted in tree:
        return tree[dotted]
    entry: Any = tree
    for key in path:
        entry = entry.get(key) if isinstance(entry, Mapping) else None
    return entry
