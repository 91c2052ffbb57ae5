"""The plan of a training run: rows, draws, steps, tokens, memory."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prism_cli.configs.train import TrainConfig
from prism_cli.domain.contradictions import NAMED
from prism_cli.domain.mixture import Draws, draw_rows, epoch_draws, step_count
from prism_cli.domain.scoring import BOUNDARY
from prism_cli.errors import UsageError
from prism_cli.modeling.model_folder import ModelFolder
from prism_cli.training.arguments import warmup_steps
from prism_cli.training.data import TokenizedRows
from prism_cli.training.memory import LargestPass, memory_estimate
from prism_cli.wording import counted

_FIRST_BIN = 64


@dataclass(frozen=True)
class Plan:
    """A training run before its first step.

    Attributes:
        figures: the plan in the manifest; see `make_plan`.
        notes: remarks for the user, one sentence each.
    """

    steps: int
    draws: Draws
    figures: dict[str, Any]
    notes: list[str]


def make_plan(
    config: TrainConfig,
    base: ModelFolder,
    rows: TokenizedRows,
    dev: TokenizedRows | None,
    processes: int,
    device: str,
) -> Plan:
    """Return the plan of a run on `rows`.

    Its figures: `rows` (usable, pointwise_alone, sft_alone, both, dropped by reason, rejected,
    truncated, truncated_share; if any, unfit_texts by reason), `dev_rows`, `lengths` (histogram
    over rows of prompt and target tokens, mean, median, longest), `draws` (all, from_sft), `steps`,
    `warmup_steps`, `tokens` (input tokens of the model over all draws), `largest_pass` (a bound on
    its tokens) and `memory_bytes` (`training/memory.py`). If they apply: `ended_by_epochs` (the
    reason for fewer steps than max_steps) and `contradictions` (pairs with both verdicts).

    Args:
        device: a type, such as cpu or cuda.

    Raises:
        UsageError: fewer rows per step than processes.
        ModelError: as `memory_estimate`.
    """
    if config.rows_per_step < processes:
        raise UsageError(
            f"rows_per_step = {config.rows_per_step}: expected at least one row for each of "
            f"the {processes} processes"
        )
    epoch = epoch_draws(rows.pools, config.sft_ratio, config.mixture)
    steps = step_count(epoch, config.epochs, config.rows_per_step)
    ended = _ended_by_epochs(config, epoch, steps)
    if config.max_steps is not None:
        steps = min(steps, config.max_steps)
    draws = draw_rows(
        rows.pools, config.sft_ratio, config.mixture, config.seed, steps * config.rows_per_step
    )
    prompt, target = rows.lengths("prompt"), rows.lengths("target")
    drawn_target = np.where(draws.from_sft, target[draws.rows], 0)
    drawn = prompt[draws.rows] + np.maximum(drawn_target - 1, 0)
    largest = LargestPass(
        tokens=_largest(drawn, config),
        target_tokens=_largest(drawn_target, config),
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
            **{name: counts[name] for name in ("unfit_texts",) if name in counts},
        },
        "dev_rows": len(dev) if dev else 0,
        "lengths": _lengths(prompt + target),
        "draws": {"all": len(draws.rows), "from_sft": int(draws.from_sft.sum())},
        "steps": steps,
        "warmup_steps": warmup_steps(config, steps),
        "tokens": int(drawn.sum()),
        "largest_pass": largest.tokens,
        "memory_bytes": memory_estimate(config, base, largest, device),
    }
    figures |= {"ended_by_epochs": ended} if ended else {}
    notes = [ended] if ended else []
    if contradictions := _contradictions(rows):
        figures["contradictions"] = contradictions
        notes.append(_contradictions_note(contradictions))
    return Plan(steps, draws, figures, notes + _notes(config, rows, dev, steps, draws))


def _ended_by_epochs(config: TrainConfig, epoch: int, steps: int) -> str | None:
    """Return the reason for fewer steps than max_steps; None if there are not fewer."""
    if config.max_steps is None or steps >= config.max_steps:
        return None
    needed = -(-config.max_steps * config.rows_per_step // epoch)
    return (
        f"{steps} steps instead of max_steps = {config.max_steps}: epochs = {config.epochs:g} of "
        f"{epoch:,} draws, {config.rows_per_step} a step, end first; --epochs {needed} is enough "
        "for all of them"
    )


def _contradictions(rows: TokenizedRows) -> dict[str, Any] | None:
    """Return pairs with different verdicts in several rows; None if there are none.

    Returns:
        `pairs` and `rows` (counts), and `first`: places and verdicts of the first NAMED pairs.
    """
    pair, verdict = rows.column("pair"), rows.column("verdict")
    yes = np.where(verdict >= 0, verdict == 1, rows.column("teacher_score") > BOUNDARY)
    _, pair_number = np.unique(pair, return_inverse=True)
    yes_count, count = np.bincount(pair_number, weights=yes), np.bincount(pair_number)
    both = (yes_count > 0) & (yes_count < count)
    if not both.any():
        return None
    contradicting = np.flatnonzero(both[pair_number])
    named: dict[int, list[str]] = {}
    for row in contradicting.tolist():
        key = int(pair_number[row])
        if key in named or len(named) < NAMED:
            named.setdefault(key, []).append(
                f"{rows.table[row]['place']} ({'yes' if yes[row] else 'no'})"
            )
    return {
        "pairs": int(both.sum()),
        "rows": len(contradicting),
        "first": [" and ".join(places[:NAMED]) for places in named.values()],
    }


_CONTRADICT = "pair contradicts itself", "pairs contradict themselves"


def _contradictions_note(figures: dict[str, Any]) -> str:
    return (
        f"{counted(figures['pairs'], *_CONTRADICT)}: the same query and document with yes and with "
        f"no, in {figures['rows']:,} rows, such as {'; '.join(figures['first'])}. Training learns "
        "both answers; correct or remove them"
    )


def _notes(
    config: TrainConfig,
    rows: TokenizedRows,
    dev: TokenizedRows | None,
    steps: int,
    draws: Draws,
) -> list[str]:
    notes = []
    pools = rows.pools
    if not len(pools.sft) or not len(pools.pointwise):
        kind = "sft" if len(pools.sft) else "pointwise"
        if config.mixture == "mixed" or kind == "pointwise":
            notes.append(
                f"all usable rows have the {kind} objective alone: mixture = "
                f'"{config.mixture}" and sft_ratio have no effect'
            )
    weights = {
        "gamma_sft": config.gamma_sft if draws.from_sft.any() else None,
        "gamma_point": config.gamma_point if rows.column("pointwise")[draws.rows].any() else None,
    }
    if not any(weights.values()):  # one is not 0, but no row has its objective
        (zero,) = (name for name, weight in weights.items() if weight == 0)
        notes.append(
            f"{zero} = 0, and no drawn row has another objective: the loss is 0 and nothing is "
            f"learned. Raise {zero}"
        )
    if config.warmup_ratio is None and config.warmup_steps >= steps:
        notes.append(
            f"warmup_steps = {config.warmup_steps} is not less than the {steps} steps of this "
            "run: the learning rate never reaches its peak. Set warmup_steps or warmup_ratio"
        )
    if config.patience is not None and dev is None:
        notes.append(f"patience = {config.patience} has no effect without --dev")
    return notes


def _largest(drawn: NDArray[Any], config: TrainConfig) -> int:
    """Return a bound on the tokens of any pass: a step, within the budget."""
    steps = drawn.reshape(-1, config.rows_per_step).sum(axis=1)
    return max(min(int(steps.max()), config.tokens_per_batch), int(drawn.max()))


def _lengths(tokens: NDArray[Any]) -> dict[str, Any]:
    """Return the figures of `lengths`; bins double: 1-64, 65-128, …, without empty outer bins."""
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
