"""What `prism eval quality` shows people, on standard output."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from prism_cli.commands.tables import stdout_console
from prism_cli.domain.rating_task import RATINGS, SEVERE

if TYPE_CHECKING:
    from rich.console import Console

_SHOWN = (
    "answer_retention",
    "rationale_recall",
    "rationale_precision",
    "rationale_f1",
    "wrong_yes_rate",
    "missed_yes_rate",
    "verdict_accuracy",
    "format_compliance",
    "entity_fidelity",
    "language_agreement",
    "copied_share",
    "novelty",
    "longer_than_document",
)
_LENGTHS = {"compression": "characters", "compression_tokens": "tokens (estimated)"}


def print_quality(metrics: Mapping[str, Any]) -> None:
    """Figures with their intervals and those of the baselines; what has none is left out."""
    with stdout_console() as console:
        _print(console, metrics)


def _print(console: "Console", metrics: Mapping[str, Any]) -> None:
    from rich.table import Table

    quality, statistics = metrics["quality"], metrics["statistics"]
    baselines = quality["baselines"]
    pairs = metrics["pairs"]
    told = f"{pairs['all']:,} pairs of {pairs['queries']:,} queries"
    if pairs.get("labels"):
        told += f"; {pairs['labels']:,} pairs have no prediction: the texts of their labels"
    console.print(told, soft_wrap=True)
    table = Table(box=None, pad_edge=False)
    table.add_column("measure", no_wrap=True)
    for name in ("value", "95 % interval", "rows", *baselines):
        table.add_column(name, justify="right", no_wrap=True)
    for name in _SHOWN:
        if quality[name] is None:
            continue
        low, high = statistics["intervals"][name]
        others = [_number(one.get(name)) for one in baselines.values()]
        count = f"{statistics['counts'][name]:,}"
        cells = [_number(quality[name]), f"{low:.3f} to {high:.3f}", count]
        table.add_row(name, *cells, *others)
    console.print(table)
    for name, unit in _LENGTHS.items():
        q1, median, q3 = (quality[f"{name}_{part}"] for part in ("q1", "median", "q3"))
        if median is not None:
            console.print(
                f"evidence / document in {unit}: median {median:.3f}, half of the texts from "
                f"{q1:.3f} to {q3:.3f}",
                soft_wrap=True,
            )
    _print_ratings(console, metrics)
    gold = metrics["gold"]
    if gold:
        console.print(
            f"gold: {gold['matched']:,} rows matched, {gold['unmatched']:,} not; "
            f"{pairs.get('with_gold', 0):,} of {pairs['all']:,} pairs have some",
            soft_wrap=True,
        )


def _print_ratings(console: "Console", metrics: Mapping[str, Any]) -> None:
    """Means by the judge with their intervals; people's beside them."""
    from rich.table import Table

    quality, intervals = metrics["quality"], metrics["statistics"]["intervals"]
    ratings, people = quality.get("ratings"), quality.get("people", {})
    if not ratings:
        return
    told = f"{metrics['judge']['spec']}: {ratings['rows']:,} rows rated"
    if ratings["refused"]:
        told += f", {ratings['refused']:,} without a rating"
    table = Table(title=told, title_justify="left", box=None, pad_edge=False)
    table.add_column("rating", no_wrap=True)
    measures = ("people_mean", "kappa", "spearman") if people else ()
    for name in ("mean", "95 % interval", *(one.replace("_", " ") for one in measures)):
        table.add_column(name, justify="right", no_wrap=True)
    for name in (*RATINGS, SEVERE):
        if ratings[name] is not None:
            low, high = intervals[f"ratings.{name}"]
            theirs = [_number(people[name][one]) for one in measures]
            table.add_row(name, _number(ratings[name]), f"{low:.3f} to {high:.3f}", *theirs)
    console.print(table)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
