"""A step's rows, and how they are split into passes through the model."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from prism_cli.domain.mixture import Draws
from prism_cli.modeling.losses import TokenizedRow
from prism_cli.training.data import TokenizedRows


class Steps(Dataset[list[TokenizedRow]]):
    """Item `n` is the rows of optimizer step `n`: what a DataLoader iterates, one item a batch.

    Args:
        rows_per_step: rows of a step over all processes.
        rank, world_size: which of how many processes this one is; see `deal`.
    """

    def __init__(
        self,
        rows: TokenizedRows,
        draws: Draws,
        rows_per_step: int,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self._rows = rows
        self._draws = draws
        self._rows_per_step = rows_per_step
        self._rank, self._world_size = rank, world_size
        self._prompts, self._targets = (_lengths(rows, name) for name in ("prompt", "target"))

    def __len__(self) -> int:
        return len(self._draws.rows) // self._rows_per_step

    def __getitem__(self, step: int) -> list[TokenizedRow]:
        span = slice(step * self._rows_per_step, (step + 1) * self._rows_per_step)
        rows, from_sft = self._draws.rows[span], self._draws.from_sft[span]
        tokens = self._prompts[rows] + np.where(from_sft, self._targets[rows], 0)
        own = deal(tokens.tolist(), self._world_size)[self._rank]
        return self._rows.draws(rows[own].tolist(), from_sft[own].tolist())


def deal(tokens: Sequence[int], hands: int) -> list[list[int]]:
    """Numbers of rows for each of `hands` processes, with about as many tokens each.

    The longest row comes first, to whom has the fewest tokens; nobody is left without a row while
    there are as many. Rows stay in order within a hand.
    """
    dealt: list[list[int]] = [[] for _ in range(hands)]
    held = [0] * hands
    for row in sorted(range(len(tokens)), key=lambda row: -tokens[row]):
        least = held.index(min(held))
        dealt[least].append(row)
        held[least] += tokens[row]
    return [sorted(hand) for hand in dealt]


def token_batches(
    rows: Sequence[TokenizedRow], budget: int, like: float = 0.0
) -> list[list[TokenizedRow]]:
    """`rows` by falling length, in batches of at most `budget` padded tokens (one row at least).

    Args:
        like: rows of a batch have at least this share of its longest one's tokens, so that at most
            1 - like of what goes through a model that pads is padding.
    """
    batches: list[list[TokenizedRow]] = []
    width = 0
    for row in sorted(rows, key=lambda row: row.tokens, reverse=True):
        fits = bool(batches) and (len(batches[-1]) + 1) * width <= budget
        if fits and row.tokens >= like * width:
            batches[-1].append(row)
        else:
            batches.append([row])
            width = row.tokens
    return batches


def _lengths(rows: TokenizedRows, column: str) -> NDArray[Any]:
    chunks = rows.table.data.column(column).chunks
    return np.concatenate([chunk.value_lengths().to_numpy() for chunk in chunks])
