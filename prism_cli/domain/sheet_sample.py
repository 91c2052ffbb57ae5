"""Which rows people see: a sample in strata, by hash, so that it is the same each time."""

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping
from hashlib import blake2b

Stratum = tuple[str, ...]


def rounded_length(length: int) -> int:
    """To two figures, so that few lengths are told apart."""
    step: int = 10 ** max(0, len(str(length)) - 2)
    return length // step * step


def terciles(lengths: Mapping[int, int]) -> tuple[int, int]:
    """Lengths that end the first and the second third of all rows.

    Args:
        lengths: rows by length.
    """
    total, seen = sum(lengths.values()), 0
    ends: list[int] = []
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
    for _ in range(total - len(given)):
        room = [one for one in given if given[one] < sizes[one]]
        # Furthest behind what its size has it.
        given[max(room, key=lambda one: total * sizes[one] / everything - given[one])] += 1
    return given


class Sampler:
    """Rows of a sample, as they come in: held are at most
    twice `most` a stratum, those of the lowest hash."""

    def __init__(self, most: int, seed: int) -> None:
        self._most, self._seed = most, seed
        self._sizes: Counter[Stratum] = Counter()
        self._held: dict[Stratum, dict[str, tuple[int, str]]] = {}

    def add(self, stratum: Stratum, name: str, text: str) -> None:
        """A row by what names it, and by what is shown of it; no text is chosen twice."""
        held = self._held.setdefault(stratum, {})
        if text in held:
            return
        self._sizes[stratum] += 1
        held[text] = (lot(self._seed, name), text)
        if len(held) > 2 * self._most:
            self._held[stratum] = {one[1]: one for one in self._first(stratum, self._most)}

    def chosen(self) -> Iterable[str]:
        """Texts of the sample."""
        for stratum, count in shares(self._sizes, self._most).items():
            yield from (text for _, text in self._first(stratum, count))

    def _first(self, stratum: Stratum, count: int) -> list[tuple[int, str]]:
        return heapq.nsmallest(count, self._held[stratum].values())


def lot(seed: int, name: str) -> int:
    """A number of 64 bits that seed and name decide."""
    text = f"{seed}\0sheet\0{name}".encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(text, digest_size=8).digest())
