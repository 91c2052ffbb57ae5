"""Ranking measures from judgements and a run, by ir_measures and under its names.

nDCG@k has linear gains and an ideal ranking over all judged documents; RR@k is the reciprocal rank
of the first relevant document among the first k; R@k, P@k, AP@k and AP (over the whole ranking; its
mean is MAP) count grades of at least 1; Judged@k is the share with a judgement among the first k,
or among all where there are fewer. Ties are ordered as by trec_eval: the greater document id first.
"""

from collections.abc import Mapping, Sequence

Qrels = Mapping[str, Mapping[str, int]]
"""query_id -> doc_id -> grade."""
Hits = Sequence[tuple[str, float]]
"""(doc_id, score) of one query, in any order."""

MAIN_MEASURE = "nDCG@10"
JUDGED = "Judged@10"


def default_measures(top_k: int) -> list[str]:
    """Return the measures for `top_k` ranked candidates per query; nDCG@10 first."""
    names = [
        MAIN_MEASURE,
        "nDCG@1",
        "nDCG@5",
        "AP",
        "RR@10",
        "P@1",
        "R@5",
        "R@10",
        f"R@{top_k}",
        JUDGED,
    ]
    return list(dict.fromkeys(names))


def ranked(hits: Hits) -> list[tuple[str, float]]:
    """Return `hits` best first, as trec_eval: by score in single precision, then by document id."""
    from numpy import float32

    return sorted(hits, key=lambda hit: (float32(hit[1]), hit[0]), reverse=True)


def without_itself(query_id: str, hits: Hits, grades: Mapping[str, int]) -> list[tuple[str, float]]:
    """Return `hits` without the document that has the query's own id, as in BEIR's evaluation.

    In sets such as ArguAna a query is also a document of the corpus. Where the judgements of the
    query name that document, the equal ids are a coincidence, and it is kept.
    """
    if query_id in grades:
        return list(hits)
    return [hit for hit in hits if hit[0] != query_id]


def query_values(
    qrels: Qrels, run: Mapping[str, Hits], queries: Sequence[str], measures: Sequence[str]
) -> dict[str, list[float]]:
    """Return measure -> its value for each of `queries`, in their order.

    A query without candidates or without a relevant document counts 0.

    Args:
        measures: nDCG@k, RR@k, R@k, P@k, AP@k, AP or Judged@k.

    Raises:
        NameError: ir_measures has no such measure.
    """
    import ir_measures

    names = {ir_measures.parse_measure(name): name for name in measures}
    graded: dict[str, dict[str, int]] = {}
    scores: dict[str, dict[str, float]] = {}
    for place, query_id in enumerate(queries):
        grades, hits = qrels.get(query_id, {}), ranked(run.get(query_id, ()))
        # Numbers replace ids, which C would cut at a NUL. Places replace scores: without ties all
        # measures agree on the order.
        number = {
            doc_id: str(at) for at, doc_id in enumerate((*grades, *(doc_id for doc_id, _ in hits)))
        }
        if query_id in qrels:
            graded[str(place)] = {number[doc_id]: max(grade, 0) for doc_id, grade in grades.items()}
        if hits:
            scores[str(place)] = {number[doc_id]: float(-at) for at, (doc_id, _) in enumerate(hits)}
    values = {name: [0.0] * len(queries) for name in measures}
    for metric in ir_measures.iter_calc(names, graded, scores):
        values[names[metric.measure]][int(metric.query_id)] = float(metric.value)
    return values


def mean(values: Sequence[float]) -> float:
    """Return the mean, summed without loss; 0 for no values."""
    from math import fsum

    return fsum(values) / len(values) if values else 0.0
