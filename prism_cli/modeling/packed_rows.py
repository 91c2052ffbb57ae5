"""Packing: the rows of one training pass as one sequence without padding, and their attention.

Every prompt begins with the same hundred tokens of template: this shared prefix comes once, then
each row's own tokens. Linear layers process real tokens only; in attention each row attends to the
shared prefix and to itself, rows of similar length together. Gradients flow through the shared keys
and values; the loss equals that of separate rows, up to the order of sums.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from prism_cli.modeling.packed_tails import attend_in_order
from prism_cli.modeling.prefix_cache import as_additive

ATTENTION = "prism_packed"
"""Name under which the attention is registered with transformers."""
_SIMILAR = 0.8
"""Minimum length of a row in a span, as a share of the longest row's."""
LONG = 768
"""Length from which causal attention without a mask is faster, forward and backward."""
STEP_TOKENS, _STEP_LONGEST = 64, 16
"""Lengths are padded to multiples, as kernels are compiled and cached for each new shape."""


class Heads(NamedTuple):
    """Queries, keys and values of tokens."""

    query: Tensor
    key: Tensor
    value: Tensor


@dataclass(frozen=True, slots=True)
class Span:
    """Rows that attend together; they are adjacent in the sequence.

    Attributes:
        rows, longest: number of rows, and room for the own tokens of each.
        tokens: total of their own tokens.
        place: int64 [tokens], index of each token in rows x longest.
        visible: bool [longest, shared_prefix + longest]; padding follows a row, so one mask serves
            all. None from LONG tokens on, where causal order is enough.
    """

    rows: int
    longest: int
    tokens: int
    place: Tensor
    visible: Tensor | None


@dataclass(frozen=True, slots=True)
class Layout:
    """Positions of rows in one sequence.

    Attributes:
        shared_prefix: number of first tokens, which all rows share.
        starts, lengths: of each row's own tokens, in row order.
        spans: in sequence order; rows of decreasing length.
    """

    shared_prefix: int
    starts: list[int]
    lengths: list[int]
    spans: list[Span]

    @classmethod
    def of(cls, shared_prefix: int, lengths: Sequence[int], device: torch.device | str) -> "Layout":
        """Lay out rows with `lengths` own tokens behind a shared prefix."""
        starts = [0] * len(lengths)
        spans: list[Span] = []
        group: list[int] = []
        at = shared_prefix
        for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
            if group and lengths[row] < _SIMILAR * group[0]:
                spans.append(_span(shared_prefix, group, device))
                group = []
            starts[row] = at
            at += lengths[row]
            group.append(lengths[row])
        spans.append(_span(shared_prefix, group, device))
        return cls(shared_prefix, starts, list(lengths), spans)


def common_prefix(prompts: Sequence[Sequence[int]]) -> int:
    """Return how many first tokens all `prompts` share; less than the length of each."""
    if len(prompts) < 2:
        return 0
    low, high = min(prompts, key=list), max(prompts, key=list)  # all others are between these two
    shared = sum(
        1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(low, high, strict=False))
    )
    return min(shared, min(map(len, prompts)) - 1)


def pack_attention(causal: Any) -> None:
    """Make `causal` attend by the layout passed to its forward.

    This is permanent: gradient checkpointing recomputes activations after the pass.
    """
    AttentionInterface.register(ATTENTION, packed_attention)
    causal.config._attn_implementation = ATTENTION


def packed_attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    layout: Layout | None = None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **more: Any,
) -> tuple[Tensor, None]:
    """Attention function of transformers; without a layout, its sdpa attention.

    Args:
        query: [1, heads, tokens, head_dim]; key, value: [1, kv_heads, tokens, head_dim].

    Returns:
        ([1, tokens, heads, head_dim], None): no attention weights.
    """
    if layout is None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, dropout=dropout, **more
        )
    sizes = [layout.shared_prefix, *(span.tokens for span in layout.spans)]
    sizes.append(query.shape[2] - sum(sizes))
    heads = [torch.split(states[0].transpose(0, 1), sizes) for states in (query, key, value)]
    shared_prefix, *rows, filler = (Heads(*parts) for parts in zip(*heads, strict=True))
    # Copies: a view saved for the gradient would keep the heads of all tokens in memory.
    shared_prefix = Heads(*(part.clone() for part in shared_prefix))
    outputs = [
        _attended(_padded(own, span), shared_prefix, span, scaling, dropout)
        for own, span in zip(rows, layout.spans, strict=True)
    ]
    if layout.shared_prefix:
        alone = Heads(*(part.transpose(0, 1)[None] for part in shared_prefix))
        attended = attend_in_order(alone.query, alone.key, alone.value, scaling, dropout)
        outputs.insert(0, attended[0])
    return torch.cat([*outputs, torch.zeros_like(filler.query)])[None], None


def _attended(
    own: Heads, shared_prefix: Heads, span: Span, scaling: float | None, dropout: float
) -> Tensor:
    """Attend within one span.

    Args:
        own: padded, each [rows, longest, heads, head_dim].
        shared_prefix: each [shared_prefix, heads, head_dim].

    Returns:
        [tokens, heads, head_dim]
    """
    key, value = (
        behind_prefix(shared_prefix.key, own.key),
        behind_prefix(shared_prefix.value, own.value),
    )
    if span.visible is None:
        attended = attend_in_order(own.query.transpose(1, 2), key, value, scaling, dropout)
        attended = attended.flatten(0, 1)
    else:
        attended = folded_attention(own.query, key, value, span.visible, scaling, dropout)
    unpadded: Any = UnpaddedRows.apply
    out: Tensor = unpadded(attended, span.place)
    return out


def behind_prefix(shared_prefix: Tensor, own: Tensor) -> Tensor:
    """Return keys or values of rows, [rows, heads, shared_prefix + longest, head_dim].

    Args:
        shared_prefix: [shared_prefix, heads, head_dim]; own: [rows, longest, heads, head_dim].
    """
    return torch.cat([shared_prefix[None].expand(len(own), -1, -1, -1), own], 1).transpose(1, 2)


def folded_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    visible: Tensor,
    scaling: float | None,
    dropout: float,
) -> Tensor:
    """Attend with the query heads that share keys folded into the query length.

    Args:
        query: [rows, tokens, heads, head_dim]; key, value: [rows, kv_heads, keys, head_dim].
        visible: bool, [tokens, keys] or [rows, 1, tokens, keys].

    Returns:
        [rows * tokens, heads, head_dim]
    """
    rows, tokens, heads, dim = query.shape
    shared = key.shape[1]
    groups = heads // shared
    folded = query.view(rows, tokens, shared, groups, dim).permute(0, 2, 3, 1, 4)
    folded = folded.reshape(rows, shared, groups * tokens, dim)
    mask = visible.repeat(*[1] * (visible.dim() - 2), groups, 1)
    if query.device.type == "cpu" and query.dtype == torch.bfloat16 and not dropout:
        attended = _products(folded, key, value, mask, scaling)
    else:
        attended = functional.scaled_dot_product_attention(
            folded, key, value, attn_mask=mask, scale=scaling, dropout_p=dropout
        )
    apart = attended.view(rows, shared, groups, tokens, dim).permute(0, 3, 1, 2, 4)
    return apart.reshape(rows * tokens, heads, dim)


def _products(
    query: Tensor, key: Tensor, value: Tensor, visible: Tensor, scaling: float | None
) -> Tensor:
    """Attention as two products and a softmax, for bfloat16 on a CPU.

    There the backward pass of the fused kernel takes two to three times as long, and torch's
    unfused attention converts everything to float32.
    """
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    mask = as_additive(visible, query.dtype)
    scores = torch.baddbmm(
        mask if mask.dim() == 2 else mask.expand(*query.shape[:2], -1, -1).flatten(0, 1),
        query.flatten(0, 1),
        key.flatten(0, 1).transpose(1, 2),
        alpha=scale,
    )
    attended = scores.softmax(-1) @ value.flatten(0, 1)
    return attended.view_as(query)


def _padded(own: Heads, span: Span) -> Heads:
    """Pad [tokens, heads, head_dim] to [rows, longest, heads, head_dim] with zeros."""
    padded: Any = PaddedRows.apply
    return Heads(
        *(
            padded(part, span.place, span.rows * span.longest).view(
                span.rows, span.longest, *part.shape[1:]
            )
            for part in own
        )
    )


class PaddedRows(torch.autograd.Function):
    """The inverse of `UnpaddedRows`; index_copy would keep its input for the gradient."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, place: Tensor, room: int) -> Tensor:
        ctx.save_for_backward(place)
        return rows.new_zeros(room, *rows.shape[1:]).index_copy_(0, place, rows)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (place,), (gradient,) = ctx.saved_tensors, gradients
        return gradient.index_select(0, place), None, None


class UnpaddedRows(torch.autograd.Function):
    """Distinct rows `place` of a tensor; unlike index_select, its gradient copies, not adds."""

    @staticmethod
    def forward(ctx: Any, padded: Tensor, place: Tensor) -> Tensor:
        ctx.save_for_backward(place)
        ctx.room = len(padded)
        return padded.index_select(0, place)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (place,), (gradient,) = ctx.saved_tensors, gradients
        room = gradient.new_zeros(ctx.room, *gradient.shape[1:])
        return room.index_copy_(0, place, gradient), None


def _span(shared_prefix: int, lengths: Sequence[int], device: torch.device | str) -> Span:
    longest = max(lengths) + -max(lengths) % _STEP_LONGEST
    place = torch.cat([torch.arange(length) + row * longest for row, length in enumerate(lengths)])
    visible = None
    if longest < LONG:
        order = torch.ones(longest, shared_prefix + longest, dtype=torch.bool)
        visible = order.tril(shared_prefix).to(device)
    return Span(len(lengths), longest, sum(lengths), place.to(device), visible)
