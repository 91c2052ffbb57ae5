"""Measures of one line of rows.jsonl, to be added up: (name, sum, count)."""

from collections.abc import Iterator, Mapping
from typing import Any

from prism_cli.domain.fidelity import CLASSES, figure_name

GENERATED = "generated"
"""The model's own text, before its grounding; measured beside the evidence like a baseline."""
Measure = tuple[str, float, float]
HUMAN_MEASURES = {
    "answer_kept": "answer_retention",
    "recall": "rationale_recall",
    "precision": "rationale_precision",
    "f1": "rationale_f1",
}


def row_measurements(quality: Mapping[str, Any]) -> Iterator[Measure]:
    """Yield the measures of one row, without those that it lacks."""
    verdict, label = quality["verdict"], quality["label"]
    if quality["format_ok"] is not None:
        yield "format_compliance", quality["format_ok"], 1
    if verdict and label:
        yield "verdict_accuracy", verdict == label, 1
    answerable = quality.get("gold", {}).get("answerable")
    if verdict and answerable is not None:
        if answerable:
            yield "missed_yes_rate", verdict == "no", 1
        else:
            yield "wrong_yes_rate", verdict == "yes", 1
    yield from text_measurements(quality.get("evidence", {}), quality["document_characters"])
    yield from human_measurements(quality.get("people", {}))
    yield from _grounding_measurements(
        quality.get("grounding", {}), quality.get("evidence", {}).get("characters", 0)
    )
    for name, measures in quality.get("baselines", {}).items():
        measures_of_text = [
            *text_measurements(measures, quality["document_characters"]),
            *human_measurements(measures),
        ]
        yield from (
            (f"{name}.{measure}", total, count) for measure, total, count in measures_of_text
        )


def text_measurements(evidence: Mapping[str, Any], document_characters: int) -> Iterator[Measure]:
    """Yield the measures of one evidence text. Fidelity is pooled over all entities; the others are
    means over texts."""
    if "words" not in evidence:
        return
    pooled = [0, 0]
    for kind, (matched, total) in evidence["entities"].items():
        yield figure_name(kind), matched, total
        if kind in CLASSES:
            pooled = [pooled[0] + matched, pooled[1] + total]
    if pooled[1]:
        yield "entity_fidelity", pooled[0], pooled[1]
    yield "longer_than_document", evidence["characters"] > document_characters, 1
    if "language_difference" in evidence:
        yield "language_agreement", evidence["language_difference"] is None, 1
    if evidence["words"]:
        yield "copied_share", evidence["copied"] / evidence["words"], 1
        yield "copied_density", evidence["density"], 1
        yield "novelty", sum(evidence["new"]) / sum(evidence["ngrams"]), 1
    for size, (new, ngrams) in enumerate(zip(evidence["new"], evidence["ngrams"], strict=True), 1):
        if ngrams:
            yield f"novelty_{size}", new / ngrams, 1


def _grounding_measurements(grounding: Mapping[str, Any], characters: int) -> Iterator[Measure]:
    """Yield the measures of how a text was grounded; coverage is pooled over all characters."""
    if not grounding:
        return
    yield "repaired_share", grounding["origin"] == "repaired", 1
    yield "extracted_share", grounding["origin"] == "extracted", 1
    if characters:
        yield "citation_coverage", grounding["cited"], characters
    if "precision" in grounding:
        yield "citation_precision", grounding["precision"], 1


def human_measurements(people: Mapping[str, Any]) -> Iterator[Measure]:
    """Yield the measures of one text against people's marks."""
    for name, measure in HUMAN_MEASURES.items():
        if name in people:
            yield measure, people[name], 1
