"""What `prism eval quality` shows people, on standard output."""

from collections.abc import Mapping
from typing import Any

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
    from rich.console import Console
    from rich.table import Table

    quality, statistics = metrics["quality"], metrics["statistics"]
    baselines = quality["baselines"]
    pairs = metrics["pairs"]
    console = Console(highlight=False)
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
    gold = metrics["gold"]
    if gold:
        console.print(
            f"gold: {gold['matched']:,} rows matched, {gold['unmatched']:,} not; "
            f"{pairs.get('with_gold', 0):,} of {pairs['all']:,} pairs have some",
            soft_wrap=True,
        )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
