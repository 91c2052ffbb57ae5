"""Rows that begin alike go through the model with that beginning computed once.

Every prompt begins with the same hundred tokens of template, so on short passages this is nearly
half of a training step. Gradients flow back through the shared keys and values; the loss is the
same up to the order of sums.
"""

from collections.abc import Sequence
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

WORTHWHILE_TOKENS = 16


def common_prefix(prompts: Sequence[Sequence[int]]) -> int:
    """How many first tokens all of `prompts` share, less than each one's length."""
    if len(prompts) < 2:
        return 0
    low, high = min(prompts, key=list), max(prompts, key=list)  # all others lie between these two
    shared = sum(
        1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(low, high, strict=False))
    )
    return min(shared, min(map(len, prompts)) - 1)


def can_share(causal: Any) -> bool:
    """Whether the model's layers all attend, and keep no state but keys and values."""
    kinds = getattr(causal.config, "layer_types", None) or ["full_attention"]
    return set(kinds) == {"full_attention"} and not any(
        getattr(module, "gradient_checkpointing", False) for module in causal.modules()
    )


def last_hidden(
    causal: Any, input_ids: Tensor, attention_mask: Tensor, shared: int
) -> tuple[Tensor, int]:
    """(hidden, first): last hidden states [rows, width - first, hidden] from position `first` on.

    Args:
        causal: a transformers causal LM.
        input_ids, attention_mask: int64 [rows, width], padded on the right.
        shared: tokens at the start that all rows share; used where the model allows it.
    """
    body = causal.base_model
    if shared < WORTHWHILE_TOKENS or not can_share(causal):
        plain = body(input_ids=input_ids, attention_mask=attention_mask, use_cache=False)
        return plain.last_hidden_state, 0
    rows, width = input_ids.shape
    cache: Any = DynamicCache(config=causal.config)
    body(input_ids=input_ids[:1, :shared], past_key_values=cache, use_cache=True)
    for layer in cache.layers:
        layer.keys = layer.keys.expand(rows, -1, -1, -1)
        layer.values = layer.values.expand(rows, -1, -1, -1)
    tails = body(
        input_ids=input_ids[:, shared:],
        attention_mask=attention_mask,
        position_ids=torch.arange(shared, width, device=input_ids.device).expand(rows, -1),
        past_key_values=cache,
        use_cache=True,
    )
    return tails.last_hidden_state, shared
