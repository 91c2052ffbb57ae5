"""A step's rows, and how they are split into passes through the model."""

from collections.abc import Sequence

from torch.utils.data import Dataset

from prism_cli.domain.mixture import Draws
from prism_cli.modeling.losses import TokenizedRow
from prism_cli.training.data import TokenizedRows


class Steps(Dataset[list[TokenizedRow]]):
    """Item `n` is the rows of optimizer step `n`: what a DataLoader iterates, one item a batch.

    Args:
        rows_per_step: rows of a step over all processes.
        rank, world_size: this process takes each `world_size`-th row, from `rank` on.
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
        self._part = slice(rank, None, world_size)

    def __len__(self) -> int:
        return len(self._draws.rows) // self._rows_per_step

    def __getitem__(self, step: int) -> list[TokenizedRow]:
        span = slice(step * self._rows_per_step, (step + 1) * self._rows_per_step)
        return self._rows.draws(
            self._draws.rows[span][self._part].tolist(),
            self._draws.from_sft[span][self._part].tolist(),
        )


def token_batches(rows: Sequence[TokenizedRow], budget: int) -> list[list[TokenizedRow]]:
    """`rows` by falling length, in batches of at most `budget` padded tokens (one row at least)."""
    batches: list[list[TokenizedRow]] = []
    width = 0
    for row in sorted(rows, key=lambda row: row.tokens, reverse=True):
        if batches and (len(batches[-1]) + 1) * width <= budget:
            batches[-1].append(row)
        else:
            batches.append([row])
            width = row.tokens
    return batches
