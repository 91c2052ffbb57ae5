"""Pairs a second in training: prism's passes against a batch-1 accumulate-16 loop.

    python tests/benchmarks/train_pairs.py ROWS [--steps 20] [--turns 2] [--dtype float32]

ROWS is a file that `prism train` takes, such as demo/data/train.jsonl of the quickstart. Both train
the adapters of the recipe `tiny` (or --recipe) on the same 16 rows a step with the same objective;
the loop takes one row at a time and computes the whole head at every token. Each turn is a process
of its own, one after the other, so that memory peaks can be compared; the best turn counts. The
first step warms up and is not counted. Pairs a second of the wall and of the processors: the second
says more on a machine that others use too. In float32 the losses must agree to 1e-4.

    python tests/benchmarks/train_pairs.py ROWS --tokens 256 1024 4096 --rows-per-step 4 --steps 4

is the cost of growth: documents are joined until each prompt has so many tokens. `grown` is what
resident memory rose by after the first quarter of the steps: with --steps 200 --workers prism it
shows whether kernels that are kept for each shape of a pass add up. --model takes any spec, a
folder with a Qwen3.5 too.
"""

import argparse
import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import set_seed

from prism_cli.configs.load import load_config
from prism_cli.configs.train import TrainConfig
from prism_cli.domain.mixture import draw_rows
from prism_cli.modeling.encode import PromptEncoder
from prism_cli.modeling.loading import load_encoder, load_model
from prism_cli.modeling.lora import add_lora
from prism_cli.modeling.losses import RowBatch, RowForward, TokenizedRow, step_loss
from prism_cli.shards.file_digest import digest_file
from prism_cli.shards.reader import find_shards
from prism_cli.training.batches import StepDataset, token_batches
from prism_cli.training.data import tokenize


def main() -> None:
    """Print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows")
    parser.add_argument("--steps", type=int, default=20, help="at least 2")
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--recipe", default="tiny")
    parser.add_argument("--model")
    parser.add_argument("--tokens", type=int, nargs="+", help="of each prompt; as they are")
    parser.add_argument("--rows-per-step", type=int, default=16)
    parser.add_argument("--tokens-per-batch", type=int, help="prism's; the recipe's")
    parser.add_argument("--workers", nargs="+", default=["prism", "loop"])
    parser.add_argument("--worker", choices=["prism", "loop"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(work(options)))
        return
    same = [compare(options, tokens) for tokens in options.tokens or [0]]
    if options.dtype == "float32" and not all(same):
        sys.exit("the losses differ")


def compare(options: argparse.Namespace, tokens: int) -> bool:
    """Print one line of JSON; return whether the losses agree to 1e-4."""
    turns: dict[str, list[dict[str, Any]]] = {worker: [] for worker in options.workers}
    for _ in range(options.turns):
        for worker, results in turns.items():
            words = [sys.executable, __file__, *sys.argv[1:], "--worker", worker]
            words += ["--tokens", str(tokens)] if tokens else []
            done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
            results.append(json.loads(done.stdout.splitlines()[-1]))
    speeds: dict[str, float] = {}
    for kind in ("wall", "processor"):
        best = {worker: max(result[kind] for result in runs) for worker, runs in turns.items()}
        for worker, speed in best.items():
            speeds[f"{kind}_{worker}_pairs_per_second"] = round(speed, 2)
            speeds[f"{kind}_{worker}_seconds_per_step"] = round(options.rows_per_step / speed, 2)
        if len(best) == 2:
            speeds[f"{kind}_ratio"] = round(best["prism"] / best["loop"], 2)
    first, *others = (runs[0]["losses"] for runs in turns.values())
    difference = max(
        (abs(a - b) / b for other in others for a, b in zip(first, other, strict=True)), default=0.0
    )
    print(
        json.dumps(
            {
                "machine": platform.processor() or platform.machine(),
                "threads": torch.get_num_threads(),
                "dtype": options.dtype,
                "tokens": tokens or "as they are",
                "rows_per_step": options.rows_per_step,
                "steps": options.steps,
                **speeds,
                "largest_relative_loss_difference": difference,
                **{
                    f"{worker}_peak_gib": round(
                        min(result["peak_bytes"] for result in runs) / 2**30, 2
                    )
                    for worker, runs in turns.items()
                },
                **{
                    f"{worker}_grown_gib": round(min(result["grown"] for result in runs) / 2**30, 3)
                    for worker, runs in turns.items()
                },
            }
        ),
        flush=True,
    )
    return difference < 1e-4


def work(options: argparse.Namespace) -> dict[str, Any]:
    """Return losses, speed without the first step, and peak resident (on a GPU: device) memory."""
    sets = [f"dtype={options.dtype}"] + ([f"model={options.model}"] if options.model else [])
    if options.tokens_per_batch:
        sets.append(f"tokens_per_batch={options.tokens_per_batch}")
    config = load_config(TrainConfig, "train", recipe=options.recipe, sets=sets)
    longest = options.tokens[0] if options.tokens else config.max_tokens
    encoder = load_encoder(config.model, longest, profile=config.profile)
    set_seed(config.seed)
    loaded = load_model(config.model, dtype=config.dtype, profile=config.profile)
    model = add_lora(loaded.model, **asdict(config.lora))
    model.train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=config.learning_rate / 10)
    device = trained[0].device
    passes = {"prism": packed_passes, "loop": single_rows}[options.worker]
    per_step = options.rows_per_step
    gradients = passes(model, encoder, config, device, per_step)
    losses: list[float] = []
    wall = processor = 0.0
    quarter = 0
    with tempfile.TemporaryDirectory() as folder:
        rows = lengthened(options.rows, longest, Path(folder)) if options.tokens else options.rows
        steps = tokenized_steps(rows, encoder, Path(folder), options.steps, config, per_step)
        for number in range(options.steps):
            if number == max(options.steps // 4, 1):
                quarter = resident()
            rows_of_step = steps[number]
            started, busy = time.perf_counter(), time.process_time()
            losses.append(gradients(rows_of_step))
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            optimizer.zero_grad()
            if number:
                wall += time.perf_counter() - started
                processor += time.process_time() - busy
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if device.type == "cuda":
        peak = torch.cuda.max_memory_allocated()
    pairs = (options.steps - 1) * per_step
    speeds = {"wall": pairs / wall, "processor": pairs / processor}
    return {"losses": losses, **speeds, "peak_bytes": peak, "grown": resident() - quarter}


def resident() -> int:
    """Return the resident bytes of this process (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def lengthened(rows: str, tokens: int, folder: Path) -> str:
    """Append following rows' documents to each row's, for prompts of at least `tokens`."""
    lines = [json.loads(line) for line in Path(rows).read_text().splitlines()]
    documents = [row["document"] for row in lines]
    for number, row in enumerate(lines):
        while len(row["document"]) < 8 * tokens:  # characters; the encoder cuts to the token
            row["document"] += " " + documents[number % len(documents)]
            number += 1
    path = folder / "long.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in lines))
    return str(path)


def tokenized_steps(
    rows: str,
    encoder: PromptEncoder,
    folder: Path,
    steps: int,
    config: TrainConfig,
    per_step: int,
) -> StepDataset:
    """Return the rows of each step."""
    shards = find_shards([rows])
    digests = [digest_file(shard.path).sha256 for shard in shards]
    table = tokenize(shards, encoder, folder / "tokens", digests=digests)
    draws = draw_rows(table.pools, config.sft_ratio, config.mixture, 0, steps * per_step)
    return StepDataset(table, draws, per_step)


Gradients = Callable[[list[TokenizedRow]], float]
"""Adds the gradients of one step's rows; its loss."""


def packed_passes(
    model: torch.nn.Module,
    encoder: PromptEncoder,
    config: TrainConfig,
    device: torch.device,
    per_step: int,
) -> Gradients:
    """Return the passes of `prism train`."""
    forward = RowForward(model, encoder.yes_id, encoder.no_id)

    def gradients(rows: list[TokenizedRow]) -> float:
        total = 0.0
        for some in token_batches(rows, config.tokens_per_batch, 0.0 if forward.packs else 0.8):
            batch = RowBatch.of(some, device)
            with autocast(device, config):
                pointwise, sft = step_loss(*forward(batch), batch)
            loss = (pointwise + sft).sum() / per_step
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.item()
        return total

    return gradients


def single_rows(
    model: Any,
    encoder: PromptEncoder,
    config: TrainConfig,
    device: torch.device,
    per_step: int,
) -> Gradients:
    """Return a loop of one row at a time, with the whole head at every token."""

    def row_loss(row: TokenizedRow) -> Tensor:
        ids = torch.tensor([[*row.prompt, *row.target]], device=device)
        with autocast(device, config):
            logits = model(input_ids=ids, use_cache=False).logits[0].float()
        at = len(row.prompt) - 1
        score = torch.sigmoid(logits[at, encoder.yes_id] - logits[at, encoder.no_id])
        loss = 10 * float(row.pointwise) * (score - row.teacher_score) ** 2
        if row.target:
            targets = torch.tensor(row.target, device=device)
            behind = logits[at : at + len(targets)]
            loss = loss + torch.nn.functional.cross_entropy(behind, targets)
        return loss

    def gradients(rows: list[TokenizedRow]) -> float:
        total = 0.0
        for row in rows:
            loss = row_loss(row) / per_step
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.item()
        return total

    return gradients


def autocast(device: torch.device, config: TrainConfig) -> torch.autocast:
    """Return a bfloat16 autocast context if the recipe has one."""
    return torch.autocast(device.type, torch.bfloat16, enabled=config.dtype == "bfloat16")


if __name__ == "__main__":
    main()
