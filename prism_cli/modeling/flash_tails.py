"""Tails of one batch as one sequence, attending by flash-attn's kernel for rows of any length.

No key is padded and no mask is made; each row's keys are its prefix's and its own, end to end.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from prism_cli.modeling.prompt_state import PrefixState

Kernel = Callable[..., Tensor]
"""flash_attn_varlen_func, from version 2.1 on: causal means that the last query sees all keys."""


class FlashTails:
    """As `PackedTails`, in the order of the batch.

    Args:
        kernel: flash_attn_varlen_func.
    """

    def __init__(
        self,
        states: Sequence[PrefixState | None],
        tails: Sequence[Sequence[int]],
        device: torch.device,
        kernel: Kernel,
        *,
        keep: bool,
    ) -> None:
        self._kernel, self._keep = kernel, keep
        before = [state.length if state else 0 for state in states]
        lengths = [len(tail) for tail in tails]
        self._prefixes = list({id(state): state for state in states if state}.values())
        offsets, stored = {}, 0
        for known in self._prefixes:
            offsets[id(known)] = stored
            stored += known.length
        where, places, start = [], [], stored
        lead, columns = max(before), max(before) + max(lengths)
        for row, (state, prefix, own) in enumerate(zip(states, before, lengths, strict=True)):
            if state:
                where.append(torch.arange(prefix) + offsets[id(state)])
            where.append(torch.arange(own) + start)
            places.append(torch.arange(prefix + own) + row * columns + lead - prefix)
            start += own
        self._where = torch.cat(where).to(device)
        self._places, self._room = torch.cat(places).to(device), (len(tails), columns)
        self._queries, self._keys = (
            torch.tensor([0, *counts], dtype=torch.int32).cumsum(0, dtype=torch.int32).to(device)
            for counts in (lengths, [p + own for p, own in zip(before, lengths, strict=True)])
        )
        self._longest = max(lengths)
        self._longest_keys = max(p + own for p, own in zip(before, lengths, strict=True))
        self.ids = torch.tensor([token for tail in tails for token in tail], device=device)
        self.positions = torch.cat(
            [torch.arange(p, p + own) for p, own in zip(before, lengths, strict=True)]
        ).to(device)
        self.ends = self._queries[1:].long() - 1
        self.back = torch.arange(len(tails), device=device)
        self.kept: list[tuple[Tensor, Tensor]] = []

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, *, last: bool
    ) -> Tensor:
        """As `PackedTails.attend`."""
        both = []
        for part, own in enumerate((key, value)):
            stored = [state.layers[layer][part].transpose(0, 1) for state in self._prefixes]
            both.append(torch.cat([*stored, own]).index_select(0, self._where))
        if self._keep:
            rows, columns = self._room
            wide = [one.new_zeros(rows * columns, *one.shape[1:]) for one in both]
            first, second = (
                room.index_copy_(0, self._places, one)
                .view(rows, columns, *one.shape[1:])
                .transpose(1, 2)
                for room, one in zip(wide, both, strict=True)
            )
            self.kept.append((first, second))
        starts, longest = self._queries, self._longest
        if last:
            query, longest = query[self.ends], 1
            starts = torch.arange(len(query) + 1, dtype=torch.int32, device=query.device)
        return self._kernel(
            query, *both, starts, self._keys, longest, self._longest_keys, causal=True
        )
