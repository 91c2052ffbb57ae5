"""Rows of one training pass as one sequence without padding.

Every prompt begins with the same hundred tokens of template: this shared prefix comes once, then
each row's own tokens. All products work on real tokens alone; in attention each row looks at the
shared prefix and at itself, rows of similar length together. Gradients flow back through the shared
keys and values; the loss equals that of separate rows, up to the order of sums.
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

from prism_cli.modeling.dense_pass import is_dense
from prism_cli.modeling.packed_tails import attend_in_order
from prism_cli.modeling.prefix_cache import as_additive

ATTENTION = "prism_packed"
"""The attention's name among those of transformers."""
_LIKE = 0.8
"""Rows attend together down to this share of the longest one's own tokens."""
LONG = 768
"""Tokens from which on attention in order is faster than with a mask, there and back."""
_STEP_TOKENS, _STEP_LONGEST = 64, 16
"""Lengths are filled up to multiples, for kernels that are made and kept for each new shape."""


class Heads(NamedTuple):
    """Queries, keys and values of some tokens."""

    query: Tensor
    key: Tensor
    value: Tensor


@dataclass(frozen=True, slots=True)
class Span:
    """Rows that attend together, next to each other in the sequence.

    Attributes:
        rows, longest: how many, and room for the own tokens of each.
        tokens: their own tokens in all.
        place: int64 [tokens], where each stands in rows x longest.
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
    """How rows lie in one sequence.

    Attributes:
        shared_prefix: first tokens, which all rows share.
        starts, lengths: of each row's own tokens, in order of the rows.
        spans: in order of the sequence; rows of falling length.
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
            if group and lengths[row] < _LIKE * group[0]:
                spans.append(_span(shared_prefix, group, device))
                group = []
            starts[row] = at
            at += lengths[row]
            group.append(lengths[row])
        spans.append(_span(shared_prefix, group, device))
        return cls(shared_prefix, starts, list(lengths), spans)


def common_prefix(prompts: Sequence[Sequence[int]]) -> int:
    """How many first tokens all of `prompts` share, less than each one's length."""
    if len(prompts) < 2:
        return 0
    low, high = min(prompts, key=list), max(prompts, key=list)  # all others lie between these two
    shared = sum(
        1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(low, high, strict=False))
    )
    return min(shared, min(map(len, prompts)) - 1)


def can_pack(causal: Any) -> bool:
    """Whether a causal LM has attention in every layer; a linear layer's state would run on from
    row to row."""
    return is_dense(causal.config)


def pack_attention(causal: Any) -> None:
    """Have `causal` attend by the layout that a pass brings, where it can be packed.

    For good: with gradient checkpointing, activations are computed again after the pass.
    """
    if can_pack(causal):
        AttentionInterface.register(ATTENTION, packed_attention)
        causal.config._attn_implementation = ATTENTION


def packed_hidden(causal: Any, ids: Tensor, layout: Layout) -> Tensor:
    """Last hidden states [tokens, hidden] of a packed sequence.

    Args:
        causal: a transformers causal LM that went through `pack_attention`.
        ids: int64 [tokens], the shared prefix, then each row's own tokens where `layout` says.
    """
    body, device = causal.base_model, ids.device
    if can_pack(causal):
        filler = -len(ids) % _STEP_TOKENS
        positions = torch.zeros(len(ids) + filler, dtype=torch.long)
        positions[: layout.shared_prefix] = torch.arange(layout.shared_prefix)
        for start, length in zip(layout.starts, layout.lengths, strict=True):
            positions[start : start + length] = torch.arange(
                layout.shared_prefix, layout.shared_prefix + length
            )
        packed = body(
            input_ids=functional.pad(ids, (0, filler))[None],
            position_ids=positions[None].to(device),
            layout=layout,
            use_cache=False,
        )
        one: Tensor = packed.last_hidden_state[0, : len(ids)]
        return one
    rows, width = len(layout.starts), layout.shared_prefix + max(layout.lengths)
    index = torch.zeros((rows, width), dtype=torch.long)
    back = torch.zeros(len(ids), dtype=torch.long)
    for row, (start, length) in enumerate(zip(layout.starts, layout.lengths, strict=True)):
        whole = torch.cat([torch.arange(layout.shared_prefix), torch.arange(start, start + length)])
        index[row, : len(whole)] = whole
        back[whole] = row * width + torch.arange(len(whole))
    # What lies behind a row cannot reach it: no mask, so that attention may be the causal kernel's.
    padded = body(input_ids=ids[index.to(device)], use_cache=False)
    hidden: Tensor = padded.last_hidden_state.flatten(0, 1)[back.to(device)]
    return hidden


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
    """Attention as transformers calls it; without a layout its usual one.

    Args:
        query: [1, heads, tokens, head_dim]; key, value: [1, kv_heads, tokens, head_dim].

    Returns:
        [1, tokens, heads, head_dim], and no weights.
    """
    if layout is None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, dropout=dropout, **more
        )
    sizes = [layout.shared_prefix, *(span.tokens for span in layout.spans)]
    sizes.append(query.shape[2] - sum(sizes))
    heads = [torch.split(one[0].transpose(0, 1), sizes) for one in (query, key, value)]
    shared_prefix, *rows, filler = (Heads(*parts) for parts in zip(*heads, strict=True))
    # What attention keeps for its gradient are copies: a view would keep all tokens' heads.
    shared_prefix = Heads(*(one.clone() for one in shared_prefix))
    outputs = [
        _attended(_padded(own, span), shared_prefix, span, scaling, dropout)
        for own, span in zip(rows, layout.spans, strict=True)
    ]
    if layout.shared_prefix:
        alone = Heads(*(one.transpose(0, 1)[None] for one in shared_prefix))
        attended = attend_in_order(alone.query, alone.key, alone.value, scaling, dropout)
        outputs.insert(0, attended[0])
    return torch.cat([*outputs, torch.zeros_like(filler.query)])[None], None


def _attended(
    own: Heads, shared_prefix: Heads, span: Span, scaling: float | None, dropout: float
) -> Tensor:
    """[tokens, heads, head_dim] of one span; heads that share keys are folded into the queries.

    Args:
        own: padded, each [rows, longest, heads, head_dim].
        shared_prefix: each [shared_prefix, heads, head_dim].
    """
    rows, longest, heads, dim = own.query.shape
    shared = own.key.shape[2]
    groups = heads // shared

    def behind_prefix(first: Tensor, then: Tensor) -> Tensor:
        whole = torch.cat([first[None].expand(rows, -1, -1, -1), then], dim=1)
        return whole.transpose(1, 2)

    unpadded: Any = _Unpadded.apply
    key, value = (
        behind_prefix(shared_prefix.key, own.key),
        behind_prefix(shared_prefix.value, own.value),
    )
    if span.visible is None:
        attended = attend_in_order(own.query.transpose(1, 2), key, value, scaling, dropout)
        whole: Tensor = unpadded(attended.reshape(rows * longest, heads, dim), span.place)
        return whole
    folded = own.query.view(rows, longest, shared, groups, dim).permute(0, 2, 3, 1, 4)
    query = folded.reshape(rows, shared, groups * longest, dim)
    visible = span.visible.repeat(groups, 1)
    if query.device.type == "cpu" and query.dtype == torch.bfloat16 and not dropout:
        attended = _products(query, key, value, visible, scaling)
    else:
        attended = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=visible, scale=scaling, dropout_p=dropout
        )
    apart = attended.view(rows, shared, groups, longest, dim).permute(0, 3, 1, 2, 4)
    out: Tensor = unpadded(apart.reshape(rows * longest, heads, dim), span.place)
    return out


def _products(
    query: Tensor, key: Tensor, value: Tensor, visible: Tensor, scaling: float | None
) -> Tensor:
    """Attention as two products and a softmax, for bfloat16 on a CPU.

    There the fused kernel's backward pass takes two to three times as long, and torch's own
    products turn all to float32.
    """
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    scores = torch.baddbmm(
        as_additive(visible, query.dtype),
        query.flatten(0, 1),
        key.flatten(0, 1).transpose(1, 2),
        alpha=scale,
    )
    attended = scores.softmax(-1) @ value.flatten(0, 1)
    return attended.view_as(query)


def _padded(own: Heads, span: Span) -> Heads:
    """[tokens, heads, head_dim] as [rows, longest, heads, head_dim], zeros behind shorter rows."""
    padded: Any = _Padded.apply
    return Heads(
        *(
            padded(one, span.place, span.rows * span.longest).view(
                span.rows, span.longest, *one.shape[1:]
            )
            for one in own
        )
    )


class _Padded(torch.autograd.Function):
    """The inverse of `_Unpadded`; index_copy would keep what it copies."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, place: Tensor, room: int) -> Tensor:
        ctx.save_for_backward(place)
        return rows.new_zeros(room, *rows.shape[1:]).index_copy_(0, place, rows)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (place,), (gradient,) = ctx.saved_tensors, gradients
        return gradient.index_select(0, place), None, None


class _Unpadded(torch.autograd.Function):
    """The rows `place` of a tensor, each once; index_select's gradient adds where it may copy."""

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
