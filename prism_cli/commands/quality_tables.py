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
_QUARTILES = ("compression", "compression_tokens")
"""Length of the evidence over that of its document."""


def print_quality(metrics: Mapping[str, Any]) -> None:
    """Figures with their intervals and those of the baselines; what has none is left out."""
    from rich.console import Console
    from rich.table import Table

    quality, statistics = metrics["quality"], metrics["statistics"]
    baselines = quality["baselines"]
    pairs = metrics["pairs"]
    title = f"{pairs['all']:,} pairs of {pairs['queries']:,} queries"
    if pairs.get("labels"):
        title += f", {pairs['labels']:,} of them with the texts of the labels"
    table = Table("measure", title=title, title_justify="left", box=None, pad_edge=False)
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
    for name in _QUARTILES:
        if quality[f"{name}_median"] is None:
            continue
        q1, median, q3 = (quality[f"{name}_{part}"] for part in ("q1", "median", "q3"))
        others = [_number(one.get(f"{name}_median")) for one in baselines.values()]
        table.add_row(f"{name}_median", _number(median), f"half: {q1:.3f} to {q3:.3f}", "", *others)
    console = Console(highlight=False)
    console.print(table)
    gold = metrics["gold"]
    if gold:
        console.print(
            f"gold: {gold['matched']:,} rows matched, {gold['unmatched']:,} not; "
            f"{pairs.get('with_gold', 0):,} of {pairs['all']:,} pairs have some"
        )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
