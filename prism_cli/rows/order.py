"""The order that a reranker gave documents: by rank, else by logit, else by score.

Scores are rounded, and many logits share the scores 1.0 and 0.0, so the score comes last. Ranks
count within one query only: across queries (AUC) the order is that of `ordering_logit`.
"""

from collections.abc import Callable, Sequence
from math import inf, log
from operator import itemgetter

from prism_cli.rows.row import Row, doc_id


def ordering_logit(score: float, logit: float | None) -> float:
    """What orders rows, whatever their query: the logit, else the log odds of the score.

    The two are one scale, so rows with and without a logit can stand together. A blank document has
    no logit and the score 0: it is last, at -inf.
    """
    if logit is not None:
        return logit
    if not 0 < score < 1:
        return inf if score > 0 else -inf
    return log(score / (1 - score))


def best_first(rows: Sequence[Row], score_of: Callable[[Row], float], *, own: bool) -> list[Row]:
    """Rows of one query, best first.

    By `rank` where each row has its own, else by logit where all rows have the field, else by
    score. What is equal in all of these goes by document id, the greater first, as trec_eval has
    it.

    Args:
        own: whether the score is the reranker's; else the score alone decides.
    """
    ranks = {row.get("rank") for row in rows} if own else set()
    if len(ranks - {None}) == len(rows):
        return sorted(rows, key=itemgetter("rank"))
    by_logit = own and all("logit" in row for row in rows)

    def key(row: Row) -> tuple[float, float, float, str]:
        score = score_of(row)
        rank = row.get("rank") if own else None
        first = ordering_logit(score, row["logit"]) if by_logit else score
        return first, score, -(rank or inf), doc_id(row)

    return sorted(rows, key=key, reverse=True)
