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

from prism_cli.modeling.prompt_state import (
    BatchState,
    PrefixState,
    additive_mask,
    as_additive,
    padded,
    state_behind,
    visible_keys,
    wider,
)

MODEL_TYPES = frozenset({"llama", "qwen3"})


class DensePass:
    """Runs a causal model over prefixes, tails and single tokens.

    Args:
        model: a Llama or Qwen3 causal model in eval mode; its q, k and v weights become parts of
            one tensor, which changes no value.
    """

    padding_is_safe = True
    goes_back = True
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

    def prefill(self, prefixes: Sequence[Sequence[int]]) -> list[PrefixState]:
        """The state of each prefix; equal numbers alone and together, to rounding."""
        _, batch = self._run([None] * len(prefixes), prefixes, keep=True)
        return [
            PrefixState(
                [(k[row, :, : len(ids)].clone(), v[row, :, : len(ids)].clone()) for k, v in batch],
                len(ids),
            )
            for row, ids in enumerate(prefixes)
        ]

    def extend(
        self, states: Sequence[PrefixState], tails: Sequence[Sequence[int]], *, keep: bool
    ) -> tuple[Tensor, BatchState | None]:
        """Hidden states [batch, hidden] at each tail's last token, and with `keep` the batch's."""
        hidden, layers = self._run(states, tails, keep=keep)
        if not keep:
            return hidden, None
        return hidden, state_behind(layers, states, tails)

    def step(self, state: BatchState, tokens: Sequence[Sequence[int]]) -> Tensor:
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
        state.layers = [(wider(k, end), wider(v, end)) for k, v in state.layers]
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
        states: Sequence[PrefixState | None],
        tails: Sequence[Sequence[int]],
        *,
        keep: bool,
    ) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        lengths = [len(tail) for tail in tails]
        before = [state.length if state else 0 for state in states]
        rows, longest, lead = len(tails), max(lengths), max(before)
        ids = padded(tails, self.device)
        positions = torch.tensor(before, device=self.device)[:, None] + torch.arange(
            longest, device=self.device
        )
        cos, sin = self._turns(positions)
        same = len(set(before)) == 1  # then padding behind the tails needs no mask of its own
        visible = visible_keys(before[:1] if same else before, [longest])
        mask = additive_mask(visible.to(self.device), longest, self.dtype)
        last = torch.tensor(lengths, device=self.device) - 1
        every = torch.arange(rows, device=self.device)
        kept: list[tuple[Tensor, Tensor]] = []
        spans = _spans(states)
        hidden = self._embed(ids).view(rows * longest, -1)
        room: tuple[Tensor, Tensor] | None = None
        for index, layer in enumerate(self._layers):
            query, key, value = layer.project(hidden, cos, sin, rows)
            if lead:
                if room is None or keep:
                    shape = (rows, key.shape[1], lead + longest, key.shape[3])
                    room = (key.new_zeros(shape), value.new_zeros(shape))
                for first, end, state in spans:
                    old_keys, old_values = state.layers[index]
                    room[0][first:end, :, lead - state.length : lead] = old_keys
                    room[1][first:end, :, lead - state.length : lead] = old_values
                room[0][:, :, lead:], room[1][:, :, lead:] = key, value
                key, value = room
            if keep:
                kept.append((key, value))
            if layer is self._layers[-1]:
                # Only each row's last token is asked for.
                query = query[every, :, last][:, :, None]
                hidden = hidden.view(rows, longest, -1)[every, last]
                mask = mask.expand(rows, -1, -1, -1)[every, :, last][:, :, None]
            hidden = layer.finish(hidden, _attend(query, key, value, mask))
        return self._norm(hidden), kept

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
    """Attention with the queries of a group folded into the query length.

    Args:
        query: [rows, heads, tokens, head_dim]; key, value: [rows, kv_heads, keys, head_dim].
        mask: [rows or 1, 1, tokens, keys].

    Returns:
        [rows, tokens, heads, head_dim]
    """
    rows, heads, tokens, dim = query.shape
    groups = heads // key.shape[1]
    folded = query.reshape(rows, key.shape[1], groups * tokens, dim)
    out = functional.scaled_dot_product_attention(
        folded, key, value, attn_mask=mask.repeat(1, 1, groups, 1)
    )
    return out.view(rows, heads, tokens, dim).transpose(1, 2)


def _spans(states: Sequence[PrefixState | None]) -> list[tuple[int, int, PrefixState]]:
    """Runs of rows with the same prefix, as (first row, end, state)."""
    spans: list[tuple[int, int, PrefixState]] = []
    for row, state in enumerate(states):
        if state is None:
            continue
        if spans and spans[-1][2] is state and spans[-1][1] == row:
            spans[-1] = (spans[-1][0], row + 1, state)
        else:
            spans.append((row, row + 1, state))
    return spans


def _joined(parts: Sequence[nn.Linear]) -> tuple[Tensor, Tensor | None]:
    """One weight (and bias) of several products; the parts become views of it."""
    weight = torch.cat([part.weight.detach() for part in parts])
    sizes = [part.weight.shape[0] for part in parts]
    for part, view in zip(parts, torch.split(weight, sizes), strict=True):
        part.weight = nn.Parameter(view, requires_grad=False)
    biases = [part.bias for part in parts]
    bias = None if biases[0] is None else torch.cat([one.detach() for one in biases])
    return weight, bias
