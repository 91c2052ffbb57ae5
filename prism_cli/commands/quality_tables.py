"""Terminal output of `prism eval quality`."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from prism_cli.commands.tables import interval_text, show_table, stdout_console, value_text
from prism_cli.domain.rating_task import RATINGS, SEVERE
from prism_cli.reporting.figures import NO_FIGURE, Groups, grouped
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
    "repaired_share",
    "extracted_share",
    "citation_coverage",
    "citation_precision",
)
_LENGTHS = {"compression": "characters", "compression_tokens": "tokens (estimated)"}


def print_quality(metrics: Mapping[str, Any]) -> None:
    """Print figures with their intervals and those of the baselines, without empty ones."""
    with stdout_console() as console:
        _print(console, metrics)


def _print(console: "Console", metrics: Mapping[str, Any]) -> None:
    quality, pairs, figures = metrics["quality"], metrics["pairs"], grouped(metrics)
    of = f"of {counted(pairs['queries'], 'query', 'queries')}"
    line = f"{counted(pairs['all'], 'pair')} {of}"
    if pairs.get("labels"):
        none = f"{counted(pairs['labels'], 'pair has', 'pairs have')} no prediction"
        line += f"; {none}: the texts of their labels"
    console.print(line)
    rows = []
    for name in _SHOWN:
        figure = figures[""].get(name, NO_FIGURE)
        if figure.value is None:
            continue
        row = {
            "measure": label(name),
            "value": value_text(figure),
            "95 % interval": interval_text(figure),
            "rows": figure.n,
        }
        rows.append(
            row
            | {
                baseline: value_text(figures[f"baselines · {baseline}"].get(name, NO_FIGURE))
                for baseline in quality["baselines"]
            }
        )
    if rows:
        show_table(console, rows)
    for name, unit in _LENGTHS.items():
        q1, median, q3 = (figures[""][f"{name}_{part}"] for part in ("q1", "median", "q3"))
        if median.value is not None:
            console.print(
                f"evidence / document in {unit}: median {value_text(median)}, half of the texts "
                f"from {value_text(q1)} to {value_text(q3)}",
            )
    if not metrics["gold"] and quality["answer_retention"] is None and not quality.get("ratings"):
        nothing = not rows and all(quality[f"{name}_median"] is None for name in _LENGTHS)
        console.print(
            "not measured: whether the evidence answers the question, which needs marks by people "
            "(--gold) or ratings (--judge, --sheet-in)"
            + ("; no row has a verdict with texts to measure either" if nothing else "")
        )
    _print_ratings(console, metrics, figures)
    gold = metrics["gold"]
    if gold:
        console.print(
            f"gold: {counted(gold['matched'], 'row')} matched, {gold['unmatched']:,} not; "
            f"{pairs.get('with_gold', 0):,} of {counted(pairs['all'], 'pair')} with marks",
        )


def _print_ratings(console: "Console", metrics: Mapping[str, Any], figures: Groups) -> None:
    """Print the judge's means with their intervals, people's beside them."""
    ratings = metrics["quality"].get("ratings")
    if not ratings:
        return
    title = f"{metrics['judge']['spec']}: {counted(ratings['rows'], 'row')} rated"
    if ratings["refused"]:
        title += f", {ratings['refused']:,} without a rating"
    measures = ("people_mean", "kappa", "spearman") if "people" in metrics["quality"] else ()
    rows = []
    for name in (*RATINGS, SEVERE):
        figure, people = figures["ratings"][name], figures[f"people · {name}"]
        if figure.value is not None:
            row = {
                "rating": label(name),
                "mean": value_text(figure),
                "95 % interval": interval_text(figure),
            }
            rows.append(row | {label(measure): value_text(people[measure]) for measure in measures})
    if rows:
        show_table(console, rows, title=title)
