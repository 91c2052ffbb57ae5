"""Order of documents by a reranker: by rank, else by fused score, else by logit, else by score.

Scores are rounded, and many logits share the scores 1.0 and 0.0, so the score is used last. Ranks
are valid within one query only: across queries (AUC) the order is that of `ordering_logit`.
"""

from collections.abc import Callable, Sequence
from math import inf, log
from operator import itemgetter

from prism_cli.rows.row import Row, doc_id


def ordering_logit(score: float, logit: float | None) -> float:
    """Return the sort key of rows of any query: the logit, else the log odds of the score.

    Both are on one scale, so rows with and without a logit can be mixed. A blank document has no
    logit and the score 0: it is last, at -inf.
    """
    if logit is not None:
        return logit
    if not 0 < score < 1:
        return inf if score > 0 else -inf
    return log(score / (1 - score))


def rank_key(result: Row, score: float, name: str) -> tuple[float, float, str]:
    """Return the sort key that decides `rank`, best first: fused score or logit, logit, doc_id."""
    logit = ordering_logit(score, result.get("logit"))
    value = result.get("fused_score", logit)
    return inf if value is None else -value, -logit, name


def best_first(rows: Sequence[Row], score_of: Callable[[Row], float], *, own: bool) -> list[Row]:
    """Return rows of one query, best first.

    Sorted by `rank` if each row has a distinct one, else by fused score or logit if all rows have
    the field, else by score. Ties are ordered by document id, the greater first, as in trec_eval.

    Args:
        own: True if the score is the reranker's; else only the score is used.
    """
    ranks = {row.get("rank") for row in rows} if own else set()
    if len(ranks - {None}) == len(rows):
        return sorted(rows, key=itemgetter("rank"))
    by_logit = own and all("logit" in row for row in rows)
    fused = own and all("fused_score" in row for row in rows)

    def key(row: Row) -> tuple[float, float, float, str]:
        score = score_of(row)
        rank = row.get("rank") if own else None
        first = ordering_logit(score, row["logit"]) if by_logit else score
        if fused:
            first = -inf if row["fused_score"] is None else row["fused_score"]
        return first, score, -(rank or inf), doc_id(row)

    return sorted(rows, key=key, reverse=True)
