"""The rows of a step, and their batches: one forward pass each."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from torch.utils.data import Dataset

from prism_cli.domain.mixture import Draws
from prism_cli.modeling.losses import TokenizedRow
from prism_cli.training.data import TokenizedRows


class StepDataset(Dataset[list[TokenizedRow]]):
    """Dataset for a DataLoader: item `n` is the rows of optimizer step `n`, of all processes.

    Args:
        rows_per_step: rows of a step over all processes.
    """

    def __init__(self, rows: TokenizedRows, draws: Draws, rows_per_step: int) -> None:
        self._rows = rows
        self._draws = draws
        self._rows_per_step = rows_per_step

    def __len__(self) -> int:
        return len(self._draws.rows) // self._rows_per_step

    def __getitem__(self, step: int) -> list[TokenizedRow]:
        span = slice(step * self._rows_per_step, (step + 1) * self._rows_per_step)
        rows, from_sft = self._draws.rows[span], self._draws.from_sft[span]
        return self._rows.draws(rows.tolist(), from_sft.tolist())


@dataclass(frozen=True)
class Pass:
    """Rows that go through the model together.

    Attributes:
        number: of the pass in its step, over all processes.
    """

    number: int
    rows: Sequence[TokenizedRow]


def passes_of_rank(
    rows: Sequence[TokenizedRow], budget: int, similarity: float, rank: int, world_size: int
) -> list[Pass]:
    """Return the passes of a step that the process `rank` computes.

    A step has the least number of passes that the budget allows, rounded up to a power of two, of
    about equal size. Processes get whole passes, so that each pass is the same as in a run of one
    process. If the passes cannot be divided evenly, the rows are, which changes the rounding.
    """
    batches = even_batches(rows, budget, similarity)
    if len(batches) % world_size == 0 or len(batches) == len(rows):
        tokens = [_tokens(batch) for batch in batches]
        own = assign_to_ranks(tokens, world_size)[rank]
        return [Pass(number, batches[number]) for number in own]
    own = assign_to_ranks([row.tokens for row in rows], world_size)[rank]
    batches = token_batches([rows[row] for row in own], budget, similarity)
    return [Pass(rank + number * world_size, batch) for number, batch in enumerate(batches)]


def even_batches(
    rows: Sequence[TokenizedRow], budget: int, similarity: float = 0.0
) -> list[list[TokenizedRow]]:
    """Split `rows` as `token_batches` does, into about equal batches.

    Their number is the fewest that `budget` allows, rounded up to a power of two, or that of the
    rows.
    """
    fewest = len(token_batches(rows, budget, similarity))
    number = min(1 << max(fewest - 1, 0).bit_length(), len(rows))

    def allows(size: int) -> bool:
        return len(token_batches(rows, size, similarity)) <= number

    size = bisect_left(range(budget), True, lo=1, key=allows)
    batches = token_batches(rows, size, similarity)
    while len(batches) < number:  # rows of one length fit into fewer
        largest = max(
            range(len(batches)), key=lambda at: (len(batches[at]) > 1, _tokens(batches[at]))
        )
        rows_of_largest = batches[largest]
        half = len(rows_of_largest) // 2
        batches[largest : largest + 1] = [rows_of_largest[:half], rows_of_largest[half:]]
    return batches


def _tokens(rows: Sequence[TokenizedRow]) -> int:
    return sum(row.tokens for row in rows)


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
