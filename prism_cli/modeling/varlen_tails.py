"""The interface of PackedTails by `varlen_attention`: one kernel for all rows of a layer."""

from collections.abc import Sequence

import torch
from torch import Tensor

from prism_cli.modeling.prefix_cache import PrefixCache
from prism_cli.modeling.varlen_attention import RowBounds, attend_rows


class VarlenTails:
    """Tails as one sequence in row order, each attending to its prefix and to itself.

    Args, attributes: as in PackedTails.
    """

    def __init__(
        self,
        states: Sequence[PrefixCache | None],
        tails: Sequence[Sequence[int]],
        device: torch.device,
        *,
        keep: bool,
    ) -> None:
        before = [state.length if state else 0 for state in states]
        lengths = [len(tail) for tail in tails]
        keys = [lead + own for lead, own in zip(before, lengths, strict=True)]
        rows = len(tails)
        self._prefixes = list({id(state): state for state in states if state}.values())
        self.ids = torch.tensor([token for tail in tails for token in tail], device=device)
        self.positions = torch.cat(
            [torch.arange(lead, end) for lead, end in zip(before, keys, strict=True)]
        ).to(device)
        self.ends = torch.tensor(lengths).cumsum(0).sub(1).to(device)
        self.back = torch.arange(rows, device=device)
        self.kept: list[tuple[Tensor, Tensor]] = []
        self._keys = _key_places(self._prefixes, states, lengths).to(device)
        self._all = RowBounds.of(lengths, keys, device)
        self._last = RowBounds.of([1] * rows, keys, device)
        self._kept_shape = (rows, max(before) + max(lengths))
        self._kept_places: Tensor | None = None
        if keep:
            columns = [
                torch.arange(max(before) - lead, max(before) + own) + row * self._kept_shape[1]
                for row, (lead, own) in enumerate(zip(before, lengths, strict=True))
            ]
            self._kept_places = torch.cat(columns).to(device)

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, *, last: bool
    ) -> Tensor:
        """Attend as PackedTails does."""
        keys = self._with_prefixes(layer, 0, key)
        values = self._with_prefixes(layer, 1, value)
        if self._kept_places is not None:
            self.kept.append((self._padded(keys), self._padded(values)))
        if last:
            return attend_rows(query[self.ends], keys, values, self._last)
        return attend_rows(query, keys, values, self._all)

    def _with_prefixes(self, layer: int, part: int, own: Tensor) -> Tensor:
        """Return the keys or values of all rows, each behind its prefix's: [keys, heads, dim]."""
        prefixes = [state.layers[layer][part].transpose(0, 1) for state in self._prefixes]
        return torch.cat([*prefixes, own])[self._keys]

    def _padded(self, packed: Tensor) -> Tensor:
        """Return [rows, heads, longest prefix + longest tail, dim]."""
        rows, columns = self._kept_shape
        room = packed.new_zeros(rows * columns, *packed.shape[1:])
        room[self._kept_places] = packed
        return room.view(rows, columns, *packed.shape[1:]).transpose(1, 2).contiguous()


def _key_places(
    prefixes: Sequence[PrefixCache],
    states: Sequence[PrefixCache | None],
    lengths: Sequence[int],
) -> Tensor:
    """Return the places of each row's keys in the prefixes and the tails, one after the other."""
    starts: dict[int, int] = {}
    at = 0
    for prefix in prefixes:
        starts[id(prefix)] = at
        at += prefix.length
    places = []
    for state, length in zip(states, lengths, strict=True):
        if state is not None:
            places.append(torch.arange(starts[id(state)], starts[id(state)] + state.length))
        places.append(torch.arange(at, at + length))
        at += length
    return torch.cat(places)
