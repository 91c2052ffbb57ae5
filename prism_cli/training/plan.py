"""What a run will do, known before its first step: rows, draws, steps, tokens, memory."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prism_cli.configs.train import TrainConfig
from prism_cli.domain.mixture import Draws, draw_rows, epoch_draws, step_count
from prism_cli.errors import UsageError
from prism_cli.training.arguments import warmup_steps
from prism_cli.training.data import TokenizedRows
from prism_cli.training.memory import LargestPass, memory_estimate

_FIRST_BIN = 64


@dataclass(frozen=True)
class Plan:
    """A run before its first step.

    Attributes:
        figures: plain numbers, as the manifest has them; see `make_plan`.
        notes: what a person should know, a sentence each.
    """

    steps: int
    draws: Draws
    figures: dict[str, Any]
    notes: list[str]


def make_plan(
    config: TrainConfig, rows: TokenizedRows, dev: TokenizedRows | None, processes: int, device: str
) -> Plan:
    """The plan of a run on `rows`.

    Its figures: `rows` (usable, pointwise_alone, sft_alone, both, dropped by reason, rejected,
    truncated, truncated_share), `dev_rows`, `lengths` (histogram over rows of prompt and target
    tokens, mean, median, longest), `draws` (all, from_sft), `steps`, `warmup_steps`, `tokens` (that
    go through the model, over all draws), `largest_pass` (a bound on its tokens) and
    `memory_bytes` (`training/memory.py`).

    Args:
        device: a type, such as cpu or cuda.

    Raises:
        UsageError: fewer rows a step than processes.
        ModelError: as `memory_estimate`.
    """
    if config.rows_per_step < processes:
        raise UsageError(
            f"rows_per_step = {config.rows_per_step}: expected at least one row for each of "
            f"the {processes} processes"
        )
    steps = step_count(
        epoch_draws(rows.pools, config.sft_ratio, config.mixture),
        config.epochs,
        config.rows_per_step,
    )
    if config.max_steps is not None:
        steps = min(steps, config.max_steps)
    draws = draw_rows(
        rows.pools, config.sft_ratio, config.mixture, config.seed, steps * config.rows_per_step
    )
    prompt, target = rows.lengths("prompt"), rows.lengths("target")
    drawn_target = np.where(draws.from_sft, target[draws.rows], 0)
    drawn = prompt[draws.rows] + np.maximum(drawn_target - 1, 0)
    largest = LargestPass(
        tokens=_largest(drawn, config, processes),
        target_tokens=_largest(drawn_target, config, processes),
        longest=int(drawn.max()),
    )
    counts = rows.counts
    figures = {
        "rows": {
            "usable": counts["rows"],
            "pointwise_alone": counts["pointwise"] - counts["both"],
            "sft_alone": counts["sft"] - counts["both"],
            "both": counts["both"],
            "dropped": counts["dropped"],
            "rejected": counts["rejected"],
            "truncated": counts["truncated"],
            "truncated_share": counts["truncated"] / counts["rows"],
        },
        "dev_rows": len(dev) if dev else 0,
        "lengths": _lengths(prompt + target),
        "draws": {"all": len(draws.rows), "from_sft": int(draws.from_sft.sum())},
        "steps": steps,
        "warmup_steps": warmup_steps(config, steps),
        "tokens": int(drawn.sum()),
        "largest_pass": largest.tokens,
        "memory_bytes": memory_estimate(config, largest, device),
    }
    return Plan(steps, draws, figures, _notes(config, rows, dev, steps))


def _notes(
    config: TrainConfig, rows: TokenizedRows, dev: TokenizedRows | None, steps: int
) -> list[str]:
    notes = []
    pools = rows.pools
    if not len(pools.sft) or not len(pools.pointwise):
        kind = "sft" if len(pools.sft) else "pointwise"
        if config.mixture == "mixed" or kind == "pointwise":
            notes.append(
                f"all usable rows have the {kind} objective alone: mixture = "
                f'"{config.mixture}" and sft_ratio are void'
            )
    if config.warmup_ratio is None and config.warmup_steps >= steps:
        notes.append(
            f"warmup_steps = {config.warmup_steps} is not less than the {steps} steps of this "
            "run: the learning rate never reaches its peak. Set warmup_steps or warmup_ratio"
        )
    if config.patience is not None and dev is None:
        notes.append(f"patience = {config.patience} is void without --dev")
    return notes


def _largest(drawn: NDArray[Any], config: TrainConfig, processes: int) -> int:
    """A bound on the tokens of any pass: what a process has of a step, within the budget."""
    steps = drawn.reshape(-1, config.rows_per_step)
    shares = [steps[:, rank::processes].sum(axis=1).max() for rank in range(processes)]
    return max(min(int(max(shares)), config.tokens_per_batch), int(drawn.max()))


def _lengths(tokens: NDArray[Any]) -> dict[str, Any]:
    """Bins that double: 1-64, 65-128, …, from the first that has a row to the last."""
    bins = np.ceil(np.log2(np.maximum(tokens, _FIRST_BIN) / _FIRST_BIN)).astype(int)
    histogram = []
    for number in range(bins.min(), bins.max() + 1):
        low, high = _FIRST_BIN << number - 1 if number else 0, _FIRST_BIN << number
        histogram.append({"tokens": f"{low + 1}-{high}", "rows": int((bins == number).sum())})
    return {
        "histogram": histogram,
        "mean": float(tokens.mean()),
        "median": float(np.median(tokens)),
        "longest": int(tokens.max()),
    }
