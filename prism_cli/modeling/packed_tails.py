"""Tails of one batch as one sequence without padding, and their attention.

Products work on real tokens alone. In attention rows of like length stand together, each behind the
keys of its own prefix: `[padding, prefix | tail, padding]`. A mask hides what a token may not see;
where tails are long the order alone does, so that neither work nor masks grow with it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from prism_cli.modeling.prefix_cache import PrefixCache, additive_mask, visible_keys

_LIKE = 0.8
"""Rows attend together down to this share of the longest one's tail."""
_LONG = 512
"""Tokens from which on a tail needs no mask."""


@dataclass(frozen=True, slots=True)
class _Span:
    """Rows that attend together, next to each other in the sequence.

    Attributes:
        rows: their indices in the batch, in order of the sequence.
        start, end: their tokens.
        lead, longest: room for the prefix and for the tail of each.
        padded: int64 [rows * longest], the token in each place, a row's last one in its padding;
            None where all tails are equally long.
        place: int64 [end - start], the place of each token.
        last: int64 [rows], the token that ends each row, counted from `start`.
        prefixes: runs of rows with the same prefix, as (first row, end, state).
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
    """How the tails of a batch lie in one sequence.

    Args:
        states: of the prefix before each tail; None for none.
        tails: token ids, one at least.
        groups: query heads that share keys.
        keep: hold the keys and values of all layers.

    Attributes:
        ids, positions: int64 [tokens].
        ends: int64 [rows], each row's last token, in order of the sequence.
        back: int64 [rows], where each row of the batch stands among `ends`.
        kept: with `keep`, keys and values of each layer that attended, [rows, kv_heads,
            longest prefix + longest tail, head_dim].
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
        self._rooms: dict[int, tuple[Tensor, Tensor]] = {}
        order: list[int] = []
        start = 0
        for rows in _alike(states, tails, before):
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
        """What each token, or with `last` each row's last one, takes from those before it.

        Args:
            layer: its index, of the prefixes' keys and values.
            query: [tokens, heads, head_dim]; key, value: [tokens, kv_heads, head_dim].

        Returns:
            [tokens or rows, heads, head_dim], in order of the sequence.
        """
        if self._keep:
            shape = (self._rows, key.shape[1], self._lead + self._longest, key.shape[2])
            self.kept.append((key.new_zeros(shape), value.new_zeros(shape)))
        found = []
        for number, span in enumerate(self._spans):
            own = slice(span.start, span.end)
            keys, values = self._with_prefixes(number, layer, key[own], value[own])
            if last:
                ends = query[own].index_select(0, span.last)[:, :, None]
                found.append(attend_folded(ends, keys, values, span.last_mask)[:, 0])
                continue
            wide = _wide(query[own], span).transpose(1, 2)
            if span.mask is None:
                whole = attend_in_order(wide, keys, values)
            else:
                whole = attend_folded(wide, keys, values, span.mask)
            flat = whole.reshape(-1, *whole.shape[2:])
            found.append(flat if span.padded is None else flat.index_select(0, span.place))
        return torch.cat(found) if len(found) > 1 else found[0]

    def _with_prefixes(
        self, number: int, layer: int, key: Tensor, value: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Keys and values of a span behind those of its prefixes, [rows, kv_heads, keys, dim]."""
        span = self._spans[number]
        if number not in self._rooms:
            shape = (len(span.rows), key.shape[1], span.lead + span.longest, key.shape[2])
            self._rooms[number] = (key.new_zeros(shape), value.new_zeros(shape))
        keys, values = self._rooms[number]
        for first, end, state in span.prefixes:
            here = slice(span.lead - state.length, span.lead)
            keys[first:end, :, here], values[first:end, :, here] = state.layers[layer]
        keys[:, :, span.lead :] = _wide(key, span).transpose(1, 2)
        values[:, :, span.lead :] = _wide(value, span).transpose(1, 2)
        if self._keep:
            here = slice(self._lead - span.lead, self._lead + span.longest)
            for whole, part in zip(self.kept[-1], (keys, values), strict=True):
                whole[span.rows, :, here] = part
        return keys, values


def attend_folded(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """Attention with the queries of a group folded into the query length.

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
    """Causal attention of tails behind prefixes of one length; shapes as of `attend_folded`.

    Zeros stand for the prefix's own queries: a kernel that knows the order skips half the keys and
    reads no mask, which is worth more where tails are long.
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


def _alike(
    states: Sequence[PrefixCache | None], tails: Sequence[Sequence[int]], before: Sequence[int]
) -> list[list[int]]:
    """Rows of like length together, the longest first, long ones only behind prefixes of one
    length; rows of one prefix side by side."""
    found: list[list[int]] = []
    for row in sorted(range(len(tails)), key=lambda row: (-len(tails[row]), before[row])):
        first = found[-1][0] if found else row
        longest = len(tails[first])
        alike = len(tails[row]) >= _LIKE * longest
        if found and alike and (longest < _LONG or before[row] == before[first]):
            found[-1].append(row)
        else:
            found.append([row])
    places: dict[int, int] = {}
    for row, state in enumerate(states):
        places.setdefault(id(state), row)
    return [sorted(rows, key=lambda row: (places[id(states[row])], row)) for rows in found]


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
    """Masks of all tokens and of the last ones; padding behind a tail is hidden by order."""
    longest = int(lengths.max())
    own = visible_keys(leads, lengths.tolist()).to(device)
    last = additive_mask(own, 1, dtype).expand(-1, -1, groups, -1)
    if longest >= _LONG:
        return None, last
    seen = visible_keys(leads[:1] if len(set(leads)) == 1 else leads, [longest]).to(device)
    return additive_mask(seen, longest, dtype).repeat(1, 1, groups, 1), last


def _runs(states: Sequence[PrefixCache | None]) -> list[tuple[int, int, PrefixCache]]:
    """Runs of rows with the same prefix, as (first row, end, state)."""
    runs: list[tuple[int, int, PrefixCache]] = []
    for row, state in enumerate(states):
        if state is None:
            continue
        if runs and runs[-1][2] is state and runs[-1][1] == row:
            runs[-1] = (runs[-1][0], row + 1, state)
        else:
            runs.append((row, row + 1, state))
    return runs


def _wide(tokens: Tensor, span: _Span) -> Tensor:
    """[tokens, heads, dim] of a span as [rows, longest, heads, dim]."""
    if span.padded is not None:
        tokens = tokens.index_select(0, span.padded)
    return tokens.view(len(span.rows), span.longest, *tokens.shape[1:])
