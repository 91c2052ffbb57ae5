"""Rating of generated texts by a judge, with retries of unusable replies."""

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

from prism_cli.domain.rating_task import RatedTexts, rating_fields
from prism_cli.ports import BatchBackend, CallBackend, Reply, Request
from prism_cli.rows.verdict_texts import VerdictTexts
from prism_cli.stages.retries import request_with_retries


def request_rating(
    judge: BatchBackend | CallBackend, texts: RatedTexts
) -> Generator[Sequence[Request], Sequence[Reply], Mapping[str, Any]]:
    """Return the fields of a judge's rating, or `refusal`; `cut` where the judge saw only a part.

    The judge's payload is (RatedTexts, attempt).
    """
    reply = yield from request_with_retries(judge, texts, *texts)
    refused = reply.refusal is not None
    fields = {"refusal": reply.refusal} if refused else rating_fields(reply.value)
    return fields | ({"cut": True} if texts.cut else {})


def rated_texts(pair: VerdictTexts) -> RatedTexts:
    """Return the texts of a pair that judges and people rate."""
    return RatedTexts(pair.query, pair.document, pair.contribution, pair.evidence)


def rating_function(
    judge: BatchBackend | CallBackend,
) -> Callable[[VerdictTexts], Generator[Sequence[Request], Sequence[Reply], Mapping[str, Any]]]:
    """Return a function for QualityStage that rates a pair: the rating and a digest of its texts;
    {} where there is no text to rate."""

    def rate(
        pair: VerdictTexts,
    ) -> Generator[Sequence[Request], Sequence[Reply], Mapping[str, Any]]:
        if not (pair.contribution or pair.evidence):
            return {}
        texts = rated_texts(pair)
        rating = yield from request_rating(judge, texts)
        return {"texts": texts.digest, **rating}

    return rate
