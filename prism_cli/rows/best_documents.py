"""The best documents of a ranking, for display."""

from bisect import insort
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prism_cli.rows.order import rank_key
from prism_cli.rows.results import result_of
from prism_cli.rows.row import Row, doc_id


@dataclass(frozen=True, slots=True)
class RankedDocument:
    """One document with the model's result.

    Attributes:
        index: index among the readable documents of the input, from 0; for an output that was
            finished before, the index there.
        named: True if `doc_id` is the document's own id, not a digest of its text.
        text: the document, without its title.
        result: doc_id, relevance_score, logit, verdict, truncated; with evidence also contribution,
            evidence, format_ok, and where they come from.
    """

    index: int
    title: str
    named: bool
    text: str
    result: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return the object of a rerank API, with the title if there is one."""
        titled = {"title": self.title} if self.title else {}
        return {"index": self.index, **titled, **self.result}

    @property
    def lacks_evidence(self) -> bool:
        """True if texts were requested, but the model's are unusable, and were not grounded."""
        wanted = self.result["verdict"] == "yes" and "evidence" in self.result
        wanted = wanted and not self.result.get("evidence_omitted")
        texts = any(map(self.result.get, ("contribution", "evidence")))
        broken = self.result.get("format_ok") is False and not _is_grounded(self.result)
        return wanted and (broken or not texts)


def _is_grounded(result: Mapping[str, Any]) -> bool:
    """Return whether the document's own sentences replaced texts of the model."""
    return result.get("evidence_origin") in ("selected", "repaired", "extracted")


class BestDocuments:
    """The best `most` documents of all that were added.

    Args:
        usable: only documents with the verdict yes and usable texts.

    Attributes:
        query, model: of the row that was added last.
        counts: documents that were added, and `yes` of them.
    """

    def __init__(self, most: int, *, usable: bool = False) -> None:
        self._most = most
        self._usable = usable
        self.query = self.model = ""
        self.counts = Counter(documents=0, yes=0)
        self._best: list[RankedDocument] = []

    def add(self, row: Row, place: int) -> None:
        """Add an output row of `prism rerank`, of either shape.

        Args:
            place: index of its first document among all.
        """
        self.query, self.model = row["query"], row.get("model") or ""
        if "results" not in row:
            self._keep(place, row, row["document"], {"doc_id": doc_id(row)} | result_of(row))
            return
        for result in row["results"]:
            document = row["documents"][result["index"]]
            document = {"text": document} if isinstance(document, str) else document
            rest = {name: value for name, value in result.items() if name != "index"}
            self._keep(place + result["index"], document, document["text"], rest)

    def ranked(self) -> list[RankedDocument]:
        """Return the documents best first, in the order of `rank_key`."""
        return list(self._best)

    def _keep(self, place: int, row: Mapping[str, Any], text: str, result: dict[str, Any]) -> None:
        self.counts["documents"] += 1
        self.counts["yes"] += result["verdict"] == "yes"
        usable = result.get("format_ok") or _is_grounded(result)
        if self._usable and not (result["verdict"] == "yes" and usable):
            return
        digest = doc_id({"title": "", **row, "document": text, "doc_id": ""})
        result["doc_id"] = result.get("doc_id") or digest
        named = bool(row.get("doc_id")) and row["doc_id"] != digest
        document = RankedDocument(place, row.get("title") or "", named, text, result)
        insort(self._best, document, key=_sort_key)
        del self._best[self._most :]


def _sort_key(document: RankedDocument) -> tuple[float | str, ...]:
    result = document.result
    return *rank_key(result, result["relevance_score"], result["doc_id"]), document.index
