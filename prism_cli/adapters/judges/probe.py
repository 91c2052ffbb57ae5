"""One question to a judge, and what is wrong with it in plain words."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from prism_cli.errors import PrismError, RefusalError
from prism_cli.ports import CallBackend

KNOWN_PAIR = (
    "what is the capital of France",
    "Paris is the capital and largest city of France, on the river Seine.",
)
"""A pair that every judge says yes to."""
SECONDS = 30.0
"""How long an answer is waited for."""


def probe_judges(judges: Sequence[tuple[str, CallBackend | str]]) -> list[dict[str, Any]]:
    """For each judge whether it is well, what it says, seconds and US dollars.

    Args:
        judges: (spec, its backend, or why there is none).
    """
    return asyncio.run(_probe_all(judges))


async def _probe_all(judges: Sequence[tuple[str, CallBackend | str]]) -> list[dict[str, Any]]:
    found = list(await asyncio.gather(*(_probe(spec, judge) for spec, judge in judges)))
    for _, judge in judges:
        if not isinstance(judge, str):
            await judge.close()
    return found


async def _probe(spec: str, judge: CallBackend | str) -> dict[str, Any]:
    started, usd, well = time.monotonic(), 0.0, False
    if isinstance(judge, str):
        says = judge
    else:
        try:
            async with asyncio.timeout(SECONDS):
                (reply,) = await judge.answer([(KNOWN_PAIR, 0)])
            usd = reply.usage.usd
            vote = reply.value.get("vote")
            well = vote == "yes"
            says = str(vote or reply.value.get("unusable") or reply.refusal)
            if vote == "no":
                says = "no, to a pair that is plainly relevant: it answers, but does not judge"
        except TimeoutError:
            says = f"no answer within {SECONDS:g} s"
        except (PrismError, RefusalError) as error:
            says = str(error)
    return {
        "judge": spec,
        "well": well,
        "says": says,
        "seconds": round(time.monotonic() - started, 2),
        "usd": round(usd, 6),
    }
