"""The reranker's scores in rows.jsonl: calibration, and what an agent reads at each threshold."""

from collections.abc import Mapping
from typing import Any

from prism_cli.domain.score_calibration import ScoreCalibration
from prism_cli.domain.threshold_sweep import ThresholdSweep
from prism_cli.rows.order import ordering_logit

_VERDICTS = {True: "yes", False: "no", None: None}


class RerankerScores:
    """Rows with a score. Their verdict is the label, or else the gold's `answerable`."""

    def __init__(self) -> None:
        self._calibration = ScoreCalibration()
        self._sweep = ThresholdSweep()
        self._rows = 0

    def add(self, query_id: str, quality: Mapping[str, Any]) -> None:
        """Add one row; ignored without a score."""
        score = quality["score"]
        if score is None:
            return
        self._rows += 1
        gold = quality.get("gold", {})
        verdict = quality["label"] or _VERDICTS[gold.get("answerable")]
        if verdict is not None:
            order = ordering_logit(score, quality.get("logit"))  # rows made before have none
            self._calibration.add(score, verdict, order)
        evidence, in_document = quality.get("evidence"), gold.get("in_document")
        kept = in_document
        if in_document is not None and evidence:
            kept = quality.get("people", {}).get("answer_kept", False)
        self._sweep.add(
            score,
            verdict,
            quality["document_tokens"],
            evidence["tokens"] if evidence else None,
            query_id=query_id,
            answer_read=kept,
            answer_in_document=in_document,
        )

    def figures(self) -> dict[str, Any]:
        """Return the numbers `scores` and `thresholds`; {} without a score."""
        if not self._rows:
            return {}
        return {"scores": self._calibration.content(), "thresholds": self._sweep.content()}

    def statistics(self) -> dict[str, Any]:
        """Return the curves `reliability` and `thresholds`; {} without a score."""
        if not self._rows:
            return {}
        return {"reliability": self._calibration.curves(), "thresholds": self._sweep.points()}
