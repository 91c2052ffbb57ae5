"""Packing: the tails of one batch as one sequence without padding, and their attention.

Linear layers process real tokens only. In attention, rows of similar length form a batch, each
behind the keys of its own prefix: `[padding, prefix | tail, padding]`. Short tails use a mask; long
tails use causal order instead, so that masks do not grow with the length.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from prism_cli.modeling.prefix_cache import PrefixCache, additive_mask, visible_keys

_SIMILAR = 0.8
"""Minimum length of a tail in a span, as a share of the longest tail's."""
_LONG = 512
"""Length from which a tail uses causal order instead of a mask."""


@dataclass(frozen=True, slots=True)
class _Span:
    """Rows that attend together; they are adjacent in the sequence.

    Attributes:
        rows: indices in the batch, in sequence order.
        start, end: their token range.
        lead, longest: room for the prefix and for the tail of each row.
        padded: int64 [rows * longest], the token of each place; a row's last token at padding.
            None if all tails are equally long.
        place: int64 [end - start], the place of each token.
        last: int64 [rows], each row's last token, relative to `start`.
        prefixes: runs of rows with the same prefix, as (first row, end, cache).
        mask: [rows or 1, 1, groups * longest, lead + longest]; None for long tails.
        last_mask: [rows or 1, 1, groups, lead + longest].
    """

    rows: Tensor
    start: int
    end: int
    lead: int
    longest: int
    padded: Tensor | None
    place: Tensor
    last: Tensor
    prefixes: list[tuple[int, int, PrefixCache]]
    mask: Tensor | None
    last_mask: Tensor


class PackedTails:
    """The tails of a batch packed into one sequence.

    Args:
        states: the cache of each tail's prefix; None for no prefix.
        tails: token ids, at least one each.
        groups: query heads per key head.
        keep: store the keys and values of all layers.

    Attributes:
        ids, positions: int64 [tokens].
        ends: int64 [rows], each row's last token, in sequence order.
        back: int64 [rows], index of each row of the batch in `ends`.
        kept: with `keep`, keys and values per layer, [rows, kv_heads, longest prefix + longest
            tail, head_dim].
    """

    def __init__(
        self,
        states: Sequence[PrefixCache | None],
        tails: Sequence[Sequence[int]],
        groups: int,
        device: torch.device,
        dtype: torch.dtype,
        *,
        keep: bool,
    ) -> None:
        before = [state.length if state else 0 for state in states]
        self._rows, self._keep = len(tails), keep
        self._lead, self._longest = max(before), max(map(len, tails))
        self._spans: list[_Span] = []
        self.kept: list[tuple[Tensor, Tensor]] = []
        self._buffers: dict[int, tuple[Tensor, Tensor]] = {}
        order: list[int] = []
        start = 0
        for rows in _similar_rows(states, tails, before):
            span = _span(rows, start, states, tails, before, groups, device, dtype)
            self._spans.append(span)
            order += rows
            start = span.end
        ids = [token for row in order for token in tails[row]]
        self.ids = torch.tensor(ids, device=device)
        self.positions = torch.cat(
            [torch.arange(before[row], before[row] + len(tails[row])) for row in order]
        ).to(device)
        self.ends = torch.cat([span.start + span.last for span in self._spans])
        self.back = torch.tensor(order).argsort().to(device)

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, *, last: bool
    ) -> Tensor:
        """Attend from each token, or with `last` from each row's last token, to those before it.

        Args:
            layer: its index in the prefix caches.
            query: [tokens, heads, head_dim]; key, value: [tokens, kv_heads, head_dim].

        Returns:
            [tokens or rows, heads, head_dim], in sequence order.
        """
        if self._keep:
            shape = (self._rows, key.shape[1], self._lead + self._longest, key.shape[2])
            self.kept.append((key.new_zeros(shape), value.new_zeros(shape)))
        outputs = []
        for number, span in enumerate(self._spans):
            own = slice(span.start, span.end)
            keys, values = self._with_prefixes(number, layer, key[own], value[own])
            if last:
                ends = query[own].index_select(0, span.last)[:, :, None]
                outputs.append(attend_folded(ends, keys, values, span.last_mask)[:, 0])
                continue
            padded = _padded(query[own], span).transpose(1, 2)
            if span.mask is None:
                attended = attend_in_order(padded, keys, values)
            else:
                attended = attend_folded(padded, keys, values, span.mask)
            flat = attended.reshape(-1, *attended.shape[2:])
            outputs.append(flat if span.padded is None else flat.index_select(0, span.place))
        return torch.cat(outputs) if len(outputs) > 1 else outputs[0]

    def _with_prefixes(
        self, number: int, layer: int, key: Tensor, value: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return keys and values of a span after its prefixes', [rows, kv_heads, keys, dim]."""
        span = self._spans[number]
        if number not in self._buffers:
            shape = (len(span.rows), key.shape[1], span.lead + span.longest, key.shape[2])
            self._buffers[number] = (key.new_zeros(shape), value.new_zeros(shape))
        keys, values = self._buffers[number]
        for first, end, state in span.prefixes:
            columns = slice(span.lead - state.length, span.lead)
            keys[first:end, :, columns], values[first:end, :, columns] = state.layers[layer]
        keys[:, :, span.lead :] = _padded(key, span).transpose(1, 2)
        values[:, :, span.lead :] = _padded(value, span).transpose(1, 2)
        if self._keep:
            columns = slice(self._lead - span.lead, self._lead + span.longest)
            for kept, part in zip(self.kept[-1], (keys, values), strict=True):
                kept[span.rows, :, columns] = part
        return keys, values


def attend_folded(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """Attend with the query heads of a group folded into the query length.

    Args:
        query: [rows, heads, tokens, head_dim]; key, value: [rows, kv_heads, keys, head_dim].
        mask: [rows or 1, 1, groups * tokens, keys].

    Returns:
        [rows, tokens, heads, head_dim]
    """
    rows, heads, tokens, dim = query.shape
    folded = query.reshape(rows, key.shape[1], -1, dim)
    out = functional.scaled_dot_product_attention(folded, key, value, attn_mask=mask)
    return out.reshape(rows, heads, tokens, dim).transpose(1, 2)


def attend_in_order(
    query: Tensor, key: Tensor, value: Tensor, scale: float | None = None, dropout: float = 0.0
) -> Tensor:
    """Attend causally from tails behind prefixes of one length; shapes as in `attend_folded`.

    Zeros replace the prefix's own queries: the causal kernel skips half the keys and reads no mask,
    which is faster for long tails.
    """
    lead, groups = key.shape[2] - query.shape[2], query.shape[1] // key.shape[1]
    out = functional.scaled_dot_product_attention(
        functional.pad(query, (0, 0, lead, 0)),
        key.repeat_interleave(groups, dim=1),
        value.repeat_interleave(groups, dim=1),
        is_causal=True,
        scale=scale,
        dropout_p=dropout,
    )
    return out[:, :, lead:].transpose(1, 2)


def _similar_rows(
    states: Sequence[PrefixCache | None], tails: Sequence[Sequence[int]], before: Sequence[int]
) -> list[list[int]]:
    """Group rows of similar length, the longest first; rows of one prefix are adjacent.

    Rows with long tails are grouped only if their prefixes are equally long.
    """
    spans: list[list[int]] = []
    for row in sorted(range(len(tails)), key=lambda row: (-len(tails[row]), before[row])):
        first = spans[-1][0] if spans else row
        longest = len(tails[first])
        similar = len(tails[row]) >= _SIMILAR * longest
        if spans and similar and (longest < _LONG or before[row] == before[first]):
            spans[-1].append(row)
        else:
            spans.append([row])
    places: dict[int, int] = {}
    for row, state in enumerate(states):
        places.setdefault(id(state), row)
    return [sorted(rows, key=lambda row: (places[id(states[row])], row)) for rows in spans]


def _span(
    rows: list[int],
    start: int,
    states: Sequence[PrefixCache | None],
    tails: Sequence[Sequence[int]],
    before: Sequence[int],
    groups: int,
    device: torch.device,
    dtype: torch.dtype,
) -> _Span:
    lengths = torch.tensor([len(tails[row]) for row in rows])
    longest, ends = int(lengths.max()), lengths.cumsum(0)
    offset = torch.arange(longest)
    token = (ends - lengths)[:, None] + torch.minimum(offset, lengths[:, None] - 1)
    real = (offset < lengths[:, None]).flatten()
    leads = [before[row] for row in rows]
    mask, last_mask = _masks(leads, lengths, groups, device, dtype)
    return _Span(
        torch.tensor(rows, device=device),
        start,
        start + int(ends[-1]),
        max(leads),
        longest,
        None if bool(real.all()) else token.flatten().to(device),
        real.nonzero().flatten().to(device),
        (ends - 1).to(device),
        _runs([states[row] for row in rows]),
        mask,
        last_mask,
    )


def _masks(
    leads: list[int], lengths: Tensor, groups: int, device: torch.device, dtype: torch.dtype
) -> tuple[Tensor | None, Tensor]:
    """Return masks of all tokens (None if long) and of each row's last token.

    Causal order hides the padding behind a tail.
    """
    longest = int(lengths.max())
    real = visible_keys(leads, lengths.tolist()).to(device)
    last = additive_mask(real, 1, dtype).expand(-1, -1, groups, -1)
    if longest >= _LONG:
        return None, last
    visible = visible_keys(leads[:1] if len(set(leads)) == 1 else leads, [longest]).to(device)
    return additive_mask(visible, longest, dtype).repeat(1, 1, groups, 1), last


def _runs(states: Sequence[PrefixCache | None]) -> list[tuple[int, int, PrefixCache]]:
    """Return runs of rows with the same prefix, as (first row, end, cache)."""
    runs: list[tuple[int, int, PrefixCache]] = []
    for row, state in enumerate(states):
        if state is None:
            continue
        if runs and runs[-1][2] is state and runs[-1][1] == row:
            runs[-1] = (runs[-1][0], row + 1, state)
        else:
            runs.append((row, row + 1, state))
    return runs


def _padded(tokens: Tensor, span: _Span) -> Tensor:
    """Pad [tokens, heads, dim] of a span to [rows, longest, heads, dim]."""
    if span.padded is not None:
        tokens = tokens.index_select(0, span.padded)
    return tokens.view(len(span.rows), span.longest, *tokens.shape[1:])
