"""A lean forward pass for Llama and Qwen3 (attention in every layer, no experts).

What it saves over the stock one: one product for q, k and v; group queries folded into the query
length, so that keys are not repeated; no work in the last layer but for each row's last token; and
keys that grow in place. Same numbers to float rounding, which a test holds.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from prism_cli.modeling.packed_tails import PackedTails, attend_folded
from prism_cli.modeling.prefix_cache import (
    BatchCache,
    PrefixCache,
    as_additive,
    batch_cache,
    grow_columns,
)

_MODEL_TYPES = frozenset({"llama", "qwen3"})


def is_dense(config: Any) -> bool:
    """Whether `DensePass` does what a text model's config says: Llama, Qwen3, SiLU, no windows."""
    kinds = getattr(config, "layer_types", None) or ["full_attention"]
    known = getattr(config, "model_type", "") in _MODEL_TYPES
    return known and config.hidden_act == "silu" and set(kinds) == {"full_attention"}


class DensePass:
    """Runs a causal model over prefixes, tails and single tokens.

    Args:
        model: a causal model in eval mode whose config `is_dense`; its q, k and v weights become
            parts of one tensor, which changes no value.
    """

    padding_is_safe = True
    supports_rollback = True
    """Tokens of a step may be taken back."""

    def __init__(self, model: PreTrainedModel) -> None:
        whole: Any = model
        core: Any = whole.get_decoder()
        self._embed: nn.Embedding = core.embed_tokens
        self._norm = core.norm
        self._rotary = core.rotary_emb
        self._layers = [_Layer(layer) for layer in core.layers]
        self.attention = [True] * len(self._layers)
        self.device = self._embed.weight.device
        self.dtype = self._embed.weight.dtype

    def prefill(
        self, prefixes: Sequence[Sequence[int]], shared_prefix: PrefixCache | None = None
    ) -> list[PrefixCache]:
        """The state of each prefix; equal numbers alone and together, to rounding.

        Args:
            prefixes: token ids; with `shared_prefix` those behind it.
            shared_prefix: what all of them begin with.
        """
        lead = shared_prefix.length if shared_prefix else 0
        _, batch = self._run([shared_prefix] * len(prefixes), prefixes, keep=True)
        return [
            PrefixCache(
                [(k[row, :, :length].clone(), v[row, :, :length].clone()) for k, v in batch], length
            )
            for row, length in enumerate(lead + len(ids) for ids in prefixes)
        ]

    def extend(
        self, states: Sequence[PrefixCache], tails: Sequence[Sequence[int]], *, keep: bool
    ) -> tuple[Tensor, BatchCache | None]:
        """Hidden states [batch, hidden] at each tail's last token, and with `keep` the batch's."""
        hidden, layers = self._run(states, tails, keep=keep)
        if not keep:
            return hidden, None
        return hidden, batch_cache(layers, states, tails)

    def step(self, state: BatchCache, tokens: Sequence[Sequence[int]]) -> Tensor:
        """Put tokens behind each row; `state.positions` stay, so that what is not wanted is
        written over by the next.

        Args:
            tokens: of each row; none, one or several.

        Returns:
            Hidden states [all tokens, hidden], row by row.
        """
        counts = [len(row) for row in tokens]
        widest = max(counts)
        row, at = torch.tensor(
            [[r, place] for r, count in enumerate(counts) for place in range(count)],
            device=self.device,
        ).T
        positions = state.positions[row] + at
        columns = state.starts[row] + positions
        end = int(columns.max()) + 1
        state.layers = [(grow_columns(k, end), grow_columns(v, end)) for k, v in state.layers]
        mask = as_additive(state.visible(widest, end), self.dtype)[:, None]
        cos, sin = self._turns(positions[None])
        hidden = self._embed(torch.tensor([t for ids in tokens for t in ids], device=self.device))
        for layer, (keys, values) in zip(self._layers, state.layers, strict=True):
            query, key, value = layer.project(hidden, cos, sin, 1)
            keys[row, :, columns] = key[0].transpose(0, 1)
            values[row, :, columns] = value[0].transpose(0, 1)
            each = query.new_zeros(len(tokens), widest, query.shape[1], query.shape[3])
            each[row, at] = query[0].transpose(0, 1)
            seen = _attend(each.transpose(1, 2), keys[:, :, :end], values[:, :, :end], mask)
            hidden = layer.finish(hidden, seen[row, at])
        out: Tensor = self._norm(hidden)
        return out

    def _run(
        self,
        states: Sequence[PrefixCache | None],
        tails: Sequence[Sequence[int]],
        *,
        keep: bool,
    ) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        packed = self._packed(states, tails, keep)
        cos, sin = self._turns(packed.positions[None])
        hidden = self._embed(packed.ids)
        for index, layer in enumerate(self._layers):
            query, key, value = (
                one[0].transpose(0, 1) for one in layer.project(hidden, cos, sin, 1)
            )
            last = layer is self._layers[-1]  # there only each row's last token is asked for
            attended = packed.attend(index, query, key, value, last=last)
            hidden = layer.finish(hidden[packed.ends] if last else hidden, attended)
        return self._norm(hidden)[packed.back], packed.kept

    def _packed(
        self,
        states: Sequence[PrefixCache | None],
        tails: Sequence[Sequence[int]],
        keep: bool,
    ) -> PackedTails:
        groups = self._layers[0].groups
        return PackedTails(states, tails, groups, self.device, self.dtype, keep=keep)

    def _turns(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Rotary cosines and sines, each [batch * tokens, 1, head_dim]."""
        cos, sin = self._rotary(self._embed.weight, positions)
        return cos.flatten(0, 1)[:, None], sin.flatten(0, 1)[:, None]


class _Layer:
    """One decoder layer over packed rows [batch * tokens, hidden]."""

    def __init__(self, layer: Any) -> None:
        attention = layer.self_attn
        self._parts = (attention.q_proj, attention.k_proj, attention.v_proj)
        self._norms: Any = None
        if hasattr(attention, "q_norm"):
            self._norms = (attention.q_norm, attention.k_norm)
        self._dim: int = attention.head_dim
        self._weight, self._bias = _joined(self._parts)
        self._heads = [part.weight.shape[0] // self._dim for part in self._parts]
        self.groups = self._heads[0] // self._heads[1]
        self._out = attention.o_proj
        self._before, self._after = layer.input_layernorm, layer.post_attention_layernorm
        self._mlp = layer.mlp

    def project(
        self, hidden: Tensor, cos: Tensor, sin: Tensor, rows: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, each [rows, heads, tokens, head_dim], positions applied."""
        mixed = functional.linear(self._before(hidden), self._weight, self._bias)
        mixed = mixed.view(len(hidden), -1, self._dim)
        query_heads, key_heads, _ = self._heads
        turned = mixed[:, : query_heads + key_heads]
        if self._norms is not None:
            query, key, _ = torch.split(mixed, self._heads, dim=1)
            turned = torch.cat([self._norms[0](query), self._norms[1](key)], dim=1)
        half = self._dim // 2
        out = turned * cos
        out[..., :half].addcmul_(turned[..., half:], sin[..., :half], value=-1)
        out[..., half:].addcmul_(turned[..., :half], sin[..., half:])
        query, key = torch.split(
            out.view(rows, -1, query_heads + key_heads, self._dim), [query_heads, key_heads], dim=2
        )
        value = mixed[:, query_heads + key_heads :].view(rows, -1, key_heads, self._dim)
        return query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2)

    def finish(self, hidden: Tensor, attended: Tensor) -> Tensor:
        """The residual stream after attention and the gated product."""
        hidden = hidden + self._out(attended.reshape(len(hidden), -1))
        normed = self._after(hidden)
        gate = functional.silu(self._mlp.gate_proj(normed), inplace=True)
        gated: Tensor = self._mlp.down_proj(gate.mul_(self._mlp.up_proj(normed)))
        return hidden + gated


def _attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """`attend_folded` with a mask [rows or 1, 1, tokens, keys] for one head."""
    groups = query.shape[1] // key.shape[1]
    return attend_folded(query, key, value, mask.repeat(1, 1, groups, 1))


def _joined(parts: Sequence[nn.Linear]) -> tuple[Tensor, Tensor | None]:
    """One weight (and bias) of several products; the parts become views of it."""
    weight = torch.cat([part.weight.detach() for part in parts])
    sizes = [part.weight.shape[0] for part in parts]
    for part, view in zip(parts, torch.split(weight, sizes), strict=True):
        part.weight = nn.Parameter(view, requires_grad=False)
    biases = [part.bias for part in parts]
    bias = None if biases[0] is None else torch.cat([one.detach() for one in biases])
    return weight, bias
