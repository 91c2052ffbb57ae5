"""Rating what was written about a pair, by a judge that is asked again where it cannot be read."""

from collections.abc import Generator, Sequence

from prism_cli.domain.rating_task import RatedTexts, Rating, rating_of
from prism_cli.ports import BatchBackend, CallBackend, Reply, Request
from prism_cli.stages.asking import asked_again


def rated(
    judge: BatchBackend | CallBackend, texts: RatedTexts
) -> Generator[Sequence[Request], Sequence[Reply], Rating]:
    """The judge's rating, or why there is none. The judge's payload is (RatedTexts, attempt)."""
    reply = yield from asked_again(judge, texts, *texts)
    if reply.refusal is not None:
        return Rating(cut=texts.cut, refusal=reply.refusal)
    return rating_of(reply.value, cut=texts.cut)
