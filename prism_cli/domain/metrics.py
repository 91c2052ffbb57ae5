"""Judgements and a ranking to measures, by pytrec_eval, under ir_measures' names.

nDCG@k has linear gains and an ideal ranking over all judged documents; RR@k is the reciprocal rank
of the first relevant document among the first k; R@k, P@k and AP@k count grades of 1 and above.
Equal scores are ordered as trec_eval orders them: the greater document id first.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

Qrels = Mapping[str, Mapping[str, int]]
"""query_id -> doc_id -> grade."""
Hits = Sequence[tuple[str, float]]
"""(doc_id, score) of one query, in any order."""

_MEASURE = re.compile(r"(nDCG|RR|R|P|AP)@([1-9][0-9]*)")
_TREC_NAMES = {"nDCG": "ndcg_cut", "RR": "recip_rank", "R": "recall", "P": "P", "AP": "map_cut"}
PRIMARY = "nDCG@10"


def default_measures(top_k: int) -> list[str]:
    """What is measured when `top_k` candidates a query are ranked; nDCG@10 first."""
    names = [PRIMARY, "nDCG@5", "RR@10", "P@1", "R@5", "R@10", f"R@{top_k}", f"AP@{top_k}"]
    return list(dict.fromkeys(names))


def ranked(hits: Hits) -> list[tuple[str, float]]:
    """`hits` best first: by score in single precision, as trec_eval reads it, then document id."""
    from numpy import float32

    return sorted(hits, key=lambda one: (float32(one[1]), one[0]), reverse=True)


def without_itself(query_id: str, hits: Hits, grades: Mapping[str, int]) -> list[tuple[str, float]]:
    """`hits` less the document that has the query's own id, as BEIR evaluates.

    In sets such as ArguAna a query is itself a document of the corpus. Where the judgements of
    the query name that very document, the equal ids mean something else, and it stays.
    """
    if query_id in grades:
        return list(hits)
    return [hit for hit in hits if hit[0] != query_id]


def per_query(
    qrels: Qrels, run: Mapping[str, Hits], queries: Sequence[str], measures: Sequence[str]
) -> dict[str, list[float]]:
    """Measure -> its value for each of `queries`, in their order.

    A query without candidates counts 0, and so does one without a relevant document.

    Raises:
        ValueError: a measure of another form than those above.
    """
    parsed = [_parsed(name) for name in measures]
    wanted = set(queries)
    graded = {
        query_id: {doc_id: max(grade, 0) for doc_id, grade in grades.items()}
        for query_id, grades in qrels.items()
        if query_id in wanted
    }
    runs = {query_id: ranked(run.get(query_id, ())) for query_id in queries}
    whole = _evaluated(
        graded, runs, {f"{_TREC_NAMES[kind]}.{cut}" for kind, cut in parsed if kind != "RR"}
    )
    values: dict[str, list[float]] = {}
    for name, (kind, cut) in zip(measures, parsed, strict=True):
        found, key = whole, f"{_TREC_NAMES[kind]}_{cut}"
        if kind == "RR":
            head = {query_id: hits[:cut] for query_id, hits in runs.items()}
            found, key = _evaluated(graded, head, {"recip_rank"}), "recip_rank"
        values[name] = [float(found.get(query_id, {}).get(key, 0.0)) for query_id in queries]
    return values


def mean(values: Sequence[float]) -> float:
    """The mean, summed without loss; 0 for no values."""
    from math import fsum

    return fsum(values) / len(values) if values else 0.0


def _parsed(name: str) -> tuple[str, int]:
    match = _MEASURE.fullmatch(name)
    if not match:
        raise ValueError(f"{name}: expected nDCG@k, RR@k, R@k, P@k or AP@k")
    return match[1], int(match[2])


def _evaluated(
    graded: Qrels, runs: Mapping[str, Hits], names: set[str]
) -> dict[str, dict[str, float]]:
    import pytrec_eval

    filled = {query_id: dict(hits) for query_id, hits in runs.items() if hits}
    if not filled or not names:
        return {}
    evaluator: Any = pytrec_eval.RelevanceEvaluator(graded, names)
    found: dict[str, dict[str, float]] = evaluator.evaluate(filled)
    return found
