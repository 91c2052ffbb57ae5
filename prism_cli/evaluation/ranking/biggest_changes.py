"""Queries with the biggest change between two systems, with texts and ranks for the report."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prism_cli.domain.metrics import ranked
from prism_cli.evaluation.ranking.runs import Run

MOST = 10
"""Number of gained, and of lost queries."""
TEXT_CHARACTERS = 600
"""Characters of a query or document in metrics.json."""


@dataclass(frozen=True, slots=True)
class QueryRanks:
    """Excerpt of one system's ranking of one query.

    Attributes:
        top: its first document.
        ranks: from 1, of the documents with the query's best grade.
    """

    top: str | None
    ranks: Mapping[str, int]


def query_ranks(
    run: Run, qrels: Mapping[str, Mapping[str, int]], queries: Sequence[str]
) -> list[QueryRanks]:
    """Return the excerpt of each query's ranking."""
    excerpts = []
    for query_id in queries:
        hits = ranked(run.get(query_id, ()))
        best = set(_best_judged(qrels[query_id]))
        ranks = {doc_id: rank for rank, (doc_id, _) in enumerate(hits, 1) if doc_id in best}
        excerpts.append(QueryRanks(hits[0][0] if hits else None, ranks))
    return excerpts


def biggest_changes(
    queries: Sequence[tuple[str, str]],
    qrels: Mapping[str, Mapping[str, int]],
    values: tuple[Sequence[float], Sequence[float]],
    rankings: tuple[Sequence[QueryRanks], Sequence[QueryRanks]],
) -> dict[str, list[dict[str, Any]]]:
    """Return `gained` and `lost`: up to MOST queries each, the largest difference first.

    Args:
        values: one per query, before and after.
        rankings: one per query, before and after.
    """
    before, after = values
    changed = [index for index in range(len(queries)) if before[index] != after[index]]
    changed.sort(key=lambda index: before[index] - after[index])  # ties keep the file's order

    def describe(index: int) -> dict[str, Any]:
        query_id, query = queries[index]
        grades = qrels[query_id]
        old, new = rankings[0][index], rankings[1][index]
        best = _shown_best(grades, old, new)
        return {
            "query_id": query_id,
            "query": query[:TEXT_CHARACTERS],
            "before": before[index],
            "after": after[index],
            "top_before": _document(old.top, grades),
            "top_after": _document(new.top, grades),
            "best_judged": best
            and {
                "doc_id": best,
                "grade": grades[best],
                "rank_before": old.ranks.get(best),
                "rank_after": new.ranks.get(best),
            },
        }

    gained = [index for index in changed if after[index] > before[index]][:MOST]
    lost = [index for index in reversed(changed) if after[index] < before[index]][:MOST]
    return {"gained": list(map(describe, gained)), "lost": list(map(describe, lost))}


def shown_texts(
    blocks: Sequence[Mapping[str, Any]], documents: Iterator[tuple[str, str]]
) -> dict[str, str]:
    """Return doc_id -> text, cut, of the documents that the blocks name and the corpus contains."""
    wanted = {
        query[document]["doc_id"]
        for block in blocks
        for direction in ("gained", "lost")
        for query in block[direction]
        for document in ("top_before", "top_after", "best_judged")
        if query[document]
    }
    texts = {}
    for doc_id, text in documents if wanted else ():
        if doc_id in wanted:
            wanted.discard(doc_id)
            texts[doc_id] = text[:TEXT_CHARACTERS]
            if not wanted:
                break
    return dict(sorted(texts.items()))


def _document(doc_id: str | None, grades: Mapping[str, int]) -> dict[str, Any] | None:
    return None if doc_id is None else {"doc_id": doc_id, "grade": grades.get(doc_id)}


def _best_judged(grades: Mapping[str, int]) -> list[str]:
    best = max(grades.values(), default=0)
    return [doc_id for doc_id, grade in grades.items() if grade == best and best > 0]


def _shown_best(grades: Mapping[str, int], old: QueryRanks, new: QueryRanks) -> str | None:
    """Return, of the documents with the best grade, the one ranked highest in either ranking."""
    unranked = len(grades) + max([*old.ranks.values(), *new.ranks.values()], default=0)
    return min(
        _best_judged(grades),
        key=lambda doc_id: (
            min(old.ranks.get(doc_id, unranked), new.ranks.get(doc_id, unranked)),
            doc_id,
        ),
        default=None,
    )
