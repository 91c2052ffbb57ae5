"""Hidden states of the rows of a training pass, in one of three ways.

Behind a shared prefix, as `packed_rows` describes: models that attend in every layer. Whole rows in
one sequence: Qwen3.5 with kernels that keep the states of rows apart. Padded rows: all others.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from prism_cli.modeling.dense_pass import is_dense
from prism_cli.modeling.linear_kernels import keeps_rows_apart
from prism_cli.modeling.packed_layers import ReadTokens, pack_layers
from prism_cli.modeling.packed_rows import ATTENTION, STEP_TOKENS, Layout, pack_attention
from prism_cli.modeling.packed_varlen import BY_ROWS, SharedRows, pack_attention_by_rows
from prism_cli.modeling.varlen_attention import uses_varlen


def packs_rows(causal: Any) -> bool:
    """Return True if `prepare_packing` was called for a causal LM that can be packed."""
    return getattr(causal.config, "_attn_implementation", None) in (ATTENTION, BY_ROWS)


def prepare_packing(causal: Any, *, hybrids: bool = True) -> None:
    """Make `causal` attend by layouts if its rows can be packed.

    Args:
        hybrids: pack rows of models with linear layers, too, where kernels keep them apart.
    """
    if is_dense(causal.config) or (hybrids and keeps_rows_apart(causal)):
        by_rows = uses_varlen(causal)
        (pack_attention_by_rows if by_rows else pack_attention)(causal)
        if is_dense(causal.config) and not by_rows:
            pack_layers(causal)


def row_states(causal: Any, ids: Tensor, layout: Layout, read: ReadTokens) -> Tensor:
    """Return the last hidden states [tokens read, hidden] of a packed sequence.

    Args:
        causal: a transformers causal LM, after `prepare_packing`.
        ids: int64 [tokens], the shared prefix and each row's own tokens, placed as in `layout`.
    """
    if packs_rows(causal) and is_dense(causal.config):
        return _behind_prefix(causal.base_model, ids, layout, read)
    return (_whole if packs_rows(causal) else _padded)(causal.base_model, ids, layout)[read.at]


def _behind_prefix(body: Any, ids: Tensor, layout: Layout, read: ReadTokens) -> Tensor:
    filler = -len(ids) % STEP_TOKENS
    positions = torch.zeros(len(ids) + filler, dtype=torch.long)
    positions[: layout.shared_prefix] = torch.arange(layout.shared_prefix)
    for start, length in zip(layout.starts, layout.lengths, strict=True):
        positions[start : start + length] = torch.arange(
            layout.shared_prefix, layout.shared_prefix + length
        )
    rows = _rows(body, layout, ids.device)
    packed = body(
        input_ids=functional.pad(ids, (0, filler))[None],
        position_ids=positions[None].to(ids.device),
        layout=layout,
        rows=rows,
        read=read if rows is None else None,
        use_cache=False,
    )
    states: Tensor = packed.last_hidden_state[0]
    return states if rows is None else states[read.at]


def _whole(body: Any, ids: Tensor, layout: Layout) -> Tensor:
    """Compute each row with its own copy of the prefix, whose state it continues."""
    device, shared = ids.device, layout.shared_prefix
    whole = Layout.of(0, [shared + length for length in layout.lengths], device)
    tokens = torch.zeros(sum(whole.lengths), dtype=torch.long)
    positions, rows = torch.zeros_like(tokens), torch.zeros(len(tokens), dtype=torch.int32)
    back = torch.zeros(len(ids), dtype=torch.long)
    order = sorted(range(len(whole.starts)), key=whole.starts.__getitem__)
    for number, row in enumerate(order):
        span = slice(whole.starts[row], whole.starts[row] + whole.lengths[row])
        tokens[span] = _tokens_of(layout, row)
        positions[span] = torch.arange(whole.lengths[row])
        rows[span] = number
        back[tokens[span]] = torch.arange(span.start, span.stop)
    ends = torch.tensor([0, *(whole.lengths[row] for row in order)]).cumsum(0).to(device)
    packed = body(
        input_ids=ids[tokens.to(device)][None],
        position_ids=positions[None].to(device),
        layout=whole,
        rows=_rows(body, whole, device),
        use_cache=False,
        cu_seq_lens_q=ends,  # of the recurrent state; seq_idx is the convolution's
        seq_idx=rows[None].to(device),
    )
    states: Tensor = packed.last_hidden_state[0][back.to(device)]
    return states


def _rows(body: Any, layout: Layout, device: torch.device) -> SharedRows | None:
    """Return the rows of `layout` if `body` attends by rows."""
    by_rows = body.config._attn_implementation == BY_ROWS
    return SharedRows.of(layout, device) if by_rows else None


def _padded(body: Any, ids: Tensor, layout: Layout) -> Tensor:
    device = ids.device
    rows, width = len(layout.starts), layout.shared_prefix + max(layout.lengths)
    index = torch.zeros((rows, width), dtype=torch.long)
    back = torch.zeros(len(ids), dtype=torch.long)
    for row in range(rows):
        tokens = _tokens_of(layout, row)
        index[row, : len(tokens)] = tokens
        back[tokens] = row * width + torch.arange(len(tokens))
    # Padding follows a row and cannot affect it: no mask, so the causal kernel is used.
    padded = body(input_ids=ids[index.to(device)], use_cache=False)
    hidden: Tensor = padded.last_hidden_state.flatten(0, 1)[back.to(device)]
    return hidden


def _tokens_of(layout: Layout, row: int) -> Tensor:
    """Return the places of a row's tokens in the packed sequence, the shared prefix included."""
    start = layout.starts[row]
    own = torch.arange(start, start + layout.lengths[row])
    return torch.cat([torch.arange(layout.shared_prefix), own])
