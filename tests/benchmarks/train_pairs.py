"""Pairs a second in training: prism's passes against a batch-1 accumulate-16 loop.

    python tests/benchmarks/train_pairs.py ROWS [--steps 20] [--turns 2] [--dtype float32]

ROWS is a file that `prism train` takes, such as demo/data/train.jsonl of the quickstart. Both train
the adapters of the recipe `tiny` (or --recipe) on the same 16 rows a step with the same objective;
the loop takes one row at a time and computes the whole head at every token. Each turn is a process
of its own, one after the other, so that memory peaks can be compared; the best turn counts. The
first step warms up and is not counted. Pairs a second of the wall and of the processors: the second
says more on a machine that others use too. In float32 the losses must agree to 1e-4.
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
from prism_cli.shards.reader import find_shards, measure
from prism_cli.training.batches import Steps, token_batches
from prism_cli.training.data import tokenize

ROWS_PER_STEP = 16


def main() -> None:
    """Print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows")
    parser.add_argument("--steps", type=int, default=20, help="at least 2")
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--recipe", default="tiny")
    parser.add_argument("--model")
    parser.add_argument("--worker", choices=["prism", "loop"], help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        print(json.dumps(work(given)))
        return
    turns: dict[str, list[dict[str, Any]]] = {"prism": [], "loop": []}
    for _ in range(given.turns):
        for worker, found in turns.items():
            words = [sys.executable, __file__, *sys.argv[1:], "--worker", worker]
            done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
            found.append(json.loads(done.stdout.splitlines()[-1]))
    speeds: dict[str, float] = {}
    for kind in ("wall", "processor"):
        best = {worker: max(one[kind] for one in runs) for worker, runs in turns.items()}
        for worker, speed in best.items():
            speeds[f"{kind}_{worker}_pairs_per_second"] = round(speed, 2)
        speeds[f"{kind}_ratio"] = round(best["prism"] / best["loop"], 2)
    pairs = zip(turns["prism"][0]["losses"], turns["loop"][0]["losses"], strict=True)
    difference = max(abs(a - b) / b for a, b in pairs)
    print(
        json.dumps(
            {
                "machine": platform.processor() or platform.machine(),
                "threads": torch.get_num_threads(),
                "dtype": given.dtype,
                "steps": given.steps,
                **speeds,
                "largest_relative_loss_difference": difference,
                **{
                    f"{worker}_peak_gib": round(min(one["peak_bytes"] for one in runs) / 2**30, 2)
                    for worker, runs in turns.items()
                },
            }
        )
    )
    if given.dtype == "float32" and not difference < 1e-4:
        sys.exit("the losses differ")


def work(given: argparse.Namespace) -> dict[str, Any]:
    """Losses, speed without the first step, and the peak of resident (on a GPU: its) memory."""
    sets = [f"dtype={given.dtype}"] + ([f"model={given.model}"] if given.model else [])
    config = load_config(TrainConfig, "train", recipe=given.recipe, sets=sets)
    encoder = load_encoder(config.model, config.max_tokens, profile=config.profile)
    set_seed(config.seed)
    loaded = load_model(config.model, dtype=config.dtype, profile=config.profile)
    model = add_lora(loaded.model, **config.lora.model_dump())
    model.train()
    trained = [one for one in model.parameters() if one.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=config.learning_rate / 10)
    device = trained[0].device
    passes = {"prism": packed_passes, "loop": single_rows}[given.worker]
    gradients = passes(model, encoder, config, device)
    losses: list[float] = []
    wall = processor = 0.0
    with tempfile.TemporaryDirectory() as folder:
        steps = tokenized_steps(given.rows, encoder, Path(folder), given.steps, config)
        for number in range(given.steps):
            rows = steps[number]
            started, busy = time.perf_counter(), time.process_time()
            losses.append(gradients(rows))
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            optimizer.zero_grad()
            if number:
                wall += time.perf_counter() - started
                processor += time.process_time() - busy
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if device.type == "cuda":
        peak = torch.cuda.max_memory_allocated()
    pairs = (given.steps - 1) * ROWS_PER_STEP
    speeds = {"wall": pairs / wall, "processor": pairs / processor}
    return {"losses": losses, **speeds, "peak_bytes": peak}


def tokenized_steps(
    rows: str, encoder: PromptEncoder, folder: Path, steps: int, config: TrainConfig
) -> Steps:
    """The rows of each step."""
    shards = find_shards([rows])
    digests = [measure(shard.path).sha256 for shard in shards]
    table = tokenize(shards, encoder, folder / "tokens", digests=digests)
    draws = draw_rows(table.pools, config.sft_ratio, config.mixture, 0, steps * ROWS_PER_STEP)
    return Steps(table, draws, ROWS_PER_STEP)


Gradients = Callable[[list[TokenizedRow]], float]
"""Adds the gradients of one step's rows; its loss."""


def packed_passes(
    model: torch.nn.Module, encoder: PromptEncoder, config: TrainConfig, device: torch.device
) -> Gradients:
    """As `prism train` does it."""
    forward = RowForward(model, encoder.yes_id, encoder.no_id)

    def gradients(rows: list[TokenizedRow]) -> float:
        total = 0.0
        for some in token_batches(rows, config.tokens_per_batch):
            batch = RowBatch.of(some, device)
            with autocast(device, config):
                pointwise, sft = step_loss(*forward(batch), batch)
            loss = (pointwise + sft).sum() / ROWS_PER_STEP
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.item()
        return total

    return gradients


def single_rows(
    model: Any, encoder: PromptEncoder, config: TrainConfig, device: torch.device
) -> Gradients:
    """A row at a time, the whole head at every token."""

    def row_loss(row: TokenizedRow) -> Tensor:
        ids = torch.tensor([[*row.prompt, *row.target]], device=device)
        with autocast(device, config):
            logits = model(input_ids=ids, use_cache=False).logits[0].float()
        at = len(row.prompt) - 1
        score = torch.sigmoid(logits[at, encoder.yes_id] - logits[at, encoder.no_id])
        loss = 10 * float(row.pointwise) * (score - row.teacher_score) ** 2
        if row.target:
            wanted = torch.tensor(row.target, device=device)
            behind = logits[at : at + len(wanted)]
            loss = loss + torch.nn.functional.cross_entropy(behind, wanted)
        return loss

    def gradients(rows: list[TokenizedRow]) -> float:
        total = 0.0
        for row in rows:
            loss = row_loss(row) / ROWS_PER_STEP
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.item()
        return total

    return gradients


def autocast(device: torch.device, config: TrainConfig) -> torch.autocast:
    """bfloat16 products where the recipe has them."""
    return torch.autocast(device.type, torch.bfloat16, enabled=config.dtype == "bfloat16")


if __name__ == "__main__":
    main()
