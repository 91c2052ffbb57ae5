"""The attention of `packed_rows` by `varlen_attention`: one kernel for all rows of a layer."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import AttentionInterface

from prism_cli.modeling.packed_rows import Layout, UnpaddedRows, packed_attention
from prism_cli.modeling.varlen_attention import RowBounds, attend_rows

BY_ROWS = "prism_packed_varlen"
"""Name under which the attention is registered with transformers."""


@dataclass(frozen=True, slots=True)
class SharedRows:
    """The rows of a layout, the shared prefix alone as the first of them.

    Attributes:
        shared_prefix: number of first tokens, which all rows share.
        copies: of the shared prefix's keys, one for each row.
        order: int64 [keys], the place of each key in the copies and the rows' own keys.
    """

    bounds: RowBounds
    shared_prefix: int
    copies: int
    order: Tensor

    @classmethod
    def of(cls, layout: Layout, device: torch.device | str) -> "SharedRows":
        """Return the rows of `layout` in sequence order."""
        shared = layout.shared_prefix
        order = sorted(range(len(layout.starts)), key=layout.starts.__getitem__)
        own = [layout.lengths[row] for row in order]
        alone = [shared] if shared else []
        keys = [*alone, *(shared + length for length in own)]
        places = [torch.arange(shared)]
        for number, row in enumerate(order, len(alone)):
            start = len(keys) * shared + layout.starts[row] - shared
            places.append(torch.arange(number * shared, (number + 1) * shared))
            places.append(torch.arange(start, start + layout.lengths[row]))
        bounds = RowBounds.of([*alone, *own], keys, device)
        return cls(bounds, shared, len(keys), torch.cat(places).to(device))


def pack_attention_by_rows(causal: Any) -> None:
    """Make `causal` attend by the rows passed to its forward, as `pack_attention` does."""
    AttentionInterface.register(BY_ROWS, _packed_attention_by_rows)
    causal.config._attn_implementation = BY_ROWS


def _packed_attention_by_rows(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    rows: SharedRows | None = None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **more: Any,
) -> tuple[Tensor, None]:
    """Attention function of transformers; without rows, or with dropout, as `packed_attention`.

    Args:
        query: [1, heads, tokens, head_dim]; key, value: [1, kv_heads, tokens, head_dim].

    Returns:
        ([1, tokens, heads, head_dim], None): 0 for filler behind the rows.
    """
    if rows is None or dropout:
        return packed_attention(
            module, query, key, value, attention_mask, scaling=scaling, dropout=dropout, **more
        )
    shared = rows.shared_prefix
    end = shared + len(rows.order) - rows.copies * shared
    unpadded: Any = UnpaddedRows.apply

    def behind_prefixes(states: Tensor) -> Tensor:
        whole = states[0].transpose(0, 1)
        copied = whole[:shared].expand(rows.copies, -1, -1, -1).flatten(0, 1)
        joined: Tensor = unpadded(torch.cat([copied, whole[shared:end]]), rows.order)
        return joined

    own = query[0].transpose(0, 1)
    attended = attend_rows(
        own[:end], behind_prefixes(key), behind_prefixes(value), rows.bounds, scaling
    )
    return functional.pad(attended, (0, 0, 0, 0, 0, len(own) - end))[None], None
