"""The rows of a step, and their batches: one forward pass each."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from prism_cli.domain.mixture import Draws
from prism_cli.modeling.losses import TokenizedRow
from prism_cli.training.data import TokenizedRows


class StepDataset(Dataset[list[TokenizedRow]]):
    """Dataset for a DataLoader: item `n` is the rows of optimizer step `n`.

    Args:
        rows_per_step: rows of a step over all processes.
        rank, world_size: of this process; see `assign_to_ranks`.
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
        own = assign_to_ranks(tokens.tolist(), self._world_size)[self._rank]
        return self._rows.draws(rows[own].tolist(), from_sft[own].tolist())


def assign_to_ranks(tokens: Sequence[int], world_size: int) -> list[list[int]]:
    """Return row indices for each process, with about equal numbers of tokens.

    Rows are assigned longest first, each to the process with the fewest tokens; every process gets
    a row if there are enough. Indices are ascending for each process.
    """
    assigned: list[list[int]] = [[] for _ in range(world_size)]
    totals = [0] * world_size
    for row in sorted(range(len(tokens)), key=lambda row: -tokens[row]):
        rank = totals.index(min(totals))
        assigned[rank].append(row)
        totals[rank] += tokens[row]
    return [sorted(rows) for rows in assigned]


def token_batches(
    rows: Sequence[TokenizedRow], budget: int, similarity: float = 0.0
) -> list[list[TokenizedRow]]:
    """Sort `rows` by descending length into batches of at most `budget` padded tokens.

    A batch has at least one row.

    Args:
        similarity: minimum length of a row, as a share of the longest row in its batch; at most
            1 - similarity of a padded batch is padding.
    """
    batches: list[list[TokenizedRow]] = []
    width = 0
    for row in sorted(rows, key=lambda row: row.tokens, reverse=True):
        fits = bool(batches) and (len(batches[-1]) + 1) * width <= budget
        if fits and row.tokens >= similarity * width:
            batches[-1].append(row)
        else:
            batches.append([row])
            width = row.tokens
    return batches


def _lengths(rows: TokenizedRows, column: str) -> NDArray[Any]:
    chunks = rows.table.data.column(column).chunks
    return np.concatenate([chunk.value_lengths().to_numpy() for chunk in chunks])
