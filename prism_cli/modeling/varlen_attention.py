"""Attention of rows of different lengths without padding or masks: `--attn varlen`.

torch's flash kernels take rows one after the other with the places where they end, and share keys
between the query heads of a group. They run on CUDA only, in bfloat16 and float16.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

VARLEN = "varlen"
"""Name of `--attn`, and under which the attention is registered with transformers."""
_LEAST_CAPABILITY = (8, 0)


@dataclass(frozen=True, slots=True)
class RowBounds:
    """Ends of rows in a sequence of queries and in one of keys.

    A row's last query attends to all keys of the row, each query before it to one key less.

    Attributes:
        query_ends, key_ends: int32 [rows + 1], from 0 on.
        longest_query, longest_key: of a row.
    """

    query_ends: Tensor
    key_ends: Tensor
    longest_query: int
    longest_key: int

    @classmethod
    def of(
        cls, queries: Sequence[int], keys: Sequence[int], device: torch.device | str
    ) -> "RowBounds":
        """Return the bounds of rows with so many queries and keys."""
        return cls(_ends(queries, device), _ends(keys, device), max(queries), max(keys))


@dataclass(frozen=True, slots=True)
class PaddedRows:
    """Rows in padded batches of queries and keys.

    Attributes:
        queries, keys: int64, places of the tokens in rows x queries and in rows x keys.
    """

    queries: Tensor
    keys: Tensor
    bounds: RowBounds

    @classmethod
    def of(
        cls, prefixes: Sequence[int], tails: Sequence[int], device: torch.device
    ) -> "PaddedRows":
        """Return rows with tails of these lengths behind prefixes that end in the same column."""
        longest, lead = max(tails), max(prefixes)
        queries = [torch.arange(own) + row * longest for row, own in enumerate(tails)]
        keys = [
            torch.arange(lead - prefix, lead + own) + row * (lead + longest)
            for row, (prefix, own) in enumerate(zip(prefixes, tails, strict=True))
        ]
        bounds = RowBounds.of(tails, [len(places) for places in keys], device)
        return cls(torch.cat(queries).to(device), torch.cat(keys).to(device), bounds)


def attend_rows(
    query: Tensor, key: Tensor, value: Tensor, bounds: RowBounds, scale: float | None = None
) -> Tensor:
    """Attend causally within each row.

    Args:
        query: [query tokens, heads, head_dim]; key, value: [keys, kv_heads, head_dim].

    Returns:
        [query tokens, heads, head_dim]
    """
    short = value.dtype  # under autocast a norm may have made the others float32
    out: Tensor = _kernel()(
        query.to(short),
        key.to(short),
        value,
        bounds.query_ends,
        bounds.key_ends,
        bounds.longest_query,
        bounds.longest_key,
        scale=scale,
        window_size=(-1, 0),
        enable_gqa=True,
    )
    return out


def use_varlen(model: Any) -> None:
    """Let `model` attend by rows where it is told them, and by sdpa elsewhere."""
    AttentionInterface.register(VARLEN, _varlen_attention)
    AttentionMaskInterface.register(VARLEN, sdpa_mask)
    model.config._attn_implementation = VARLEN


def uses_varlen(model: Any) -> bool:
    """Return True after `use_varlen`."""
    return getattr(model.config, "_attn_implementation", None) == VARLEN


def varlen_fault(device: torch.device) -> str:
    """Return why the kernels cannot run on a CUDA device; "" if they can."""
    try:
        takes = set(inspect.signature(_kernel()).parameters)
    except ImportError:
        takes = set()
    if not {"enable_gqa", "window_size"} <= takes:
        return f"torch {torch.__version__} lacks torch.nn.attention.varlen with groups of heads"
    if torch.cuda.get_device_capability(device) < _LEAST_CAPABILITY:
        return f"{torch.cuda.get_device_name(device)} is older than compute capability 8.0"
    return ""


def _varlen_attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    rows: PaddedRows | None = None,
    scaling: float | None = None,
    **more: Any,
) -> tuple[Tensor, None]:
    """Attention function of transformers; without `rows`, its sdpa attention.

    Args:
        query: [rows, heads, queries, head_dim]; key, value: [rows, kv_heads, keys, head_dim].

    Returns:
        ([rows, queries, heads, head_dim], None): 0 at padding.
    """
    if rows is None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, **more
        )
    flat = [part.transpose(1, 2).flatten(0, 1) for part in (query, key, value)]
    own = [
        part[places]
        for part, places in zip(flat, (rows.queries, rows.keys, rows.keys), strict=True)
    ]
    out = torch.zeros_like(flat[0], dtype=own[2].dtype)
    out[rows.queries] = attend_rows(own[0], own[1], own[2], rows.bounds, scaling)
    return out.view(len(query), query.shape[2], *out.shape[1:]), None


def _kernel() -> Callable[..., Any]:
    from torch.nn.attention.varlen import varlen_attn

    kernel: Callable[..., Any] = varlen_attn
    return kernel


def _ends(lengths: Sequence[int], device: torch.device | str) -> Tensor:
    ends = torch.tensor([0, *lengths]).cumsum(0)
    return ends.to(device=device, dtype=torch.int32)
