"""Figures of rows.jsonl, as metrics.json holds them, from sums by query."""

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from prism_cli.domain.fidelity import FIGURES
from prism_cli.domain.query_sums import QuerySums
from prism_cli.evaluation.quality.examples import Examples
from prism_cli.evaluation.quality.filled_sheets import FilledSheet
from prism_cli.evaluation.quality.human_ratings import HumanRatings
from prism_cli.evaluation.quality.judge_ratings import JudgeRatings
from prism_cli.evaluation.quality.reranker_scores import RerankerScores
from prism_cli.evaluation.quality.row_measures import (
    GENERATED,
    HUMAN_MEASURES,
    row_measurements,
)

_EVIDENCE = ""
_DOCUMENT_COPY: dict[str, float | None] = {
    "entity_fidelity": 1.0,
    "copied_share": 1.0,
    "compression_median": 1.0,
    "novelty": 0.0,
}
"""Measures that are known for a copy of the document."""
_CLASS_MEASURES = tuple(FIGURES.values())
_MEASURES = (
    *HUMAN_MEASURES.values(),
    "wrong_yes_rate",
    "missed_yes_rate",
    "entity_fidelity",
    *_CLASS_MEASURES,
    "longer_than_document",
    "format_compliance",
    "verdict_accuracy",
    "language_agreement",
    "copied_share",
    "copied_density",
    "novelty",
    *(f"novelty_{size}" for size in (1, 2, 3, 4)),
)
GROUNDING_MEASURES = (
    "repaired_share", "extracted_share", "citation_coverage", "citation_precision",
)  # fmt: skip
"""Only of rows that `prism rerank` grounded."""
_BASELINE_MEASURES = (*HUMAN_MEASURES.values(), "entity_fidelity", "copied_share", "novelty")
BUCKETS = tuple(f"{step / 10:.1f}-{(step + 1) / 10:.1f}" for step in range(10))
LONGER = "longer"


class QualityFigures:
    """Adds up the measures of rows: call `add` for each line, then `content`.

    Args:
        seed: of the bootstrap.
        gold_rows: number of gold rows; 0 without gold.
        sheets: ratings by people.
    """

    def __init__(self, seed: int, gold_rows: int, sheets: Sequence[FilledSheet] = ()) -> None:
        self._seed = seed
        self._sums = QuerySums()
        self._examples = Examples()
        self._scores = RerankerScores()
        self._judge_ratings = JudgeRatings()
        self._human_ratings = HumanRatings(sheets, seed)
        self._counts: Counter[str] = Counter()
        self._confusion: Counter[tuple[str, str]] = Counter()
        self._characters: dict[str, array[float]] = {}
        self._tokens: array[float] = array("d")
        self._matched = bytearray(gold_rows + 1)
        self._baselines: dict[str, None] = {}

    def add(self, row: Mapping[str, Any]) -> None:
        """Add one line of rows.jsonl."""
        quality = row["quality"]
        index = self._sums.index(row["query_id"])
        for measure, total, count in row_measurements(quality):
            self._sums.add(index, measure, total, count)
        self._examples.add(row)
        self._scores.add(row["query_id"], quality)
        self._judge_ratings.add(row["query_id"], quality)
        self._human_ratings.add(quality)
        self._count(quality)
        evidence, characters = quality.get("evidence"), quality["document_characters"]
        self._baselines |= dict.fromkeys(quality.get("baselines", {}))
        if evidence and characters:
            self._tokens.append(evidence["tokens"] / (quality["document_tokens"] or 1))
            texts = {_EVIDENCE: evidence} | quality.get("baselines", {})
            for name, measures in texts.items():
                if "characters" in measures:
                    ratios = self._characters.setdefault(name, array("d"))
                    ratios.append(measures["characters"] / characters)

    def content(self) -> dict[str, Any]:
        """Return quality, statistics, examples, pairs and gold of metrics.json."""
        means = self._sums.means()
        quality: dict[str, Any] = {name: means.get(name) for name in _MEASURES}
        quality |= {name: means[name] for name in GROUNDING_MEASURES if name in means}
        quality |= self._compression()
        baselines: dict[str, dict[str, float | None]] = {
            name: {measure: means.get(f"{name}.{measure}") for measure in _measures_of(name)}
            | {"compression_median": _quartiles(self._characters.get(name, ()))[1]}
            | (_DOCUMENT_COPY if name == "document" else {})
            for name in self._baselines
        }
        names = [*_MEASURES, *GROUNDING_MEASURES]
        names += [f"{name}.{measure}" for name in baselines for measure in _measures_of(name)]
        present = [name for name in names if name in means]
        intervals = {
            name: self._sums.interval(name, self._seed, share=name != "copied_density")
            for name in present
        }
        counts = {name: self._sums.rows[name] for name in present}
        for more in (self._judge_ratings.statistics(self._seed), self._human_ratings.statistics()):
            intervals |= more["intervals"]
            counts |= more["counts"]
        return {
            "quality": quality
            | {"baselines": baselines}
            | self._scores.figures()
            | self._judge_ratings.figures()
            | self._human_ratings.figures(),
            "statistics": {
                "intervals": intervals,
                "counts": counts,
                "confusion": {
                    verdict: {label: self._confusion[verdict, label] for label in ("yes", "no")}
                    for verdict in ("yes", "no")
                },
                "compression_histogram": self._histogram(),
                **self._scores.statistics(),
                **self._judge_ratings.details(),
            },
            "examples": self._examples.content(),
            "pairs": {"all": self._counts["all"], "queries": self._sums.queries}
            | {name: count for name, count in sorted(self._counts.items()) if name != "all"},
            "gold": {
                "matched": sum(self._matched),
                "unmatched": len(self._matched) - 1 - sum(self._matched),
            },
        }

    def _count(self, quality: Mapping[str, Any]) -> None:
        counts, verdict = self._counts, quality["verdict"]
        counts["all"] += 1
        counts[verdict or "undecided"] += 1
        counts["predictions" if quality["predicted"] else "labels"] += 1
        if verdict == "yes":
            counts["yes_without_texts_asked"] += not quality["asked"]
            counts["yes_without_evidence"] += quality["asked"] and "evidence" not in quality
        if verdict and quality["label"]:
            self._confusion[verdict, quality["label"]] += 1
        if "gold" in quality:
            counts["with_gold"] += 1
            for number in quality["gold"]["rows"]:
                self._matched[number] = 1

    def _compression(self) -> dict[str, float | None]:
        q1, median, q3 = _quartiles(self._characters.get(_EVIDENCE, ()))
        tokens = _quartiles(self._tokens)
        return {
            "compression_median": median,
            "compression_q1": q1,
            "compression_q3": q3,
            "compression_tokens_median": tokens[1],
            "compression_tokens_q1": tokens[0],
            "compression_tokens_q3": tokens[2],
        }

    def _histogram(self) -> dict[str, int]:
        """Return the number of evidence texts by their share of the document's characters: a ratio
        of counts, not a score, and one above 1 has a bucket of its own."""
        buckets = (*BUCKETS, LONGER)
        counts = Counter(
            LONGER if ratio > 1 else BUCKETS[min(int(ratio * 10), len(BUCKETS) - 1)]
            for ratio in self._characters.get(_EVIDENCE, ())
        )
        return {name: counts[name] for name in buckets}


def _measures_of(baseline: str) -> tuple[str, ...]:
    """Return the measures of a baseline: of the model's own texts the classes of entities, too."""
    return _BASELINE_MEASURES + (_CLASS_MEASURES if baseline == GENERATED else ())


def _quartiles(values: Iterable[float]) -> list[float | None]:
    """Return the quartiles and the median between, by linear interpolation; None without values."""
    import numpy as np

    array = np.asarray(values, float)
    return (
        [float(value) for value in np.quantile(array, [0.25, 0.5, 0.75])]
        if array.size
        else [None] * 3
    )
