"""Change of a decision judge's answers when the documents of a query share a call.

    python tests/benchmarks/packed_decisions.py ROWS.jsonl [--packs 2 4 8] [--limit 40]
        [--provider-file FILE --judge PROVIDER/MODEL]

Every row is asked alone, then again alone (the difference is the server's noise), then in
packs. Without --judge: SmolLM2 behind `transformers serve` on this machine. Rows need several
documents per query, such as `prism collect` gives. A packed call asks the same of each document
as a single call; only its neighbours differ. Prints one line of JSON per pack.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from scipy.stats import spearmanr

from prism_cli.commands import paid_wiring
from prism_cli.commands.options import Paid
from prism_cli.modeling.embedded import smollm2_path
from prism_cli.ports import CallBackend
from prism_cli.rows.row import document_text
from prism_cli.shards.reader import read_rows
from tests.servers.transformers_serve import transformers_serve

Payloads = Sequence[tuple[tuple[str, str], int]]


def main() -> None:
    """Print one line of JSON a pack."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", help="JSONL of pairs")
    parser.add_argument("--packs", type=int, nargs="+", default=[2, 4, 8])
    parser.add_argument("--limit", type=int, default=40)
    parser.add_argument("--judge")
    parser.add_argument("--provider-file")
    options = parser.parse_args()
    rows = [row for _, row in read_rows([options.rows])][: options.limit]
    payloads = [((row["query"], document_text(row)), 0) for row in rows]
    with provider(options.judge, options.provider_file) as (spec, file):
        alone, calls, seconds = probabilities(spec, file, 1, payloads)
        print(f"{spec}: {calls} calls alone in {seconds:.1f} s", file=sys.stderr)
        for pack in [1, *options.packs]:
            packed, calls, seconds = probabilities(spec, file, pack, payloads)
            print(json.dumps(compared(alone, packed) | told(pack, calls, seconds)), flush=True)


@contextmanager
def provider(spec: str | None, file: str | None) -> Iterator[tuple[str, str | None]]:
    """Yield the named judge, or SmolLM2 on its own server."""
    if spec:
        yield spec, file
        return
    with tempfile.TemporaryDirectory() as scratch:
        model, book = smollm2_path(), Path(scratch) / "providers.toml"
        with transformers_serve(model, Path(scratch)) as base_url:
            book.write_text(
                f'[providers.local]\napi = "systemone"\nbase_url = "{base_url}/v1"\n'
                "timeout_seconds = 600\ndeadline_seconds = 1200\nconcurrency = 1\n"
                f'[providers.local.models."{model}"]\ncontext_tokens = 8192\n'
            )
            yield f"local/{model}", str(book)


def probabilities(
    spec: str, file: str | None, pack: int, payloads: Payloads
) -> tuple[list[float], int, float]:
    """Return P(yes) of each pair, the calls, and the seconds."""
    (judge,) = paid_wiring.judges(
        [spec], paid_wiring.judge_task(None), paid_wiring.catalog(Paid(provider_file=file)), pack
    )
    assert isinstance(judge, CallBackend)
    started = time.perf_counter()
    plan = judge.plan(payloads)
    return asyncio.run(asked(judge, plan, payloads)), len(plan), time.perf_counter() - started


async def asked(
    judge: CallBackend, plan: Sequence[Sequence[int]], payloads: Payloads
) -> list[float]:
    """Send the calls one after another."""
    seconds_by_size: dict[int, float] = {}
    for call in plan:
        for index, reply in zip(
            call, await judge.answer([payloads[at] for at in call]), strict=True
        ):
            if reply.refusal:
                raise SystemExit(f"pair {index}: {reply.refusal}")
            seconds_by_size[index] = reply.value["probability"]
    await judge.close()
    return [seconds_by_size[index] for index in range(len(payloads))]


def compared(alone: Sequence[float], packed: Sequence[float]) -> dict[str, float]:
    """Return the differences of two lists of probabilities."""
    moved = [abs(single - other) for single, other in zip(alone, packed, strict=True)]
    flipped = sum(
        (single > 0.5) != (other > 0.5) for single, other in zip(alone, packed, strict=True)
    )
    return {
        "pairs": len(alone),
        "max_moved": round(max(moved), 4),
        "mean_moved": round(statistics.mean(moved), 4),
        "flipped": round(flipped / len(alone), 4),
        "rank_correlation": round(float(spearmanr(alone, packed).statistic), 3),
        "yes_alone": round(sum(score > 0.5 for score in alone) / len(alone), 3),
        "yes_packed": round(sum(score > 0.5 for score in packed) / len(alone), 3),
    }


def told(pack: int, calls: int, seconds: float) -> dict[str, float]:
    """Return the settings of the run."""
    return {"pack": pack, "calls": calls, "seconds": round(seconds, 1)}


if __name__ == "__main__":
    main()
