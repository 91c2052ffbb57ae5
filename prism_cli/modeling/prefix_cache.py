"""Key/value caches: of one prompt prefix, and of a batch of rows that continue prefixes.

Keys and values of a row occupy consecutive columns from its `starts` on; other columns are masked.
Positions are counted per row, so a row's numbers do not depend on its batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

GROWTH = 128
"""Extra columns of room that are allocated when keys and values grow."""


@dataclass(frozen=True, slots=True)
class PrefixCache:
    """The cache of one prefix.

    Attributes:
        layers: per layer (keys, values), each [kv_heads, length, head_dim], of attention; or
            (convolution window, recurrent state) of a linear layer, without a batch dimension.
        length: tokens.
    """

    layers: list[tuple[Tensor, Tensor]]
    length: int


@dataclass(slots=True)
class BatchCache:
    """The cache of a batch of rows.

    Attributes:
        layers: as in PrefixCache, with a batch dimension first; keys and values have room behind
            the rows.
        starts: [batch] int64, the column of each row's first key.
        positions: [batch] int64, the position of each row's next token, which equals the number of
            its keys.
    """

    layers: list[tuple[Tensor, Tensor]]
    starts: Tensor
    positions: Tensor

    def visible(self, tokens: int, columns: int) -> Tensor:
        """Return the keys visible to each row's next tokens, bool [batch, tokens, columns]."""
        column = torch.arange(columns, device=self.starts.device)
        ends = (self.starts + self.positions)[:, None] + column[:tokens]
        return (column >= self.starts[:, None, None]) & (column <= ends[..., None])


def batch_cache(
    layers: list[tuple[Tensor, Tensor]],
    prefixes: Sequence[PrefixCache],
    tails: Sequence[Sequence[int]],
) -> BatchCache:
    """Return the cache of rows whose prefixes end, and whose tails begin, in the same column."""
    device = layers[0][0].device
    before = torch.tensor([prefix.length for prefix in prefixes], device=device)
    own = torch.tensor([len(tail) for tail in tails], device=device)
    return BatchCache(layers, before.max() - before, before + own)


def gather_rows(
    parts: Sequence[tuple[BatchCache, Sequence[int]]], attention: Sequence[bool]
) -> BatchCache:
    """Copy rows of several batches into one batch, in that order, each from column 0 on.

    Args:
        parts: (batch, indices of its rows).
        attention: per layer, True if it has keys and values.
    """
    indices = [torch.tensor(rows, device=state.starts.device) for state, rows in parts]
    positions = torch.cat([s.positions[rows] for (s, _), rows in zip(parts, indices, strict=True)])
    longest = int(positions.max())

    def copy_columns(layer: int, part: int) -> Tensor:
        first = parts[0][0].layers[layer][part]
        out = first.new_zeros(len(positions), first.shape[1], longest + GROWTH, first.shape[3])
        at = 0
        for (state, _), rows in zip(parts, indices, strict=True):
            old = state.layers[layer][part]
            columns = state.starts[rows][:, None] + torch.arange(longest, device=rows.device)
            columns.clamp_(max=old.shape[2] - 1)
            copied = old[rows[:, None], :, columns].transpose(1, 2)
            out[at : at + len(rows), :, :longest] = copied
            at += len(rows)
        return out

    def copy_states(layer: int, part: int) -> Tensor:
        rows_of = zip(parts, indices, strict=True)
        return torch.cat([state.layers[layer][part][rows] for (state, _), rows in rows_of])

    layers = []
    for layer, is_attention in enumerate(attention):
        copy = copy_columns if is_attention else copy_states
        layers.append((copy(layer, 0), copy(layer, 1)))
    return BatchCache(layers, torch.zeros_like(positions), positions)


def grow_columns(tensor: Tensor, columns: int) -> Tensor:
    """Return keys or values [batch, heads, room, head_dim] with room for at least `columns`."""
    room = tensor.shape[2]
    return tensor if columns <= room else functional.pad(tensor, (0, 0, 0, columns - room + GROWTH))


def visible_keys(prefix_lengths: Sequence[int], tail_lengths: Sequence[int]) -> Tensor:
    """Return the keys that are real tokens, bool [batch, longest prefix + longest tail]."""
    longest = max(prefix_lengths)
    prefix = torch.tensor(prefix_lengths)[:, None]
    tail = torch.tensor(tail_lengths)[:, None]
    column = torch.arange(longest + max(tail_lengths))[None]
    return (column >= longest - prefix) & (column < longest + tail)


def additive_mask(visible: Tensor, queries: int, dtype: torch.dtype) -> Tensor:
    """Return a causal, right-aligned mask [batch, 1, queries, keys]: 0 if visible, else -inf.

    A query without a visible key (padding) attends to the first key, which avoids NaN.

    Args:
        visible: [batch, keys] bool; the last `queries` keys are the queries' own.
    """
    keys = visible.shape[1]
    order = torch.ones(queries, keys, dtype=torch.bool, device=visible.device)
    allowed = visible[:, None, None] & order.tril(keys - queries)
    allowed[..., 0] |= ~allowed.any(-1)
    return as_additive(allowed, dtype)


def as_additive(allowed: Tensor, dtype: torch.dtype) -> Tensor:
    """Return 0 where `allowed` (bool) is True, else -inf."""
    mask = torch.zeros(allowed.shape, dtype=dtype, device=allowed.device)
    return mask.masked_fill_(~allowed, float("-inf"))


def padded(rows: Sequence[Sequence[int]], device: torch.device) -> Tensor:
    """Pad rows with zeros on the right: int64 [batch, longest]."""
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows], device=device)
