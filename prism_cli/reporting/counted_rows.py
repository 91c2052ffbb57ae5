"""Counts behind the figures of `prism eval quality`: rows, pairs and marks."""

from collections.abc import Mapping
from typing import Any

from prism_cli.reporting.page import Note, Part, Section, Table
from prism_cli.wording import counted

_INPUT = {"rows": "input rows", "rejected": "rejected", "pending": "pending, not measured"}
_COUNTS = {
    "all": "pairs",
    "queries": "queries",
    "predictions": "pairs with a prediction",
    "labels": "pairs measured by the texts of their labels",
    "yes": "verdict yes",
    "no": "verdict no",
    "undecided": "verdict undecided",
    "yes_without_texts_asked": "yes, for which no texts were asked (left out of all text figures)",
    "yes_without_evidence": "yes without evidence (keeps no answer, recalls nothing)",
    "with_gold": "pairs with marks by people",
}
_GOLD = {
    "rows": "rows of marks",
    "matched": "of them with a pair",
    "unmatched": "of them without",
    "repeated": "of an earlier pair, merged with it",
    "contradictory": "left out as contradictory",
    "unreadable": "lines skipped as no marks",
}


def section(metrics: Mapping[str, Any]) -> Section:
    """Return the last section of the report, with all counts."""
    rows = [(words, metrics["input_rows"][name]) for name, words in _INPUT.items()]
    rows += [(words, metrics["pairs"].get(name, 0)) for name, words in _COUNTS.items()]
    parts: list[Part] = [Table(("what", "count"), tuple(rows), "Rows")]
    gold = metrics["gold"]
    if gold:
        cells = tuple((words, gold[name]) for name, words in _GOLD.items())
        parts.append(Table(("what", "count"), cells, "Marks by people"))
    if metrics["pairs"].get("labels"):
        text = (
            f"Without a prediction: {counted(metrics['pairs']['labels'], 'pair')}; the texts of "
            "the labels were measured there."
        )
        parts.insert(0, Note(text, warning=True))
    return Section("Counts", "", tuple(parts))
