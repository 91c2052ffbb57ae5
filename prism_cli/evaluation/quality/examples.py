"""The rows that are worth a reader's look: the few worst of each kind."""

import heapq
from collections.abc import Mapping
from typing import Any

from prism_cli.rows.order import ordering_logit

KEPT = 10
LOW_FIDELITY, ANSWER_LOST, WRONG_YES = "lowest_fidelity", "answer_lost", "wrong_yes"


class Examples:
    """The worst of all rows seen. Of the lowest fidelity those with most missing entities; else
    those with the highest score, by its logit. Ties go to the row that came first."""

    def __init__(self) -> None:
        self._heaps: dict[str, list[tuple[tuple[float, ...], dict[str, Any]]]] = {
            kind: [] for kind in (LOW_FIDELITY, ANSWER_LOST, WRONG_YES)
        }
        self._seen = 0

    def add(self, row: Mapping[str, Any]) -> None:
        """One line of rows.jsonl."""
        self._seen += 1
        if "texts" not in row:
            return
        quality = row["quality"]
        evidence = quality.get("evidence", {})
        certainty = ordering_logit(quality["score"] or 0.0, quality.get("logit"))
        if evidence.get("missing"):
            counts = list(evidence["entities"].values())
            missing = sum(total - found for found, total in counts)
            share = 1 - missing / sum(total for _, total in counts)
            self._put(LOW_FIDELITY, (-share, missing), row, {"missing": evidence["missing"]})
        if quality.get("people", {}).get("answer_kept") is False:
            self._put(ANSWER_LOST, (certainty,), row, {})
        if quality["verdict"] == "yes" and quality.get("gold", {}).get("answerable") is False:
            self._put(WRONG_YES, (certainty,), row, {})

    def content(self) -> dict[str, list[dict[str, Any]]]:
        """The worst first."""
        return {
            kind: [one for _, one in sorted(heap, key=lambda entry: entry[0], reverse=True)]
            for kind, heap in self._heaps.items()
        }

    def _put(
        self, kind: str, badness: tuple[float, ...], row: Mapping[str, Any], more: dict[str, Any]
    ) -> None:
        heap = self._heaps[kind]
        key = (*badness, -self._seen)
        if len(heap) == KEPT and key < heap[0][0]:
            return
        shown = {"query_id": row["query_id"], "doc_id": row["doc_id"]}
        entry = (key, shown | {"score": row["quality"]["score"]} | more | row["texts"])
        (heapq.heappush if len(heap) < KEPT else heapq.heapreplace)(heap, entry)
