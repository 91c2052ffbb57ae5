"""The decoder layers of a training pass over packed rows.

The last layer is computed only at the tokens that the loss reads: the prompt's last token and the
target's, which are a row's last ones. It needs keys and values of all tokens, but queries,
attention and MLP of these alone. Frozen layers on a CPU compute as `lean_products` does.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from prism_cli.modeling.lean_products import (
    Adapted,
    adapted,
    added_mlp,
    added_product,
    normed_products,
    rotated,
)
from prism_cli.modeling.packed_rows import (
    Layout,
    PaddedRows,
    UnpaddedRows,
    behind_prefix,
    folded_attention,
    packed_attention,
)


@dataclass(frozen=True, slots=True)
class _ReadSpan:
    """The tokens of a span of the layout that are read.

    Attributes:
        most: largest number of a row.
        tokens: their total.
        place: int64 [tokens], index of each in rows x most.
        visible: bool [rows, 1, most, shared_prefix + longest].
    """

    most: int
    tokens: int
    place: Tensor
    visible: Tensor


@dataclass(frozen=True, slots=True)
class ReadTokens:
    """The last tokens of each row, as many as the loss reads of it, in sequence order.

    Attributes:
        at: int64 [tokens], their positions in the sequence.
        starts: of each row's first in `at`, in row order.
    """

    at: Tensor
    starts: list[int]
    spans: list[_ReadSpan]

    @classmethod
    def of(cls, layout: Layout, counts: list[int], device: torch.device | str) -> "ReadTokens":
        """Return the last `counts` tokens of the rows of `layout`; at least one each."""
        order = sorted(range(len(counts)), key=layout.starts.__getitem__)
        starts, at, total = [0] * len(counts), [], 0
        for row in order:
            starts[row] = total
            total += counts[row]
            end = layout.starts[row] + layout.lengths[row]
            at.append(torch.arange(end - counts[row], end))
        spans, first = [], 0
        for span in layout.spans:
            rows = order[first : first + span.rows]
            first += span.rows
            read = torch.tensor([counts[row] for row in rows])
            most = int(read.max())
            ends = layout.shared_prefix + torch.tensor([layout.lengths[row] for row in rows])
            last = (ends - read)[:, None] + torch.arange(most)
            visible = torch.arange(layout.shared_prefix + span.longest) <= last[..., None]
            place = torch.cat([torch.arange(count) + row * most for row, count in enumerate(read)])
            spans.append(_ReadSpan(most, len(place), place.to(device), visible[:, None].to(device)))
        return cls(torch.cat(at).to(device), starts, spans)


def pack_layers(causal: Any) -> None:
    """Make the decoder layers of `causal` compute packed rows as described above.

    Args:
        causal: a causal LM that `is_dense`, or one with adapters. Without `layout`, nothing
            changes.
    """
    layers = causal.get_decoder().layers
    for layer in layers:
        layer.forward = partial(_forward, layer, layer is layers[-1])


def _forward(layer: Any, last: bool, hidden_states: Tensor, **more: Any) -> Tensor:
    """Forward of a decoder layer of transformers: [1, tokens, hidden] to [1, tokens, hidden].

    Args:
        last: return only the tokens of `read`.
        more: `layout`, `read` (ReadTokens), `position_embeddings`, and others.
    """
    layout: Layout | None = more.get("layout")
    read: ReadTokens | None = more["read"] if last and layout else None
    linears = _Linears.of(layer, hidden_states) if layout else None
    if layout is None or (read is None and linears is None):
        plain: Tensor = type(layer).forward(layer, hidden_states, **more)
        return plain
    hidden, attention = hidden_states[0], layer.self_attn
    scaling, dropout = attention.scaling, attention.attention_dropout if layer.training else 0.0
    cos, sin = (part[0] for part in more["position_embeddings"])
    if read is None:
        heads = _heads(layer, linears, hidden, "qkv", cos, sin)
        query, key, value = (part.transpose(0, 1)[None] for part in heads)
        attended = packed_attention(
            attention, query, key, value, None, layout=layout, scaling=scaling, dropout=dropout
        )[0][0]
    else:
        key, value = _heads(layer, linears, hidden, "kv", cos, sin)
        read_rows: Any = UnpaddedRows.apply
        hidden = read_rows(hidden, read.at)
        (query,) = _heads(layer, linears, hidden, "q", cos[read.at], sin[read.at])
        attended = _attended(query, key, value, layout, read, scaling, dropout)
    attended = attended.flatten(1)
    if linears is None:
        hidden = hidden + attention.o_proj(attended)
        hidden = hidden + layer.mlp(layer.post_attention_layernorm(hidden))
    else:
        hidden = added_product(hidden, attended, linears.o)
        mlp = [linears.gate, linears.up, linears.down]
        hidden = added_mlp(hidden, layer.post_attention_layernorm, mlp)
    return hidden[None]


class _Linears(NamedTuple):
    """The linear layers of a decoder layer."""

    q: Adapted
    k: Adapted
    v: Adapted
    o: Adapted
    gate: Adapted
    up: Adapted
    down: Adapted

    @classmethod
    def of(cls, layer: Any, hidden: Tensor) -> "_Linears | None":
        """Return them if `lean_products` has what they compute, on a CPU."""
        short = torch.is_autocast_enabled("cpu")
        dtype = torch.get_autocast_dtype("cpu") if short else torch.float32
        if hidden.device.type != "cpu" or hidden.dtype != dtype:
            return None
        gains = (layer.input_layernorm.weight, layer.post_attention_layernorm.weight)
        if any(gain.requires_grad or gain.dtype != dtype for gain in gains):
            return None
        linears = [getattr(layer.self_attn, f"{name}_proj") for name in "qkvo"]
        linears += [getattr(layer.mlp, f"{name}_proj") for name in ("gate", "up", "down")]
        parts = [part for linear in linears if (part := adapted(linear, dtype))]
        return cls(*parts) if len(parts) == len(linears) else None


def _heads(
    layer: Any, linears: _Linears | None, hidden: Tensor, kinds: str, cos: Tensor, sin: Tensor
) -> list[Tensor]:
    """Return rotated queries and keys, and values, as in `kinds`: [tokens, heads, head_dim]."""
    attention = layer.self_attn
    if linears is None:
        normed = layer.input_layernorm(hidden)
        products = [getattr(attention, f"{kind}_proj")(normed) for kind in kinds]
    else:
        parts = [getattr(linears, kind) for kind in kinds]
        products = list(normed_products(hidden, layer.input_layernorm, parts))
    heads = [product.unflatten(-1, (-1, attention.head_dim)) for product in products]
    for number, kind in enumerate(kinds):
        if kind != "v":
            norm = getattr(attention, f"{kind}_norm", None)
            heads[number] = rotated(norm(heads[number]) if norm else heads[number], cos, sin)
    return heads


def _attended(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    layout: Layout,
    read: ReadTokens,
    scaling: float,
    dropout: float,
) -> Tensor:
    """Attend from the tokens read, [tokens read, heads, head_dim], to all before them."""
    padded: Any = PaddedRows.apply
    unpadded: Any = UnpaddedRows.apply
    sizes = [layout.shared_prefix, *(span.tokens for span in layout.spans)]
    sizes.append(len(key) - sum(sizes))
    outputs = []
    parts = zip(
        torch.split(query, [span.tokens for span in read.spans]),
        torch.split(key, sizes)[1:-1],
        torch.split(value, sizes)[1:-1],
        layout.spans,
        read.spans,
        strict=True,
    )
    for queries, keys, values, span, tokens in parts:
        rows = padded(queries, tokens.place, span.rows * tokens.most)
        behind = []
        for prefix, part in ((key, keys), (value, values)):
            own = padded(part, span.place, span.rows * span.longest)
            own = own.unflatten(0, (span.rows, span.longest))
            behind.append(behind_prefix(prefix[: layout.shared_prefix], own))
        attended = folded_attention(
            rows.unflatten(0, (span.rows, tokens.most)),
            behind[0],
            behind[1],
            tokens.visible,
            scaling,
            dropout,
        )
        outputs.append(unpadded(attended, tokens.place))
    return torch.cat(outputs)
