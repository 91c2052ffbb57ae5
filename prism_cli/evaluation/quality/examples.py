"""Examples for the report: the worst rows of each kind."""

import heapq
from collections.abc import Mapping
from typing import Any

from prism_cli.rows.order import ordering_logit

KEPT = 10
LOW_FIDELITY, ANSWER_LOST, WRONG_YES = "lowest_fidelity", "answer_lost", "wrong_yes"


class Examples:
    """Keeps the worst rows: the lowest fidelity, by share, then number of missing entities; for the
    other kinds the highest score, by its logit. Ties go to the earlier row."""

    def __init__(self) -> None:
        self._heaps: dict[str, list[tuple[tuple[float, ...], dict[str, Any]]]] = {
            kind: [] for kind in (LOW_FIDELITY, ANSWER_LOST, WRONG_YES)
        }
        self._seen = 0

    def add(self, row: Mapping[str, Any]) -> None:
        """Offer one line of rows.jsonl."""
        self._seen += 1
        if "texts" not in row:
            return
        quality = row["quality"]
        evidence = quality.get("evidence", {})
        certainty = ordering_logit(quality["score"] or 0.0, quality.get("logit"))
        if evidence.get("missing"):
            counts = list(evidence["entities"].values())
            missing = sum(total - matched for matched, total in counts)
            share = 1 - missing / sum(total for _, total in counts)
            self._put(LOW_FIDELITY, (-share, missing), row, {"missing": evidence["missing"]})
        if quality.get("people", {}).get("answer_kept") is False:
            self._put(ANSWER_LOST, (certainty,), row, {})
        if quality["verdict"] == "yes" and quality.get("gold", {}).get("answerable") is False:
            self._put(WRONG_YES, (certainty,), row, {})

    def content(self) -> dict[str, list[dict[str, Any]]]:
        """Return the examples by kind, worst first."""
        return {
            kind: [example for _, example in sorted(heap, key=lambda entry: entry[0], reverse=True)]
            for kind, heap in self._heaps.items()
        }

    def _put(
        self, kind: str, severity: tuple[float, ...], row: Mapping[str, Any], more: dict[str, Any]
    ) -> None:
        heap = self._heaps[kind]
        key = (*severity, -self._seen)
        if len(heap) == KEPT and key < heap[0][0]:
            return
        shown = {"query_id": row["query_id"], "doc_id": row["doc_id"]}
        entry = (key, shown | {"score": row["quality"]["score"]} | more | row["texts"])
        (heapq.heappush if len(heap) < KEPT else heapq.heapreplace)(heap, entry)
