"""Figures of training: tokens a second, share of the peak and memory, for gpu_check."""

import gc
import os
import socket
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch

from prism_cli.configs.load import load_config
from prism_cli.configs.train import TrainConfig
from prism_cli.modeling.encode import PromptEncoder
from prism_cli.modeling.losses import RowBatch, RowForward, TokenizedRow
from prism_cli.training.arguments import training_arguments
from prism_cli.training.batches import StepDataset, passes_of_rank
from prism_cli.training.callbacks import StepHooks
from prism_cli.training.meter import TIMED
from prism_cli.training.preparing import trainable
from prism_cli.training.process_group import ProcessGroup
from prism_cli.training.request import TrainRequest
from prism_cli.training.trainer import PrismTrainer, StepSettings
from tests.benchmarks.gpu_checks import training_rows
from tests.benchmarks.gpu_models import Work, loaded_model, work_of

Figures = dict[str, Any]


class TrainingSizes(NamedTuple):
    """Tokens of the documents of a step, and how many steps are measured after `warm` others."""

    lengths: tuple[int, ...] = (120, 250, 400, 700) * 4
    warm: int = 2
    steps: int = 6


TINY = TrainingSizes((10, 20, 30, 40), 1, 2)


class Step(NamedTuple):
    """What one step computes."""

    tokens: float
    keys: float
    head_tokens: float


class _Rows(StepDataset):
    """The same rows in each step."""

    def __init__(self, rows: list[TokenizedRow], steps: int) -> None:
        self._own, self._steps = rows, steps

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, step: int) -> list[TokenizedRow]:
        return self._own


def training(
    name: str,
    device: str,
    method: str,
    *,
    recompute: bool,
    sharded: bool = False,
    packed: bool = True,
    attn: str = "sdpa",
    tiny: bool = False,
) -> list[Figures]:
    """Return figures of `prism train` with the settings of the recipe 2b.

    Args:
        method: lora or full.
        recompute: with gradient checkpointing.
        sharded: with FSDP 2, over one process; only on a GPU, in a process of its own.
        packed: also pack rows of hybrids, where there are kernels for it.
    """
    sizes, place = TINY if tiny else TrainingSizes(), torch.device(device)
    steps = sizes.warm + sizes.steps
    dtype = "bfloat16" if place.type == "cuda" else "float32"
    config = load_config(
        TrainConfig,
        "train",
        recipe="2b",
        sets=[
            f"method={method}", f"dtype={dtype}",
            f"gradient_checkpointing={str(recompute).lower()}",
            f"rows_per_step={len(sizes.lengths)}", "log_steps=1", "warmup_steps=1",
        ],
    )  # fmt: skip
    if sharded:
        _join_alone()
    weights = torch.bfloat16 if dtype == "bfloat16" else torch.float32
    loaded = loaded_model(name, place, weights, tiny=tiny, attn=attn)
    encoder = PromptEncoder(loaded.tokenizer, loaded.profile)
    rows = training_rows(encoder, sizes.lengths)
    forward = RowForward(
        trainable(loaded.model, config, None), encoder.yes_id, encoder.no_id, pack_hybrids=packed
    )
    work = work_of(forward.model)
    logged: list[Figures] = []
    if place.type == "cuda":
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(place)
    with TemporaryDirectory() as folder:
        request = TrainRequest(
            config, [], Path(folder), watch=_Watch(), say=print,
            show=lambda *_: nullcontext(_Bar()), device=device,
        )  # fmt: skip
        arguments = training_arguments(request, steps)
        arguments.save_strategy = "no"  # type: ignore[assignment]
        trainer = PrismTrainer(
            ProcessGroup.of(device),
            forward,
            arguments,
            _Rows(rows, steps),
            StepSettings(config.gamma_point, config.gamma_sft, len(rows), config.tokens_per_batch),
            StepHooks(
                on_resume=lambda _: None,
                on_step=lambda _: None,
                stop_requested=lambda: False,
                ends_early=lambda: False,
                on_log=lambda _, figures: logged.append(figures),
            ),
            Path(folder) / "checkpoints",
            1,
        )
        trainer.train()
    losses = [one["loss"] for one in logged]
    timings = [one[TIMED] for one in logged[sizes.warm : steps]]
    seconds = median(one["seconds"] for one in timings)
    step = _step(rows, config.tokens_per_batch, forward)
    own_tokens = sum(row.tokens for row in rows)
    return [
        {
            "model": name,
            "method": f"{method}{', FSDP 2' if sharded else ''}",
            "attention": attn,
            "checkpointing": recompute,
            "packed": forward.packs,
            "rows_per_second": len(rows) / seconds,
            "tokens_per_second": own_tokens / seconds,
            "flops": _operations(work, step, method) / seconds,
            "peak_memory_gib": timings[-1]["peak_memory_bytes"] / 2**30,
            "first_loss": losses[0],
            "last_loss": losses[-1],
        }
    ]


def _operations(work: Work, step: Step, method: str) -> float:
    return work.training(*step, full=method == "full")


def _step(rows: Sequence[TokenizedRow], budget: int, forward: RowForward) -> Step:
    """Return the work of a step; a prefix counts once a pass if its rows share it."""
    tokens = keys = 0
    for one in passes_of_rank(rows, budget, 0.0 if forward.packs else 0.8, 0, 1):
        layout = RowBatch.of(one.rows).layout
        shared = layout.shared_prefix
        tokens += sum(layout.lengths) + (shared if forward.packs else shared * len(one.rows))
        keys += sum(own * shared + own * (own + 1) // 2 for own in layout.lengths)
        keys += shared * (shared + 1) // 2 * (1 if forward.packs else len(one.rows))
    return Step(tokens, keys, sum(len(row.target) for row in rows))


class _Watch:
    stopping = False

    def check(self) -> None:
        """Let the run go on."""


class _Bar:
    def advance(self, rows: int, usd: float) -> None:
        """Count nothing."""

    def skip(self, rows: int) -> None:
        """Count nothing."""


def _join_alone() -> None:
    """Set the environment of `accelerate launch --use_fsdp --fsdp_version 2` with one process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    os.environ.update(
        RANK="0", WORLD_SIZE="1", LOCAL_RANK="0", LOCAL_WORLD_SIZE="1",
        MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port),
        ACCELERATE_USE_FSDP="true", FSDP_VERSION="2",
        FSDP_AUTO_WRAP_POLICY="TRANSFORMER_BASED_WRAP", FSDP_CPU_RAM_EFFICIENT_LOADING="true",
    )  # fmt: skip
