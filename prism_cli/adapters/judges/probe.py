"""Probe of judges: one question to each, and a readable reason if the answer is wrong."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from prism_cli.adapters.runtimes.canary import RELEVANT
from prism_cli.errors import PrismError, RefusalError
from prism_cli.ports import CallBackend

SECONDS = 30.0
"""Timeout of an answer."""


def probe_judges(judges: Sequence[tuple[str, CallBackend | str]]) -> list[dict[str, Any]]:
    """Ask each judge about a plainly relevant pair; return its state, answer, seconds and cost in
    US dollars.

    Args:
        judges: (spec, backend or the reason why there is none).
    """
    return asyncio.run(_probe_all(judges))


async def _probe_all(judges: Sequence[tuple[str, CallBackend | str]]) -> list[dict[str, Any]]:
    results = list(await asyncio.gather(*(_probe(spec, judge) for spec, judge in judges)))
    for _, judge in judges:
        if not isinstance(judge, str):
            await judge.close()
    return results


async def _probe(spec: str, judge: CallBackend | str) -> dict[str, Any]:
    started, usd, well = time.monotonic(), 0.0, False
    if isinstance(judge, str):
        says = judge
    else:
        try:
            async with asyncio.timeout(SECONDS):
                (reply,) = await judge.answer([(RELEVANT, 0)])
            usd = reply.usage.usd
            vote = reply.value.get("vote")
            well = vote == "yes"
            says = str(vote or reply.value.get("unusable") or reply.refusal)
            if vote == "no":
                says = "no, about a plainly relevant pair: it answers, but judges wrongly"
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
