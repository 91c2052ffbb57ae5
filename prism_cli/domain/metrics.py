"""Ranking measures from judgements and a run, by pytrec_eval, under ir_measures' names.

nDCG@k has linear gains and an ideal ranking over all judged documents; RR@k is the reciprocal rank
of the first relevant document among the first k; R@k, P@k, AP@k and AP (over the whole ranking; its
mean is MAP) count grades of at least 1; Judged@k is the share with a judgement among the first k,
or among all where there are fewer. Ties are ordered as by trec_eval: the greater document id first.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

Qrels = Mapping[str, Mapping[str, int]]
"""query_id -> doc_id -> grade."""
Hits = Sequence[tuple[str, float]]
"""(doc_id, score) of one query, in any order."""

_MEASURE = re.compile(r"(nDCG|RR|R|P|AP|Judged)@([1-9][0-9]*)")
_TREC_NAMES = {"nDCG": "ndcg_cut", "R": "recall", "P": "P", "AP": "map_cut"}
PRIMARY = "nDCG@10"
JUDGED = "Judged@10"


def default_measures(top_k: int) -> list[str]:
    """Return the measures for `top_k` ranked candidates per query; nDCG@10 first."""
    names = [PRIMARY, "nDCG@1", "nDCG@5", "AP", "RR@10", "P@1", "R@5", "R@10", f"R@{top_k}", JUDGED]
    return list(dict.fromkeys(names))


def ranked(hits: Hits) -> list[tuple[str, float]]:
    """Return `hits` best first: by score in single precision, as in trec_eval, then by document
    id."""
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


def per_query(
    qrels: Qrels, run: Mapping[str, Hits], queries: Sequence[str], measures: Sequence[str]
) -> dict[str, list[float]]:
    """Return measure -> its value for each of `queries`, in their order.

    A query without candidates or without a relevant document counts 0.

    Raises:
        ValueError: a measure of another form.
    """
    runs = {query_id: ranked(run.get(query_id, ())) for query_id in queries}
    places = {query_id: str(place) for place, query_id in enumerate(queries)}
    graded, full_runs = {}, {}
    for query_id, place in places.items():
        grades, hits = qrels.get(query_id, {}), runs[query_id]
        # Numbers replace ids, which C would cut at a NUL, and places replace scores.
        number = {
            doc_id: str(at) for at, doc_id in enumerate((*grades, *(doc_id for doc_id, _ in hits)))
        }
        if query_id in qrels:
            graded[place] = {number[doc_id]: max(grade, 0) for doc_id, grade in grades.items()}
        full_runs[place] = [(number[doc_id], float(-at)) for at, (doc_id, _) in enumerate(hits)]
    trec_names = {name: _trec_name(name) for name in measures}
    full_evaluation = _evaluated(graded, full_runs, {name for name in trec_names.values() if name})
    values: dict[str, list[float]] = {}
    for name, trec_name in trec_names.items():
        kind, _, cut = name.partition("@")
        evaluated, key = full_evaluation, (trec_name or "recip_rank").replace(".", "_")
        if kind == "Judged":
            values[name] = [
                _judged(qrels.get(query_id, {}), runs[query_id][: int(cut)]) for query_id in queries
            ]
            continue
        if kind == "RR":
            head = {place: hits[: int(cut)] for place, hits in full_runs.items()}
            evaluated = _evaluated(graded, head, {"recip_rank"})
        values[name] = [
            float(evaluated.get(places[query_id], {}).get(key, 0.0)) for query_id in queries
        ]
    return values


def mean(values: Sequence[float]) -> float:
    """Return the mean, summed without loss; 0 for no values."""
    from math import fsum

    return fsum(values) / len(values) if values else 0.0


def _trec_name(name: str) -> str | None:
    """Return trec_eval's name; None for a measure or cut-off that it does not have."""
    if name == "AP":
        return "map"
    match = _MEASURE.fullmatch(name)
    if not match:
        raise ValueError(f"{name}: expected nDCG@k, RR@k, R@k, P@k, AP@k, AP or Judged@k")
    kind = _TREC_NAMES.get(match[1])
    return f"{kind}.{match[2]}" if kind else None


def _judged(grades: Mapping[str, int], head: Hits) -> float:
    return sum(doc_id in grades for doc_id, _ in head) / len(head) if head else 0.0


def _evaluated(
    graded: Qrels, runs: Mapping[str, Hits], names: set[str]
) -> dict[str, dict[str, float]]:
    import pytrec_eval

    nonempty = {query_id: dict(hits) for query_id, hits in runs.items() if hits}
    if not nonempty or not names:
        return {}
    evaluator: Any = pytrec_eval.RelevanceEvaluator(graded, names)
    values: dict[str, dict[str, float]] = evaluator.evaluate(nonempty)
    return values
