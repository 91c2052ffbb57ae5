"""What a model remembers of a text: of one prompt prefix, and of a batch that goes on from it.

Keys and values of a row stand in one run of columns, from its `starts` on; other columns hold what
masks hide. Positions are counted per row, so a row's numbers do not depend on the batch it is in.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

GROWTH = 128
"""Columns by which keys and values grow while generating."""


@dataclass(frozen=True, slots=True)
class PrefixState:
    """One prefix, layer by layer.

    Attributes:
        layers: for attention (keys, values), each [kv_heads, length, head_dim]; for a linear layer
            (convolution window, recurrent state), each without a batch dimension.
        length: tokens.
    """

    layers: list[tuple[Tensor, Tensor]]
    length: int


@dataclass(slots=True)
class BatchState:
    """A batch of rows, layer by layer.

    Attributes:
        layers: as in PrefixState, with a batch dimension in front; keys and values have room behind
            the rows.
        starts: [batch] int64, the column of each row's first key.
        positions: [batch] int64, the position of each row's next token, which is its keys' number.
    """

    layers: list[tuple[Tensor, Tensor]]
    starts: Tensor
    positions: Tensor

    def visible(self, tokens: int, columns: int) -> Tensor:
        """[batch, tokens, columns] bool: the keys that each row's next tokens may look at."""
        place = torch.arange(columns, device=self.starts.device)
        ends = (self.starts + self.positions)[:, None] + place[:tokens]
        return (place >= self.starts[:, None, None]) & (place <= ends[..., None])


def state_behind(
    layers: list[tuple[Tensor, Tensor]],
    prefixes: Sequence[PrefixState],
    tails: Sequence[Sequence[int]],
) -> BatchState:
    """The state of rows whose prefixes end, and whose tails begin, in the same column."""
    device = layers[0][0].device
    before = torch.tensor([prefix.length for prefix in prefixes], device=device)
    own = torch.tensor([len(tail) for tail in tails], device=device)
    return BatchState(layers, before.max() - before, before + own)


def gathered(
    parts: Sequence[tuple[BatchState, Sequence[int]]], attention: Sequence[bool]
) -> BatchState:
    """Chosen rows of several batches as one batch, in that order, each from column 0 on.

    Args:
        parts: batches, and indices of their rows.
        attention: whether a layer has keys and values, layer by layer.
    """
    chosen = [torch.tensor(rows, device=state.starts.device) for state, rows in parts]
    positions = torch.cat([s.positions[rows] for (s, _), rows in zip(parts, chosen, strict=True)])
    longest = int(positions.max())

    def spans(layer: int, which: int) -> Tensor:
        first = parts[0][0].layers[layer][which]
        out = first.new_zeros(len(positions), first.shape[1], longest + GROWTH, first.shape[3])
        at = 0
        for (state, _), rows in zip(parts, chosen, strict=True):
            old = state.layers[layer][which]
            place = state.starts[rows][:, None] + torch.arange(longest, device=rows.device)
            place.clamp_(max=old.shape[2] - 1)
            span = old[rows[:, None], :, place].transpose(1, 2)
            out[at : at + len(rows), :, :longest] = span
            at += len(rows)
        return out

    def whole(layer: int, which: int) -> Tensor:
        each = zip(parts, chosen, strict=True)
        return torch.cat([state.layers[layer][which][rows] for (state, _), rows in each])

    layers = []
    for layer, is_attention in enumerate(attention):
        take = spans if is_attention else whole
        layers.append((take(layer, 0), take(layer, 1)))
    return BatchState(layers, torch.zeros_like(positions), positions)


def wider(tensor: Tensor, columns: int) -> Tensor:
    """Keys or values [batch, heads, room, head_dim] with room for `columns` at the least."""
    room = tensor.shape[2]
    return tensor if columns <= room else functional.pad(tensor, (0, 0, 0, columns - room + GROWTH))


def visible_keys(prefix_lengths: Sequence[int], tail_lengths: Sequence[int]) -> Tensor:
    """[batch, longest prefix + longest tail] bool: which keys are real tokens."""
    longest = max(prefix_lengths)
    prefix = torch.tensor(prefix_lengths)[:, None]
    tail = torch.tensor(tail_lengths)[:, None]
    place = torch.arange(longest + max(tail_lengths))[None]
    return (place >= longest - prefix) & (place < longest + tail)


def additive_mask(visible: Tensor, queries: int, dtype: torch.dtype) -> Tensor:
    """[batch, 1, queries, keys]: 0 where a query may look, else -inf; causal, right-aligned.

    A query that may look nowhere (padding) looks at the first key, so that nothing is NaN.

    Args:
        visible: [batch, keys] bool; the last `queries` keys are the queries' own.
    """
    keys = visible.shape[1]
    order = torch.ones(queries, keys, dtype=torch.bool, device=visible.device)
    allowed = visible[:, None, None] & order.tril(keys - queries)
    allowed[..., 0] |= ~allowed.any(-1)
    return as_additive(allowed, dtype)


def as_additive(allowed: Tensor, dtype: torch.dtype) -> Tensor:
    """0 where `allowed` (bool), else -inf."""
    mask = torch.zeros(allowed.shape, dtype=dtype, device=allowed.device)
    return mask.masked_fill_(~allowed, float("-inf"))


def padded(rows: Sequence[Sequence[int]], device: torch.device) -> Tensor:
    """[batch, longest] int64, zeros behind the shorter rows."""
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows], device=device)
