"""A stratified sample of the rows that people rate, drawn by hash, so that it is reproducible."""

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping

from prism_cli.domain.seeded_sample import seeded_hash

Stratum = tuple[str, ...]


def rounded_length(length: int) -> int:
    """Round to two significant digits, to bound the number of distinct lengths."""
    step: int = 10 ** max(0, len(str(length)) - 2)
    return length // step * step


def terciles(lengths: Mapping[int, int]) -> tuple[int, int]:
    """Return the lengths that end the first and the second third of all rows.

    Args:
        lengths: number of rows by length.
    """
    total, seen = sum(lengths.values()), 0
    ends: list[int] = []
    for length, rows in sorted(lengths.items()):
        seen += rows
        while len(ends) < 2 and 3 * seen >= total * (len(ends) + 1):
            ends.append(length)
    return (ends[0], ends[1]) if ends else (0, 0)


def shares(sizes: Mapping[Stratum, int], total: int) -> dict[Stratum, int]:
    """Return how many of `total` rows each stratum gets: one each while there is room, the largest
    strata first; the rest in proportion to their sizes, by the largest remainder."""
    total = min(total, sum(sizes.values()))
    order = sorted(sizes, key=lambda stratum: (-sizes[stratum], stratum))
    granted = dict.fromkeys(order[:total], 1)
    everything = sum(sizes[stratum] for stratum in granted)
    for _ in range(total - len(granted)):
        open_strata = [stratum for stratum in granted if granted[stratum] < sizes[stratum]]
        # Furthest behind its proportional share.
        granted[
            max(
                open_strata,
                key=lambda stratum: total * sizes[stratum] / everything - granted[stratum],
            )
        ] += 1
    return granted


class Sampler:
    """Draws the sample while rows arrive; holds at most 2 * `most` rows per stratum."""

    def __init__(self, most: int, seed: int) -> None:
        self._most, self._seed = most, seed
        self._sizes: Counter[Stratum] = Counter()
        self._held: dict[Stratum, list[tuple[int, str]]] = {}

    def add(self, stratum: Stratum, name: str, text: str) -> None:
        """Add a row by its name and its displayed text, which no other row has."""
        held = self._held.setdefault(stratum, [])
        self._sizes[stratum] += 1
        held.append((seeded_hash(self._seed, "sheet", name), text))
        if len(held) > 2 * self._most:
            self._held[stratum] = self._first(stratum, self._most)

    def chosen(self) -> Iterable[str]:
        """Yield the texts of the sample."""
        for stratum, count in shares(self._sizes, self._most).items():
            yield from (text for _, text in self._first(stratum, count))

    def _first(self, stratum: Stratum, count: int) -> list[tuple[int, str]]:
        return heapq.nsmallest(count, self._held[stratum])
