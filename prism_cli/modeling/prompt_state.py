"""What a model remembers of a text: of one prompt prefix, and of a batch that goes on from it.

Keys and values of a batch stand right-aligned behind their prefix: `[padding, prefix | tail,
padding | generated]`, the paddings masked. Positions are counted per row, so a row's numbers do not
depend on the batch it is in.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

GROWTH = 64
"""Tokens by which key and value buffers grow while generating."""


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
        layers: as in PrefixState, with a batch dimension in front; keys and values hold `used`
            tokens, and room behind them.
        used: tokens in keys and values, padding included.
        visible: [batch, room] bool, True where a key is a real token.
        positions: [batch] int64, the position of each row's next token.
    """

    layers: list[tuple[Tensor, Tensor]]
    used: int
    visible: Tensor
    positions: Tensor

    def keep(self, rows: Tensor, attention: Sequence[bool]) -> "BatchState":
        """Only `rows` (indices), in that order; `attention[i]`: layer i has keys and values."""
        layers = []
        for is_attention, (first, second) in zip(attention, self.layers, strict=True):
            if is_attention:
                first, second = first[:, :, : self.used], second[:, :, : self.used]
            layers.append((first.index_select(0, rows), second.index_select(0, rows)))
        return BatchState(
            layers,
            self.used,
            self.visible[:, : self.used].index_select(0, rows),
            self.positions.index_select(0, rows),
        )


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
    mask = torch.zeros(allowed.shape, dtype=dtype, device=visible.device)
    return mask.masked_fill_(~allowed, float("-inf"))


def padded(rows: Sequence[Sequence[int]], device: torch.device) -> Tensor:
    """[batch, longest] int64, zeros behind the shorter rows."""
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows], device=device)
