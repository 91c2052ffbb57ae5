"""Rating of generated texts by a judge, with retries of unusable replies."""

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

from prism_cli.domain.rating_task import RatedTexts, Rating, rating_of
from prism_cli.ports import BatchBackend, CallBackend, Reply, Request
from prism_cli.rows.written import Written
from prism_cli.stages.retries import request_with_retries


def request_rating(
    judge: BatchBackend | CallBackend, texts: RatedTexts
) -> Generator[Sequence[Request], Sequence[Reply], Rating]:
    """Return the judge's rating, or the reason for its absence. The judge's payload is (RatedTexts,
    attempt)."""
    reply = yield from request_with_retries(judge, texts, *texts)
    if reply.refusal is not None:
        return Rating(cut=texts.cut, refusal=reply.refusal)
    return rating_of(reply.value, cut=texts.cut)


def rated_texts(written: Written) -> RatedTexts:
    """Return the texts of a pair that judges and people rate."""
    return RatedTexts(written.query, written.document, written.contribution, written.evidence)


def rating_function(
    judge: BatchBackend | CallBackend,
) -> Callable[[Written], Generator[Sequence[Request], Sequence[Reply], Mapping[str, Any]]]:
    """Return a function for QualityStage that rates a pair: the rating and a digest of its texts;
    {} where there is no text to rate."""

    def rate(written: Written) -> Generator[Sequence[Request], Sequence[Reply], Mapping[str, Any]]:
        if not (written.contribution or written.evidence):
            return {}
        texts = rated_texts(written)
        rating = yield from request_rating(judge, texts)
        return {"texts": texts.digest} | rating.fields()

    return rate
