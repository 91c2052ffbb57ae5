"""transformers' own forward pass over prefixes, tails and tokens, for hybrids such as Qwen3.5.

Linear attention has a state instead of keys, and padding would change it: zeroed hidden states
still decay the recurrent state and shift the convolution window. So at padding the step size and
the decay are disabled (beta = 0, g = 0), and the window is taken at each row's last real token.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer, LinearAttentionLayer

from prism_cli.modeling.architectures import layer_kinds
from prism_cli.modeling.prefix_cache import (
    BatchCache,
    PrefixCache,
    additive_mask,
    batch_cache,
    grow_columns,
    padded,
    visible_keys,
)
from prism_cli.modeling.varlen_attention import PaddedRows, uses_varlen


class HybridPass:
    """The interface of DensePass for any model of full and linear attention.

    Args:
        model: a causal model in eval mode.

    Raises:
        ModelError: as `layer_kinds`.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        causal: Any = model
        self._core: Any = causal.get_decoder()
        self.attention = [kind == "full_attention" for kind in layer_kinds(self._core.config)]
        self._gates = [
            (layer.linear_attn.in_proj_a, layer.linear_attn.in_proj_b)
            for layer in self._core.layers
            if hasattr(getattr(layer, "linear_attn", None), "in_proj_a")
        ]
        self.supports_rollback = False  # a recurrent state cannot be rolled back
        self.padding_is_safe = len(self._gates) == self.attention.count(False)
        embed: nn.Embedding = self._core.get_input_embeddings()
        self.device, self.dtype = embed.weight.device, embed.weight.dtype

    def prefill(
        self, prefixes: Sequence[Sequence[int]], shared_prefix: PrefixCache | None = None
    ) -> list[PrefixCache]:
        """Compute the cache of each prefix; arguments as for DensePass."""
        lead = shared_prefix.length if shared_prefix else 0
        _, layers = self._run([shared_prefix] * len(prefixes), prefixes)
        return [
            PrefixCache(
                [
                    (first[row, :, :length].clone(), second[row, :, :length].clone())
                    if is_attention
                    else (first[row].clone(), second[row].clone())
                    for is_attention, (first, second) in zip(self.attention, layers, strict=True)
                ],
                length,
            )
            for row, length in enumerate(lead + len(ids) for ids in prefixes)
        ]

    def extend(
        self, states: Sequence[PrefixCache], tails: Sequence[Sequence[int]], *, keep: bool
    ) -> tuple[Tensor, BatchCache | None]:
        """Return hidden states [batch, hidden] of each tail's last token; with `keep`, a cache."""
        hidden, layers = self._run(states, tails)
        if not keep:
            return hidden, None
        return hidden, batch_cache(layers, states, tails)

    def step(self, state: BatchCache, tokens: Sequence[Sequence[int]]) -> Tensor:
        """Append at most one token to each row without advancing `state.positions`.

        Returns:
            Hidden states [all tokens, hidden]. The cache of a row without a token is invalid after.
        """
        ids = torch.tensor([row or [0] for row in tokens], device=self.device)
        columns = state.starts + state.positions
        end = int(columns.max()) + 1  # waits for the device: once a step, not in each layer
        mask = self._mask(state.visible(1, end)[:, 0], 1)
        cache = self._cache(state.layers, end, None, columns)
        hidden = self._forward(ids, state.positions[:, None], mask, cache)
        state.layers = self._layers_of(cache)
        with_token = [place for place, row in enumerate(tokens) if row]
        return hidden[torch.tensor(with_token, device=self.device), 0]

    def _run(
        self, states: Sequence[PrefixCache | None], tails: Sequence[Sequence[int]]
    ) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        lengths = [len(tail) for tail in tails]
        before = [state.length if state else 0 for state in states]
        rows, longest, lead = len(tails), max(lengths), max(before)
        steps = torch.arange(longest, device=self.device)
        positions = torch.tensor(before, device=self.device)[:, None] + steps
        visible = visible_keys(before, lengths).to(self.device)
        ends = torch.tensor(lengths, device=self.device)
        layers = self._joined([s for s in states if s is not None], lead, longest)
        cache = self._cache(layers, lead, ends)
        with self._skip_padding(steps[None] >= ends[:, None]):
            ids = padded(tails, self.device)
            if uses_varlen(self._core):
                rows_apart = PaddedRows.of(before, lengths, self.device)
                hidden = self._forward(ids, positions, None, cache, rows=rows_apart)
            else:
                hidden = self._forward(ids, positions, self._mask(visible, longest), cache)
        return hidden[torch.arange(rows, device=self.device), ends - 1], self._layers_of(cache)

    def _mask(self, visible: Tensor, queries: int) -> Tensor:
        flash = self._core.config._attn_implementation == "flash_attention_2"
        return visible if flash else additive_mask(visible, queries, self.dtype)

    def _forward(
        self, ids: Tensor, positions: Tensor, mask: Tensor | None, cache: "_Cache", **more: Any
    ) -> Tensor:
        """Return normed hidden states [batch, tokens, hidden]."""
        masks = mask if all(self.attention) else {"full_attention": mask, "linear_attention": None}
        out: Tensor = self._core(
            input_ids=ids,
            attention_mask=masks,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            **more,
        ).last_hidden_state
        return out

    @contextmanager
    def _skip_padding(self, padding: Tensor) -> Iterator[None]:
        """Keep the state of linear layers unchanged at `padding` (bool [batch, tokens])."""

        def close_gate(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
            return output.masked_fill(padding[..., None], float("-inf"))

        hooks = [gate.register_forward_hook(close_gate) for pair in self._gates for gate in pair]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _joined(
        self, states: Sequence[PrefixCache], lead: int, room: int
    ) -> list[tuple[Tensor, Tensor]]:
        """Join prefix caches into one batch; [] if there are none.

        Keys and values end at column `lead` and have room for `room` more tokens.
        """
        if not states:
            return []
        runs = [list(run) for _, run in groupby(states, key=id)]
        counts = torch.tensor([len(run) for run in runs], device=self.device)
        layers = []
        for index, is_attention in enumerate(self.attention):
            both = []
            for part in (0, 1):
                each = [run[0].layers[index][part] for run in runs]
                if not is_attention:
                    stacked = torch.stack(each)
                    both.append(stacked.repeat_interleave(counts, dim=0, output_size=len(states)))
                    continue
                heads, _, size = each[0].shape
                joined = each[0].new_zeros(len(states), heads, lead + room, size)
                row = 0
                for keys, run in zip(each, runs, strict=True):
                    joined[row : row + len(run), :, lead - keys.shape[1] : lead] = keys
                    row += len(run)
                both.append(joined)
            layers.append((both[0], both[1]))
        return layers

    def _cache(
        self,
        layers: list[tuple[Tensor, Tensor]],
        used: int,
        ends: Tensor | None,
        columns: Tensor | None = None,
    ) -> "_Cache":
        return _Cache(
            [
                _Keys(layers[index] if layers else None, used, columns)
                if is_attention
                else _Linear(layers[index] if layers else None, ends)
                for index, is_attention in enumerate(self.attention)
            ]
        )

    def _layers_of(self, cache: "_Cache") -> list[tuple[Tensor, Tensor]]:
        layers: list[Any] = list(cache.layers)
        return [
            (layer.keys, layer.values)
            if isinstance(layer, _Keys)
            else (layer.conv_states[0], layer.recurrent_states[0])
            for layer in layers
        ]


class _Cache(DynamicCache):
    """A cache built from given layers."""

    def __init__(self, layers: list[Any]) -> None:
        super().__init__()
        self.layers = layers
        self.layer_class_to_replicate = None


class _Keys(DynamicLayer):  # type: ignore[no-untyped-call]
    """Keys and values of a prefix that tails continue, or of rows that grow in place.

    Args:
        used: columns in use before the tails; or with `columns`, after the rows' next tokens.
        columns: int64 [batch], the column of each row's next token.
    """

    keys: Any
    values: Any
    dtype: Any
    device: Any

    def __init__(
        self, start: tuple[Tensor, Tensor] | None, used: int, columns: Tensor | None = None
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._used, self._columns = used, columns
        if start:
            self.keys, self.values = start
            self.dtype, self.device = self.keys.dtype, self.keys.device
            self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        used, columns = self._used, self._columns
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self.keys, self.values = key_states, value_states
        elif columns is None:  # `_joined` has allocated room for these tokens
            self.keys[:, :, used:] = key_states
            self.values[:, :, used:] = value_states
        else:
            self.keys, self.values = grow_columns(self.keys, used), grow_columns(self.values, used)
            row = torch.arange(len(columns), device=columns.device)
            self.keys[row, :, columns] = key_states[:, :, 0]
            self.values[row, :, columns] = value_states[:, :, 0]
            return self.keys[:, :, :used], self.values[:, :, :used]
        return self.keys, self.values

    def get_seq_length(self) -> int:
        return self._used if self._columns is None else self._used - 1


class _Linear(LinearAttentionLayer):
    """Convolution window and recurrent state, taken at each row's last real token.

    Args:
        ends: [batch] int64, number of real tokens in this pass; None if all are real.
    """

    dtype: Any
    device: Any

    def __init__(self, start: tuple[Tensor, Tensor] | None, ends: Tensor | None) -> None:
        super().__init__()
        self._ends = ends
        if start:
            self.conv_states[0], self.recurrent_states[0] = start
            self.conv_kernel_size[0] = start[0].shape[-1]
            self.dtype, self.device = start[0].dtype, start[0].device
            self.is_conv_states_initialized[0] = self.is_recurrent_states_initialized[0] = True
            self.has_previous_state[0] = True

    def update_conv_state(
        self,
        conv_states: Tensor,
        state_idx: int = 0,
        conv_kernel_size: int | None = None,
        **kwargs: Any,
    ) -> Tensor:
        size = self.conv_kernel_size[0] or conv_kernel_size or conv_states.shape[-1]
        old = self.conv_states[0]
        if old is None:
            old = conv_states.new_zeros(*conv_states.shape[:-1], size)
            self.dtype, self.device = old.dtype, old.device
        window = torch.cat([old, conv_states], dim=-1)
        ends = self._ends
        if ends is None:
            ends = torch.full((len(window),), conv_states.shape[-1], device=window.device)
        columns = ends[:, None, None] + torch.arange(size, device=window.device)
        self.conv_states[0] = window.gather(2, columns.expand(-1, window.shape[1], -1))
        self.conv_kernel_size[0] = size
        self.is_conv_states_initialized[0] = self.has_previous_state[0] = True
        return window

    def update_recurrent_state(
        self, recurrent_states: Tensor, state_idx: int = 0, **kwargs: Any
    ) -> Tensor:
        self.recurrent_states[0] = recurrent_states
        self.is_recurrent_states_initialized[0] = True
        return recurrent_states
