"""What `prism eval quality` shows people, on standard output."""

from collections.abc import Mapping
from typing import Any

_SHOWN = (
    ("answer_retention", "gold answer stands in the evidence"),
    ("rationale_recall", "marked sentences that the evidence has"),
    ("rationale_precision", "sentences of the evidence that are marked ones"),
    ("rationale_f1", ""),
    ("wrong_yes_rate", "yes, though people say unanswerable"),
    ("missed_yes_rate", "no, though people say answerable"),
    ("verdict_accuracy", "predicted verdict equals the label"),
    ("format_compliance", "both texts could be read"),
    ("entity_fidelity", "numbers, names, dates … that stand in the document"),
    ("language_agreement", "evidence in the document's language"),
    ("copied_share", "words in spans copied from the document"),
    ("novelty", "n-grams that the document does not have"),
    ("longer_than_document", ""),
)
_QUARTILES = (("compression", "characters"), ("compression_tokens", "tokens, estimated"))


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
    table.add_column("")
    for name, words in _SHOWN:
        if quality[name] is None:
            continue
        low, high = statistics["intervals"][name]
        others = [_number(one.get(name)) for one in baselines.values()]
        count = f"{statistics['counts'][name]:,}"
        cells = [_number(quality[name]), f"{low:.3f} to {high:.3f}", count]
        table.add_row(name, *cells, *others, words)
    for name, unit in _QUARTILES:
        if quality[f"{name}_median"] is None:
            continue
        quartiles = f"{quality[f'{name}_q1']:.3f} to {quality[f'{name}_q3']:.3f}"
        others = [_number(one.get(f"{name}_median")) for one in baselines.values()]
        words = f"length of evidence / document ({unit}), with its quartiles"
        table.add_row(
            f"{name}_median", _number(quality[f"{name}_median"]), quartiles, "", *others, words
        )
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
