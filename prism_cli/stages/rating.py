"""Rating what was written about a pair, by a judge that is asked again where it cannot be read."""

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

from prism_cli.domain.rating_task import RatedTexts, Rating, rating_of
from prism_cli.ports import BatchBackend, CallBackend, Reply, Request
from prism_cli.rows.written import Written
from prism_cli.stages.asking import asked_again


def rated(
    judge: BatchBackend | CallBackend, texts: RatedTexts
) -> Generator[Sequence[Request], Sequence[Reply], Rating]:
    """The judge's rating, or why there is none. The judge's payload is (RatedTexts, attempt)."""
    reply = yield from asked_again(judge, texts, *texts)
    if reply.refusal is not None:
        return Rating(cut=texts.cut, refusal=reply.refusal)
    return rating_of(reply.value, cut=texts.cut)


def rated_texts(one: Written) -> RatedTexts:
    """What a judge, and people, see of a pair."""
    return RatedTexts(one.query, one.document, one.contribution, one.evidence)


def rates(
    judge: BatchBackend | CallBackend,
) -> Callable[[Written], Generator[Sequence[Request], Sequence[Reply], Mapping[str, Any]]]:
    """For QualityStage: a pair's rating and what it is of; {} where there is no text to rate."""

    def rate(one: Written) -> Generator[Sequence[Request], Sequence[Reply], Mapping[str, Any]]:
        if not (one.contribution or one.evidence):
            return {}
        texts = rated_texts(one)
        rating = yield from rated(judge, texts)
        return {"texts": texts.digest} | rating.fields()

    return rate
