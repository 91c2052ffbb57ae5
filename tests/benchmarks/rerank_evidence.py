"""Rows with evidence a second: `prism rerank` against a loop over `model.generate`, row by row.

    python tests/benchmarks/rerank_evidence.py BEIR_DIR --model runs/tiny [--queries 4]

Same checkpoint, prompt ids, stops and limit, greedy; BM25's first 20 documents a query. The loop
takes a row's score and its text from one prompt, with transformers' cache, over a sample of the
rows. Beside prism as it is: token by token (no drafts), and with the texts of one batch at a time.
All take turns; the best time of each counts. In float32 the texts are equal, but where two tokens
are within rounding: of a text that differs the smallest distance between first and second choice
along it is printed. Wall and processor seconds: on a busy machine the second say more, with
--threads 1.

--all-yes writes a text for every row, whatever its score. --passes prints seconds of one pass over
rows of 300 tokens by rows and tokens a row: what a draft costs.
"""

import argparse
import json
import platform
import random
import sys
from pathlib import Path
from typing import Any

import torch
import transformers
from rerank_scoring import Seconds, timed

from prism_cli.adapters.datasets.beir import BeirSet
from prism_cli.adapters.first_stages.bm25 import Bm25FirstStage
from prism_cli.adapters.runtimes import transformers_runtime
from prism_cli.adapters.runtimes.text_writer import CLOSING, TextWriter
from prism_cli.adapters.runtimes.transformers_runtime import TransformersReranker, load_reranker
from prism_cli.domain.targets import parse_text
from prism_cli.modeling.decoding import Generation, PassCounts
from prism_cli.modeling.prefix_cache import gather_rows
from prism_cli.ports import Reply, RerankTask

DOCUMENTS = 20


def main() -> None:
    """Print one line of JSON a way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="BEIR folder: real queries and passages")
    parser.add_argument("--model", required=True, help="a trained one: others write nonsense")
    parser.add_argument("--queries", type=int, default=4)
    parser.add_argument("--split")
    parser.add_argument("--sample", type=int, default=16, help="rows of the loop")
    parser.add_argument("--max-new-tokens", type=int, default=256)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--batch-tokens", type=int)
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--all-yes", action="store_true")
    parser.add_argument("--passes", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(
        f"{platform.processor() or platform.machine()}, {options.threads} threads, "
        f"torch {torch.__version__}, transformers {transformers.__version__}",
        file=sys.stderr,
    )
    ours = load_reranker(options.model, batch_tokens=options.batch_tokens, dtype=options.dtype)
    if options.passes:
        print(json.dumps(pass_seconds(ours)), flush=True)
    above = float("-inf") if options.all_yes else 0.0
    data = BeirSet(options.data)
    split = options.split or data.splits[0]
    tasks = [
        RerankTask(query, text, options.max_new_tokens, above)
        for query, text in make_pairs(data, split, options.queries)
    ]
    compare(ours, tasks, options.sample, options.turns)


def make_pairs(data: BeirSet, split: str, queries: int) -> list[tuple[str, str]]:
    """Return random queries, each with the first documents of BM25."""
    texts = dict(data.texts())
    queries_sampled = random.Random(0).sample(data.judged_queries(split), queries)
    ranked = Bm25FirstStage(texts.items).search(queries_sampled, DOCUMENTS)
    return [
        (query, texts[name])
        for (_, query), hits in zip(queries_sampled, ranked, strict=True)
        for name, _ in hits
    ]


def compare(ours: TransformersReranker, tasks: list[RerankTask], sample: int, turns: int) -> None:
    """Print times, ratios and differences."""
    plain = TextWriter(ours._pass, ours.loaded.model, ours.encoder, drafts=False)
    together = transformers_runtime.WRITING_BATCHES
    ways = {
        "prism": (ours.writer, together),
        "prism without drafts": (plain, together),
        "prism, texts of one batch at a time": (ours.writer, 1),
    }
    chosen = sorted(random.Random(1).sample(range(len(tasks)), min(sample, len(tasks))))
    spent: dict[str, list[Seconds]] = {name: [] for name in [*ways, "loop", "scores"]}
    replies: dict[str, list[Reply]] = {}
    passes: dict[str, PassCounts] = {}
    texts: list[Generation | None] = []
    bare = [task._replace(max_new_tokens=0) for task in tasks]
    for _ in range(turns):
        for name, (ours.writer, transformers_runtime.WRITING_BATCHES) in ways.items():
            ours.writer.passes = PassCounts()
            seconds, replies[name] = timed(lambda: rerank(ours, tasks))
            spent[name].append(seconds)
            passes[name] = ours.writer.passes
        seconds, texts = timed(lambda: [generated(ours, tasks[row]) for row in chosen])
        spent["loop"].append(seconds)
        spent["scores"].append(timed(lambda: rerank(ours, bare))[0])
    best = {
        name: Seconds(min(run.wall for run in all_), min(run.processor for run in all_))
        for name, all_ in spent.items()
    }
    for name in ways:
        counts = passes[name]
        written = [reply for reply in replies[name] if "text" in reply.value]
        result: dict[str, Any] = {"way": name, "rows": len(tasks), "texts": len(written)}
        result["tokens"] = sum(reply.usage.output_tokens for reply in written)
        for place, kind in enumerate(Seconds._fields):
            seconds_per_row = best[name][place] / len(tasks)
            result[f"{kind}_rows_per_second"] = round(1 / seconds_per_row, 3)
            result[f"{kind}_ratio"] = round(best["loop"][place] / len(chosen) / seconds_per_row, 2)
            result[f"{kind}_share_of_scores"] = round(best["scores"][place] / best[name][place], 3)
        result["passes"] = counts.passes
        result["rows_per_pass"] = round(counts.rows / max(1, counts.passes), 1)
        result["tokens_per_row_and_pass"] = round(1 + counts.accepted / max(1, counts.rows), 2)
        result["accepted"] = round(counts.accepted / max(1, counts.proposed), 3)
        result["format_ok"] = sum(parse_text(reply.value["text"]).format_ok for reply in written)
        others = [
            (tasks[row], text)
            for row, text in zip(chosen, texts, strict=True)
            if replies[name][row].value.get("text") != (text and ours.writer.decoded(text))
        ]
        result |= {"compared": len(chosen), "different": len(others)}
        result["smallest_distances"] = [
            smallest_distance(ours, *distance_args) for distance_args in others
        ]
        print(json.dumps(result), flush=True)


def rerank(ours: TransformersReranker, tasks: list[RerankTask]) -> list[Reply]:
    """Return all replies, with no cache from an earlier turn."""
    ours.forget()
    replies: dict[int, Reply] = {}
    for batch in ours.plan(tasks):
        replies.update(zip(batch, ours.answer([tasks[row] for row in batch]), strict=True))
    return [replies[row] for row in range(len(tasks))]


@torch.inference_mode()
def generated(ours: TransformersReranker, task: RerankTask) -> Generation | None:
    """Return score, then text, of one row with transformers alone."""
    model: Any = ours.loaded.model
    encoder = ours.encoder
    ids = torch.tensor([encoder.ids(task.query, task.document)], device=model.device)
    first = model(ids, use_cache=True, logits_to_keep=1)
    logits = first.logits[0, -1].float()
    if logits[encoder.yes_id] - logits[encoder.no_id] <= task.write_above:
        return None
    ids = torch.cat([ids, ids.new_tensor([[encoder.yes_id]])], dim=1)
    stops = sorted(ours.writer.stops)
    truth_ids = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        past_key_values=first.past_key_values,
        max_new_tokens=task.max_new_tokens,
        do_sample=False,
        eos_token_id=stops,
        pad_token_id=stops[0],
        stop_strings=[CLOSING],
        tokenizer=encoder.tokenizer,
    )
    tokens = truth_ids[0, ids.shape[1] :].tolist()
    if tokens and tokens[-1] in stops:
        tokens.pop()
    return Generation(encoder.yes_id, task.max_new_tokens, ours.writer.ends[False], tokens=tokens)


@torch.inference_mode()
def smallest_distance(
    ours: TransformersReranker, task: RerankTask, text: Generation | None
) -> float:
    """Return the smallest distance between the logits of first and second choice in a text."""
    if text is None:
        return 0.0
    ids = [*ours.encoder.ids(task.query, task.document), text.first, *text.tokens]
    model: Any = ours.loaded.model
    keep = len(text.tokens) + 1
    logits = model(torch.tensor([ids], device=model.device), logits_to_keep=keep).logits[0].float()
    first, second = logits.topk(2).values.T
    return float((first - second).min())


@torch.inference_mode()
def pass_seconds(ours: TransformersReranker) -> dict[str, float]:
    """Return processor seconds by "rows x tokens a row", the best of three."""
    forward = ours._pass
    head: Any = ours.loaded.model.get_output_embeddings()
    prefix = forward.prefill([list(range(100, 200))])[0]
    result: dict[str, float] = {}
    for rows in (1, 4, 16, 32):
        _, state = forward.extend([prefix] * rows, [list(range(300, 500))] * rows, keep=True)
        assert state is not None
        state = gather_rows([(state, range(rows))], forward.attention)
        for tokens in (1, 2, 4, 8, 16) if forward.supports_rollback else (1,):
            prompts = [list(range(700, 700 + tokens))] * rows
            work = [
                timed(lambda a=prompts, s=state: head(forward.step(s, a)).argmax(-1))[0].processor
                for _ in range(3)
            ]
            result[f"{rows}x{tokens}"] = round(min(work), 4)
    return result


if __name__ == "__main__":
    main()
