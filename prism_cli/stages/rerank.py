"""Rerank: a score, a verdict and, for "yes", contribution and evidence for each document.

Two shapes of rows: pairs, which keep their labels beside the predictions, and a query with its
documents, answered by `results`, best first. Ties go by doc_id.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from prism_cli.domain.scoring import relevance_score, verdict_of
from prism_cli.domain.targets import parse_text
from prism_cli.engine.stage import RowStage
from prism_cli.errors import RowError
from prism_cli.ports import Reply, Request, RerankRuntime, RerankTask, RowWork, rerank_request
from prism_cli.rows.candidates import candidates, check_rerank_row
from prism_cli.rows.row import (
    Row,
    doc_id,
    document_text,
    query_key,
)
from prism_cli.shards.spill import SeenTexts

DECIMALS = 6
"""Of score and logit in a row."""
MAX_GROUP_ROWS = 100_000
"""Pair rows of one query that are held for their ranks."""


class RerankStage(RowStage):
    """Asks a reranker for each (query, document).

    Args:
        max_new_tokens: tokens of contribution and evidence at the most; 0 for scores and verdicts
            alone.
        figures: what the summary and the manifest tell besides counts, such as the canary.
    """

    name: ClassVar[str] = "rerank"
    surveys = True

    def __init__(
        self,
        reranker: RerankRuntime,
        *,
        max_new_tokens: int,
        figures: Mapping[str, object] | None = None,
    ) -> None:
        self._reranker = reranker
        self._max_new_tokens = max_new_tokens
        self._figures = dict(figures or {})
        self._counts = {"documents": 0, "yes": 0, "truncated": 0, "format_broken": 0}
        self._scattered: set[bytes] = set()
        self._unranked = 0

    def check(self, row: Row) -> None:
        """A pair, or a query with documents.

        Raises:
            RowError: names the field, such as `documents[2].text`.
        """
        check_rerank_row(row)

    def work(self, row: Row) -> RowWork:
        """Ask, then write the answers into the row."""
        if "documents" in row:
            return self._ranking(row)
        return self._pair(row)

    def survey(self, rows: Iterator[Row]) -> None:
        """Find the queries whose pair rows are not adjacent: their rows get no rank."""
        seen = SeenTexts()
        number, current = 0, b""
        for row in rows:
            key = b"" if "documents" in row else query_key(row)
            if key != current:
                number, current = number + 1, key
                if key and seen.conflicts(key, str(number).encode()):
                    self._scattered.add(key)

    def arrange(self, rows: Iterator[Row]) -> Iterator[Row]:
        """Ranks of pair rows, within the adjacent rows of a query; null for scattered ones."""
        group: list[Row] = []
        current = b""
        for row in rows:
            key = b"" if "documents" in row else query_key(row)
            if group and (key != current or not key or len(group) >= MAX_GROUP_ROWS):
                yield from self._ranked(group, current)
                group = []
            group.append(row)
            current = key
        if group:
            yield from self._ranked(group, current)

    def summary(self) -> dict[str, object]:
        """Counts over this run's rows, and what was given."""
        hint = (
            {"hint": f"{self._unranked} rows of scattered queries have no rank: --sort-queries"}
            if self._unranked
            else {}
        )
        return {"model": self._reranker.spec, **self._figures, **self._counts, **hint}

    def _pair(self, row: Row) -> RowWork:
        replies = yield [self._request(row["query"], document_text(row))]
        found = self._read(replies[0])
        row |= {
            "score": found.score,
            "logit": found.logit,
            "rank": None,
            "model": self._reranker.spec,
            "truncated": found.truncated,
            "predicted_verdict": found.verdict,
        }
        if self._max_new_tokens:
            row |= {
                "format_ok": found.format_ok,
                "predicted_contribution": found.contribution,
                "predicted_evidence": found.evidence,
            }
        return row

    def _ranking(self, row: Row) -> RowWork:
        documents = candidates(row)
        replies: Sequence[Reply] = []
        if documents:
            replies = yield [self._request(row["query"], text) for _, text in documents]
        results = []
        for index, ((name, _), reply) in enumerate(zip(documents, replies, strict=True)):
            found = self._read(reply)
            result: dict[str, Any] = {
                "index": index,
                "doc_id": name,
                "relevance_score": found.score,
                "logit": found.logit,
                "verdict": found.verdict,
            }
            if self._max_new_tokens:
                result |= {
                    "contribution": found.contribution,
                    "evidence": found.evidence,
                    "format_ok": found.format_ok,
                }
            results.append(result | {"truncated": found.truncated})
        results.sort(key=lambda one: (-one["logit"], one["doc_id"], one["index"]))
        return row | {"results": results, "model": self._reranker.spec}

    def _request(self, query: str, document: str) -> Request:
        return rerank_request(self._reranker, RerankTask(query, document, self._max_new_tokens))

    def _read(self, reply: Reply) -> "_Found":
        """A reply as fields.

        Raises:
            RowError: the reranker refused; the query is too long for its prompt.
        """
        if reply.refusal is not None:
            raise RowError("query", reply.refusal)
        logit = float(reply.value["logit"])
        verdict = verdict_of(logit)
        found = _Found(
            round(relevance_score(logit), DECIMALS),
            round(logit, DECIMALS),
            verdict,
            bool(reply.value["truncated"]),
        )
        if self._max_new_tokens and verdict == "yes":
            parsed = parse_text(str(reply.value["text"]))
            found.contribution, found.evidence = parsed.contribution, parsed.evidence
            found.format_ok = parsed.format_ok
        self._counts["documents"] += 1
        self._counts["yes"] += verdict == "yes"
        self._counts["truncated"] += found.truncated
        self._counts["format_broken"] += found.format_ok is False
        return found

    def _ranked(self, group: list[Row], key: bytes) -> list[Row]:
        """Rows of one query with their ranks, from 1; other rows as they are."""
        if not key:
            return group
        if key in self._scattered or len(group) >= MAX_GROUP_ROWS:
            self._unranked += len(group)
            return group
        best = sorted(group, key=lambda row: (-row["logit"], doc_id(row)))
        for rank, row in enumerate(best, 1):
            row["rank"] = rank
        return group


@dataclass
class _Found:
    """One answer; the texts and `format_ok` are None where nothing was written."""

    score: float
    logit: float
    verdict: str
    truncated: bool
    contribution: str | None = None
    evidence: str | None = None
    format_ok: bool | None = None
