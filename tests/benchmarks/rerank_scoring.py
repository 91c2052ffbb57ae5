"""Scores a second: `prism rerank --no-evidence` against sentence-transformers' CrossEncoder.

    python tests/benchmarks/rerank_scoring.py BEIR_DIR [--model hf:smollm2] [--queries 4]

Same checkpoint, same prompts, 20 documents a query, passages of about N tokens (.75 N to 1.25 N).
The two take turns, encoding included; the best time of each counts. "limit" is (tail tokens +
prefix tokens once a query) / the best tokens a second of the stock forward pass over batch shapes,
divided by prism's time. A busy machine moves both sides; say so beside the figures.
"""

import argparse
import itertools
import json
import platform
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
import transformers
from sentence_transformers import CrossEncoder

from prism_cli.adapters.runtimes.transformers_runtime import TransformersReranker, load_reranker

DOCUMENTS = 20


def main() -> None:
    """Print one line of JSON a passage length."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="BEIR folder: real queries and passages")
    parser.add_argument("--model", default="hf:smollm2")
    parser.add_argument("--queries", type=int, default=4)
    parser.add_argument("--lengths", type=int, nargs="+", default=[60, 169, 250])
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--batch-tokens", type=int)
    parser.add_argument("--dtype", default="auto")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    print(
        f"{platform.processor() or platform.machine()}, {given.threads} threads, "
        f"torch {torch.__version__}, transformers {transformers.__version__}",
        file=sys.stderr,
    )
    options = {"batch_tokens": given.batch_tokens, "dtype": given.dtype, "evidence": False}
    ours = load_reranker(given.model, **options)
    theirs = cross_encoder(ours)
    for length in given.lengths:
        pairs = make_pairs(given.data, ours, length, given.queries)
        print(json.dumps(compare(ours, theirs, pairs, length, given.turns)), flush=True)


def cross_encoder(ours: TransformersReranker) -> CrossEncoder:
    """The same weights in a CrossEncoder, with the profile as its chat template."""
    loaded = ours.loaded
    model = CrossEncoder(
        str(loaded.path),
        device=str(loaded.model.device),
        model_kwargs={"dtype": loaded.model.dtype},
        local_files_only=True,
    )
    profile = loaded.profile
    role = '{{{{ messages | selectattr("role", "eq", "{0}") | map(attribute="content") | first }}}}'
    template = "".join(
        (
            literal(profile.before_query),
            role.format("query"),
            literal(profile.before_document),
            role.format("document"),
            literal(profile.suffix),
        )
    )
    model.tokenizer.chat_template = template
    return model


def literal(text: str) -> str:
    """`text` as a Jinja expression, so that no newline is lost."""
    return "{{ " + json.dumps(text) + " }}"


def make_pairs(
    data: Path, ours: TransformersReranker, length: int, queries: int
) -> list[tuple[str, str]]:
    """Real queries with passages cut from real text."""
    lines = (data / "queries.jsonl").read_text(encoding="utf-8").splitlines()
    asked = [json.loads(line)["text"] for line in lines[:queries]]
    lines = (data / "corpus.jsonl").read_text(encoding="utf-8").splitlines()
    text = " ".join(json.loads(line)["text"] for line in lines)
    ids = itertools.cycle(ours.encoder.document_ids([text])[0])
    lot = random.Random(length)
    decode = ours.loaded.tokenizer.decode
    return [
        (query, decode(list(itertools.islice(ids, lot.randint(3 * length // 4, 5 * length // 4)))))
        for query in asked
        for _ in range(DOCUMENTS)
    ]


def compare(
    ours: TransformersReranker,
    theirs: CrossEncoder,
    pairs: list[tuple[str, str]],
    length: int,
    turns: int,
) -> dict[str, float]:
    """Times, ratio, limit and the largest difference of logits."""
    identity = torch.nn.Identity()
    ours_seconds = theirs_seconds = float("inf")
    speed = 0.0
    for _ in range(turns):
        seconds, logits = timed(lambda: score(ours, pairs))
        ours_seconds = min(ours_seconds, seconds)
        seconds, other = timed(
            lambda: theirs.predict(pairs, activation_fn=identity, show_progress_bar=False).tolist()
        )
        theirs_seconds = min(theirs_seconds, seconds)
        speed = max(speed, forward_speed(ours, length))
    prompts = ours.encoder.encode_batch(pairs)
    tokens = sum(len(prompt.tail_ids) for prompt in prompts)
    tokens += sum({query: len(ours.encoder.prefix_ids(query)) for query, _ in pairs}.values())
    return {
        "passage_tokens": length,
        "pairs": len(pairs),
        "prism_seconds": round(ours_seconds, 2),
        "cross_encoder_seconds": round(theirs_seconds, 2),
        "ratio": round(theirs_seconds / ours_seconds, 3),
        "limit": round(tokens / speed / ours_seconds, 3),
        "forward_tokens_per_second": round(speed),
        "largest_difference": max(abs(a - b) for a, b in zip(logits, other, strict=True)),
    }


def score(ours: TransformersReranker, pairs: list[tuple[str, str]]) -> list[float]:
    """All logits, with nothing kept from an earlier turn."""
    ours.forget()
    logits = [0.0] * len(pairs)
    for batch in ours.plan(pairs):
        for index, reply in zip(batch, ours.answer([pairs[i] for i in batch]), strict=True):
            logits[index] = reply.value["logit"]
    return logits


def forward_speed(ours: TransformersReranker, length: int) -> float:
    """Best tokens a second of the stock forward pass (no head) over batch shapes."""
    model = ours.loaded.model
    best = 0.0
    for rows in (8, 16, 32):
        ids = torch.randint(100, 40_000, (rows, length), device=model.device)
        with torch.inference_mode():
            seconds, _ = timed(lambda ids=ids: model.get_decoder()(ids, use_cache=False))
        best = max(best, ids.numel() / seconds)
    return best


def timed(work: Callable[[], object]) -> tuple[float, object]:
    """Seconds, and what came of it."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    started = time.perf_counter()
    result = work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started, result


if __name__ == "__main__":
    main()
