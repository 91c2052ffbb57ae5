"""A fast forward pass for Llama and Qwen3 (attention in every layer, no experts).

Compared with transformers' pass it computes q, k and v in one product, folds query groups into the
query length so that keys are not repeated, computes only each row's last token in the last layer,
and grows keys in place. Results are equal up to float rounding; a test checks this.
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
from prism_cli.modeling.varlen_attention import uses_varlen
from prism_cli.modeling.varlen_tails import VarlenTails

_MODEL_TYPES = frozenset({"llama", "qwen3"})


def is_dense(config: Any) -> bool:
    """Return True if `DensePass` supports the config: Llama or Qwen3, SiLU, no sliding windows."""
    kinds = getattr(config, "layer_types", None) or ["full_attention"]
    supported = getattr(config, "model_type", "") in _MODEL_TYPES
    return supported and config.hidden_act == "silu" and set(kinds) == {"full_attention"}


class DensePass:
    """Runs a causal model over prefixes, tails and single tokens.

    Args:
        model: a causal model in eval mode whose config `is_dense`; its q, k and v weights become
            views of one tensor with the same values.
    """

    padding_is_safe = True
    supports_rollback = True
    """Tokens of a step can be discarded."""

    def __init__(self, model: PreTrainedModel) -> None:
        causal: Any = model
        core: Any = causal.get_decoder()
        self._embed: nn.Embedding = core.embed_tokens
        self._norm = core.norm
        self._rotary = core.rotary_emb
        self._layers = [_Layer(layer) for layer in core.layers]
        self.attention = [True] * len(self._layers)
        self._varlen = uses_varlen(model)
        self.device = self._embed.weight.device
        self.dtype = self._embed.weight.dtype

    def prefill(
        self, prefixes: Sequence[Sequence[int]], shared_prefix: PrefixCache | None = None
    ) -> list[PrefixCache]:
        """Compute the cache of each prefix; equal alone and in a batch, up to rounding.

        Args:
            prefixes: token ids; with `shared_prefix`, only those behind it.
            shared_prefix: the cache of the tokens that all prefixes begin with.
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
        """Return hidden states [batch, hidden] of each tail's last token; with `keep`, a cache."""
        hidden, layers = self._run(states, tails, keep=keep)
        if not keep:
            return hidden, None
        return hidden, batch_cache(layers, states, tails)

    def step(self, state: BatchCache, tokens: Sequence[Sequence[int]]) -> Tensor:
        """Append tokens to each row without advancing `state.positions`.

        The next step overwrites tokens that the caller does not advance over.

        Args:
            tokens: of each row; any number.

        Returns:
            Hidden states [all tokens, hidden], row by row.
        """
        counts = [len(row) for row in tokens]
        widest = max(counts)
        row, offset = torch.tensor(
            [[r, i] for r, count in enumerate(counts) for i in range(count)],
            device=self.device,
        ).T
        positions = state.positions[row] + offset
        columns = state.starts[row] + positions
        end = int(columns.max()) + 1
        state.layers = [(grow_columns(k, end), grow_columns(v, end)) for k, v in state.layers]
        mask = as_additive(state.visible(widest, end), self.dtype)[:, None]
        cos, sin = self._rotation(positions[None])
        hidden = self._embed(torch.tensor([t for ids in tokens for t in ids], device=self.device))
        for layer, (keys, values) in zip(self._layers, state.layers, strict=True):
            query, key, value = layer.project(hidden, cos, sin, 1)
            keys[row, :, columns] = key[0].transpose(0, 1)
            values[row, :, columns] = value[0].transpose(0, 1)
            each = query.new_zeros(len(tokens), widest, query.shape[1], query.shape[3])
            each[row, offset] = query[0].transpose(0, 1)
            attended = _attend(each.transpose(1, 2), keys[:, :, :end], values[:, :, :end], mask)
            hidden = layer.finish(hidden, attended[row, offset])
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
        cos, sin = self._rotation(packed.positions[None])
        hidden = self._embed(packed.ids)
        for index, layer in enumerate(self._layers):
            query, key, value = (
                part[0].transpose(0, 1) for part in layer.project(hidden, cos, sin, 1)
            )
            last = layer is self._layers[-1]  # it computes only each row's last token
            attended = packed.attend(index, query, key, value, last=last)
            hidden = layer.finish(hidden[packed.ends] if last else hidden, attended)
        return self._norm(hidden)[packed.back], packed.kept

    def _packed(
        self,
        states: Sequence[PrefixCache | None],
        tails: Sequence[Sequence[int]],
        keep: bool,
    ) -> PackedTails | VarlenTails:
        if self._varlen:
            return VarlenTails(states, tails, self.device, keep=keep)
        groups = self._layers[0].groups
        return PackedTails(states, tails, groups, self.device, self.dtype, keep=keep)

    def _rotation(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Return rotary cosines and sines, each [batch * tokens, 1, head_dim]."""
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
        """Return rotated queries and keys, and values, each [rows, heads, tokens, head_dim]."""
        mixed = functional.linear(self._before(hidden), self._weight, self._bias)
        mixed = mixed.view(len(hidden), -1, self._dim)
        query_heads, key_heads, _ = self._heads
        rotated = mixed[:, : query_heads + key_heads]
        if self._norms is not None:
            query, key, _ = torch.split(mixed, self._heads, dim=1)
            rotated = torch.cat([self._norms[0](query), self._norms[1](key)], dim=1)
        half = self._dim // 2
        out = rotated * cos
        out[..., :half].addcmul_(rotated[..., half:], sin[..., :half], value=-1)
        out[..., half:].addcmul_(rotated[..., :half], sin[..., half:])
        query, key = torch.split(
            out.view(rows, -1, query_heads + key_heads, self._dim), [query_heads, key_heads], dim=2
        )
        value = mixed[:, query_heads + key_heads :].view(rows, -1, key_heads, self._dim)
        return query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2)

    def finish(self, hidden: Tensor, attended: Tensor) -> Tensor:
        """Return the residual stream after attention and the gated MLP."""
        hidden = hidden + self._out(attended.reshape(len(hidden), -1))
        normed = self._after(hidden)
        gate = functional.silu(self._mlp.gate_proj(normed), inplace=True)
        gated: Tensor = self._mlp.down_proj(gate.mul_(self._mlp.up_proj(normed)))
        return hidden + gated


def _attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """Call `attend_folded` with a mask [rows or 1, 1, tokens, keys] of one head."""
    groups = query.shape[1] // key.shape[1]
    return attend_folded(query, key, value, mask.repeat(1, 1, groups, 1))


def _joined(parts: Sequence[nn.Linear]) -> tuple[Tensor, Tensor | None]:
    """Concatenate weights (and biases) of linear layers; their weights become views of it."""
    weight = torch.cat([part.weight.detach() for part in parts])
    sizes = [part.weight.shape[0] for part in parts]
    for part, view in zip(parts, torch.split(weight, sizes), strict=True):
        part.weight = nn.Parameter(view, requires_grad=False)
    biases = [part.bias for part in parts]
    bias = None if biases[0] is None else torch.cat([part.detach() for part in biases])
    return weight, bias
