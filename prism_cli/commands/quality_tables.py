"""Terminal output of `prism eval quality`."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from prism_cli.commands.tables import show_table, stdout_console
from prism_cli.domain.rating_task import RATINGS, SEVERE
from prism_cli.wording import counted, label

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
    quality, statistics = metrics["quality"], metrics["statistics"]
    baselines = quality["baselines"]
    pairs = metrics["pairs"]
    of = f"of {counted(pairs['queries'], 'query', 'queries')}"
    line = f"{counted(pairs['all'], 'pair')} {of}"
    if pairs.get("labels"):
        none = f"{counted(pairs['labels'], 'pair has', 'pairs have')} no prediction"
        line += f"; {none}: the texts of their labels"
    console.print(line)
    rows = []
    for name in _SHOWN:
        if quality[name] is None:
            continue
        low, high = statistics["intervals"][name]
        row = {
            "measure": label(name),
            "value": _number(quality[name]),
            "95 % interval": f"{low:.3f} to {high:.3f}",
            "rows": statistics["counts"][name],
        }
        rows.append(row | {other: _number(one.get(name)) for other, one in baselines.items()})
    if rows:
        show_table(console, rows)
    for name, unit in _LENGTHS.items():
        q1, median, q3 = (quality[f"{name}_{part}"] for part in ("q1", "median", "q3"))
        if median is not None:
            console.print(
                f"evidence / document in {unit}: median {median:.3f}, half of the texts from "
                f"{q1:.3f} to {q3:.3f}",
            )
    if not metrics["gold"] and quality["answer_retention"] is None and not quality.get("ratings"):
        nothing = not rows and all(quality[f"{name}_median"] is None for name in _LENGTHS)
        console.print(
            "not measured: whether the evidence answers the question, which needs marks by people "
            "(--gold) or ratings (--judge, --sheet-in)"
            + ("; no row has a verdict with texts to measure either" if nothing else "")
        )
    _print_ratings(console, metrics)
    gold = metrics["gold"]
    if gold:
        console.print(
            f"gold: {counted(gold['matched'], 'row')} matched, {gold['unmatched']:,} not; "
            f"{pairs.get('with_gold', 0):,} of {counted(pairs['all'], 'pair')} with marks",
        )


def _print_ratings(console: "Console", metrics: Mapping[str, Any]) -> None:
    """Means by the judge with their intervals; people's beside them."""
    quality, intervals = metrics["quality"], metrics["statistics"]["intervals"]
    ratings, people = quality.get("ratings"), quality.get("people", {})
    if not ratings:
        return
    title = f"{metrics['judge']['spec']}: {counted(ratings['rows'], 'row')} rated"
    if ratings["refused"]:
        title += f", {ratings['refused']:,} without a rating"
    measures = ("people_mean", "kappa", "spearman") if people else ()
    rows = []
    for name in (*RATINGS, SEVERE):
        if ratings[name] is not None:
            low, high = intervals[f"ratings.{name}"]
            row = {
                "rating": label(name),
                "mean": _number(ratings[name]),
                "95 % interval": f"{low:.3f} to {high:.3f}",
            }
            rows.append(row | {label(one): _number(people[name][one]) for one in measures})
    if rows:
        show_table(console, rows, title=title)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
