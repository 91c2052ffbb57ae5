"""The best documents of a ranking, for people to look at."""

import heapq
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prism_cli.rows.order import ordering_logit
from prism_cli.rows.row import Row, doc_id


@dataclass(frozen=True, slots=True)
class RankedDocument:
    """One document with what the model says of it.

    Attributes:
        index: its place among the documents of the input that could be read, from 0; of an output
            that was finished before, its place there.
        named: whether `doc_id` is the document's own id, not a digest of its text.
        text: the document, without its title.
        result: doc_id, relevance_score, logit, verdict, truncated; with evidence also contribution,
            evidence and format_ok.
    """

    index: int
    title: str
    named: bool
    text: str
    result: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """As a rerank API has it, with its title where there is one."""
        titled = {"title": self.title} if self.title else {}
        return {"index": self.index, **titled, **self.result}

    @property
    def lacks_evidence(self) -> bool:
        """Whether texts were asked for, and what the model wrote is of no use."""
        wanted = self.result["verdict"] == "yes" and "evidence" in self.result
        texts = any(self.result[name] for name in ("contribution", "evidence") if wanted)
        return wanted and (self.result.get("format_ok") is False or not texts)


class BestDocuments:
    """The best `most` documents of all that were added.

    Args:
        usable: of those alone that were judged yes and have texts of use.

    Attributes:
        query: of the row that was added last.
    """

    def __init__(self, most: int, *, usable: bool = False) -> None:
        self._most = most
        self._usable = usable
        self.query = ""
        self._added = 0
        self._heap: list[tuple[float, tuple[int, ...], int, int, RankedDocument]] = []

    def add(self, row: Row, place: int) -> None:
        """Note an output row of `prism rerank`, of either shape.

        Args:
            place: of its first document among all.
        """
        self.query = row["query"]
        if "results" not in row:
            result = {
                "doc_id": doc_id(row),
                "relevance_score": row["score"],
                "logit": row["logit"],
                "verdict": row["predicted_verdict"],
                "truncated": row["truncated"],
            }
            if "predicted_evidence" in row:
                result["contribution"] = row["predicted_contribution"]
                result["evidence"] = row["predicted_evidence"]
                result["format_ok"] = row.get("format_ok")
            self._keep(place, row, row["document"], result)
            return
        for result in row["results"]:
            one = row["documents"][result["index"]]
            one = {"text": one} if isinstance(one, str) else one
            told = {name: value for name, value in result.items() if name != "index"}
            self._keep(place + result["index"], one, one["text"], told)

    def ranked(self) -> list[RankedDocument]:
        """Best first; equal logits by doc_id."""
        return [one[-1] for one in sorted(self._heap, key=lambda one: one[:4], reverse=True)]

    def _keep(self, place: int, row: Mapping[str, Any], text: str, result: dict[str, Any]) -> None:
        if self._usable and not (result["verdict"] == "yes" and result.get("format_ok")):
            return
        named = bool(row.get("doc_id"))
        one = RankedDocument(place, row.get("title") or "", named, text, result)
        by_id = tuple(-ord(character) for character in result["doc_id"])
        logit = ordering_logit(result["relevance_score"], result["logit"])
        self._added += 1
        entry = (logit, (*by_id, 1), -place, -self._added, one)
        (heapq.heappush if len(self._heap) < self._most else heapq.heappushpop)(self._heap, entry)
