"""What a run will do, known before its first step: rows, draws, steps, tokens, memory."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prism_cli.configs.train import TrainConfig
from prism_cli.domain.contradictions import NAMED
from prism_cli.domain.mixture import Draws, draw_rows, epoch_draws, step_count
from prism_cli.errors import UsageError
from prism_cli.training.arguments import warmup_steps
from prism_cli.training.data import TokenizedRows
from prism_cli.training.memory import LargestPass, memory_estimate
from prism_cli.wording import counted

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
    truncated, truncated_share; where there are some unfit_texts, by reason), `dev_rows`, `lengths`
    (histogram over rows of prompt and target tokens, mean, median, longest), `draws` (all,
    from_sft), `steps`, `warmup_steps`, `tokens` (that go through the model, over all draws),
    `largest_pass` (a bound on its tokens) and `memory_bytes` (`training/memory.py`); where it is so
    `ended_by_epochs` (why there are fewer steps than max_steps) and `contradictions` (pairs that
    stand with yes and with no).

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
            **{name: counts[name] for name in ("unfit_texts",) if name in counts},
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
    figures |= {"ended_by_epochs": ended} if ended else {}
    notes = [ended] if ended else []
    if contradictions := _contradictions(rows):
        figures["contradictions"] = contradictions
        notes.append(_told(contradictions))
    return Plan(steps, draws, figures, notes + _notes(config, rows, dev, steps))


def _ended_by_epochs(config: TrainConfig, epoch: int, steps: int) -> str | None:
    """Why there are fewer steps than max_steps."""
    if config.max_steps is None or steps >= config.max_steps:
        return None
    needed = -(-config.max_steps * config.rows_per_step // epoch)
    return (
        f"{steps} steps instead of max_steps = {config.max_steps}: epochs = {config.epochs:g} of "
        f"{epoch:,} draws, {config.rows_per_step} a step, end first; --epochs {needed} is enough "
        "for all of them"
    )


def _contradictions(rows: TokenizedRows) -> dict[str, Any] | None:
    """Pairs that stand in several rows with opposite answers; None where there are none.

    Returns:
        `pairs`, `rows` (how many), and `first`: places and answers of the first NAMED pairs.
    """
    pair, verdict = rows.column("pair"), rows.column("verdict")
    yes = np.where(verdict >= 0, verdict == 1, rows.column("teacher_score") > 0.5)
    _, number = np.unique(pair, return_inverse=True)
    says_yes, says = np.bincount(number, weights=yes), np.bincount(number)
    both = (says_yes > 0) & (says_yes < says)
    if not both.any():
        return None
    concerned = np.flatnonzero(both[number])
    named: dict[int, list[str]] = {}
    for row in concerned.tolist():
        key = int(number[row])
        if key in named or len(named) < NAMED:
            named.setdefault(key, []).append(
                f"{rows.table[row]['place']} ({'yes' if yes[row] else 'no'})"
            )
    return {
        "pairs": int(both.sum()),
        "rows": len(concerned),
        "first": [" and ".join(places[:NAMED]) for places in named.values()],
    }


_CONTRADICT = "pair contradicts itself", "pairs contradict themselves"


def _told(found: dict[str, Any]) -> str:
    return (
        f"{counted(found['pairs'], *_CONTRADICT)}: the same query and document with yes and "
        f"with no, in {found['rows']:,} rows, such as {'; '.join(found['first'])}. Training learns "
        "both answers; settle them or take them out"
    )


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
