"""The smallest keys of a set that may exceed memory, in two passes over it.

Keys are 16 bytes, ordered as bytes are and spread evenly, as hashes are. Equal keys are in order of
appearance. A place is one number for file and line of a row.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Places = NDArray[np.uint64]
Keys = NDArray[np.uint64]
"""uint64 [keys, 2]: the two halves of each."""
LINE_BITS = 40
"""Bits of a place that are the line; those above are the number of the file."""
_BUCKET_BITS = 12
_SHIFT = np.uint64(64 - _BUCKET_BITS)


def keys_of(raw: bytes | bytearray) -> Keys:
    """Return the keys that are one behind the other in `raw`."""
    return np.frombuffer(raw, dtype=">u8").astype(np.uint64).reshape(-1, 2)


def mapped(keys: Keys, function: Callable[[bytes], bytes]) -> Keys:
    """Return `function` of each key."""
    raw = keys.astype(">u8").tobytes()
    return keys_of(b"".join(function(raw[at : at + 16]) for at in range(0, len(raw), 16)))


def renumbered(places: Places, files: Sequence[int]) -> Places:
    """Return places with other numbers of files: `files[number]` in place of `number`."""
    bits = np.uint64(LINE_BITS)
    numbers = np.array(files, dtype=np.uint64)[(places >> bits).astype(np.int64)]
    return numbers << bits | places & np.uint64((1 << LINE_BITS) - 1)


class SmallestKeys:
    """Finds the `count` smallest keys: `count_keys` for all of them, then `collect` for all of
    them in the same order. Memory holds the keys of one bucket in 4,096.

    Args:
        count: at most the number of keys.

    Attributes:
        last: the largest of them, 16 bytes; b"" for none. None before `finish`.
        tied: places of those that equal `last`, in order.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._sizes = np.zeros(1 << _BUCKET_BITS, dtype=np.int64)
        self._bucket: int | None = None
        self._collected: list[tuple[Keys, Places]] = []
        self.last: bytes | None = None
        self.tied = np.zeros(0, dtype=np.uint64)

    def count_keys(self, keys: Keys) -> None:
        """First pass."""
        self._sizes += np.bincount(_buckets(keys), minlength=len(self._sizes))

    def collect(self, keys: Keys, places: Places) -> None:
        """Second pass."""
        if self._bucket is None:
            self._bucket = int(np.searchsorted(np.cumsum(self._sizes), self._count))
        here = _buckets(keys) == self._bucket
        self._collected.append((keys[here], places[here]))

    def finish(self) -> None:
        """Compute `last` and `tied`."""
        if not self._count:
            self.last = b""
            return
        left = self._count - int(self._sizes[: self._bucket].sum())
        keys = np.concatenate([keys for keys, _ in self._collected])
        places = np.concatenate([places for _, places in self._collected])
        self._collected.clear()
        first = np.lexsort((keys[:, 1], keys[:, 0]))[:left]  # stable
        last = keys[first[-1]]
        self.last = last.astype(">u8").tobytes()
        self.tied = places[first[(keys[first] == last).all(axis=1)]]

    def kept(self, keys: Keys, places: Places) -> NDArray[np.bool_]:
        """Return which of some keys are among the smallest; after `finish`."""
        if not self.last:
            return np.zeros(len(keys), dtype=bool)
        high, low = keys_of(self.last)[0]
        tied = (keys[:, 0] == high) & (keys[:, 1] == low) & np.isin(places, self.tied)
        less = (keys[:, 0] < high) | ((keys[:, 0] == high) & (keys[:, 1] < low))
        kept: NDArray[np.bool_] = less | tied
        return kept


class KeyColumns:
    """Keys of several sets, with their places, for a file.

    Attributes:
        sets: number of the set of each key, uint32 [keys].
        keys, places: as above.
    """

    def __init__(self, sets: Sequence[int], keys: bytes | bytearray, places: Sequence[int]) -> None:
        self.sets = np.array(sets, dtype=np.uint32)
        self.keys = keys_of(keys)
        self.places: Places = np.array(places, dtype=np.uint64)

    def only_smallest(self, count: int) -> None:
        """Leave out keys that are not among the `count` smallest of their set."""
        order = np.lexsort((self.keys[:, 1], self.keys[:, 0], self.sets))
        starts = np.searchsorted(self.sets[order], self.sets[order])
        kept = np.sort(order[np.arange(len(order)) - starts < count])
        self.sets, self.keys, self.places = self.sets[kept], self.keys[kept], self.places[kept]

    def to_bytes(self) -> bytes:
        """Return the columns for `from_bytes`, 28 bytes a key."""
        return self.keys.tobytes() + self.places.tobytes() + self.sets.tobytes()

    @classmethod
    def from_bytes(cls, raw: bytes) -> "KeyColumns":
        """Return the columns of `to_bytes`."""
        columns, size = cls((), b"", ()), len(raw) // 28
        numbers = np.frombuffer(raw, np.uint64, 3 * size)
        columns.keys, columns.places = numbers[: 2 * size].reshape(-1, 2), numbers[2 * size :]
        columns.sets = np.frombuffer(raw, np.uint32, size, 24 * size)
        return columns

    def of_set(self, number: int) -> tuple[Keys, Places]:
        """Return keys and places of one set."""
        here = self.sets == number
        return self.keys[here], self.places[here]


def _buckets(keys: Keys) -> NDArray[np.int64]:
    return (keys[:, 0] >> _SHIFT).astype(np.int64)
