"""Which rows people see: a sample in strata, by hash, so that it is the same each time."""

import heapq
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from hashlib import blake2b

Stratum = tuple[str, ...]


def rounded_length(length: int) -> int:
    """To two figures, so that few lengths are told apart."""
    step = 10 ** max(0, len(str(length)) - 2)
    return length // step * step


def terciles(lengths: Mapping[int, int]) -> tuple[int, int]:
    """Lengths that end the first and the second third of all rows.

    Args:
        lengths: rows by length.
    """
    total, seen, ends = sum(lengths.values()), 0, []
    for length, rows in sorted(lengths.items()):
        seen += rows
        while len(ends) < 2 and 3 * seen >= total * (len(ends) + 1):
            ends.append(length)
    return (ends[0], ends[1]) if ends else (0, 0)


def shares(sizes: Mapping[Stratum, int], total: int) -> dict[Stratum, int]:
    """How many of `total` rows each stratum gives: one each while there is room, the largest
    strata first, then as its size has it, by the largest remainder."""
    total = min(total, sum(sizes.values()))
    order = sorted(sizes, key=lambda one: (-sizes[one], one))
    given = dict.fromkeys(order[:total], 1)
    everything = sum(sizes[one] for one in given)
    while (left := total - sum(given.values())) > 0:
        # Furthest behind what its size has it; one at a time keeps every stratum within its size.
        behind = [
            (total * sizes[one] / everything - given[one], -place, one)
            for place, one in enumerate(given)
            if given[one] < sizes[one]
        ]
        for _, _, one in heapq.nlargest(left, behind)[: max(1, left // 8)]:
            given[one] += 1
    return given


class Sampler:
    """Rows of a sample, as they come in: held are `most` a stratum, those of the lowest hash."""

    def __init__(self, most: int, seed: int) -> None:
        self._most, self._seed = most, seed
        self._sizes: Counter[Stratum] = Counter()
        self._held: dict[Stratum, list[tuple[int, Hashable]]] = {}

    def add(self, stratum: Stratum, name: str, place: Hashable) -> None:
        """A row by what names it, and where it stands."""
        self._sizes[stratum] += 1
        held = self._held.setdefault(stratum, [])
        entry = (-lot(self._seed, name), place)
        if len(held) < self._most:
            heapq.heappush(held, entry)
        else:
            heapq.heappushpop(held, entry)

    def chosen(self) -> Iterable[Hashable]:
        """Places of the sample."""
        for stratum, count in shares(self._sizes, self._most).items():
            yield from (place for _, place in heapq.nlargest(count, self._held[stratum]))


def lot(seed: int, name: str) -> int:
    """A number of 64 bits that seed and name decide."""
    text = f"{seed}\0sheet\0{name}".encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(text, digest_size=8).digest())
