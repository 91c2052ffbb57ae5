"""Texts of some rows, numbered by normal form, with what `TextGroups` needs of them."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prism_cli.domain.near_duplicates import (
    PERMUTATIONS,
    Shingles,
    normalised,
    numbers_in,
    signatures,
)
from prism_cli.rows.row import text_key
from prism_cli.shards.spill import SpilledObjects

_BUFFER = 4096
_SLICE = 1 << 22
"""Number of keys that are sorted in memory at once, 60 bytes each."""

Arrays = Mapping[str, NDArray[Any]]


class TextTable:
    """Texts of one part, numbered from 0 in the order of their first occurrence.

    Args:
        exact: as for `TextGroups`.
    """

    def __init__(self, shingles: Shingles, *, exact: bool) -> None:
        self._shingles, self._exact = shingles, exact
        self._numbers: dict[bytes, int] = {}
        self._fresh: list[str] = []
        self._rows: list[NDArray[np.uint32]] = []
        self._texts: list[bytes] = []
        self._last: tuple[str | None, int] = (None, -1)

    def number(self, text: str) -> int:
        """Return the number of a text; a new one for a text with a new normal form."""
        if text != self._last[0]:
            plain, size = normalised(text), len(self._numbers)
            number = self._numbers.setdefault(text_key(plain), size)
            if number == size:
                self._fresh.append(plain)
                if len(self._fresh) == _BUFFER:
                    self._flush()
            self._last = text, number
        return self._last[1]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the columns: `keys`, uint8 [texts, 16]; `rows`, see `signature_rows`; of exact
        ones also `texts`, UTF-8 one behind the other, and `ends` in it, int64 [texts]."""
        self._flush()
        keys = np.frombuffer(b"".join(self._numbers), dtype=np.uint8).reshape(-1, 16)
        arrays = {"keys": keys, "rows": np.concatenate([_NO_ROWS, *self._rows])}
        if self._exact:
            arrays["texts"] = np.frombuffer(b"".join(self._texts), dtype=np.uint8)
            arrays["ends"] = np.cumsum([len(text) for text in self._texts], dtype=np.int64)
        return arrays

    def _flush(self) -> None:
        if self._fresh:
            self._rows.append(signature_rows(self._fresh, self._shingles, exact=self._exact))
            if self._exact:
                self._texts += [text.encode("utf-8", "surrogatepass") for text in self._fresh]
            self._fresh.clear()


def signature_rows(texts: Sequence[str], shingles: Shingles, *, exact: bool) -> NDArray[np.uint32]:
    """Return the signatures of normalised texts, then for exact ones a hash of their numbers, else
    0; uint32 [texts, PERMUTATIONS + 1]."""
    rows = np.zeros((len(texts), PERMUTATIONS + 1), dtype=np.uint32)
    rows[:, :PERMUTATIONS] = signatures([shingles(text) for text in texts])
    if exact:
        rows[:, PERMUTATIONS] = [int.from_bytes(text_key(numbers_in(text))[:4]) for text in texts]
    return rows


def texts_of(table: Arrays) -> list[str]:
    """Return the normalised texts of a table of exact ones."""
    raw, ends = table["texts"].tobytes(), table["ends"].tolist()
    starts = [0, *ends[:-1]]
    return [
        raw[start:end].decode("utf-8", "surrogatepass")
        for start, end in zip(starts, ends, strict=True)
    ]


def first_of_equal(keys: SpilledObjects[NDArray[np.uint8]]) -> NDArray[np.int64]:
    """Return for each key the place of the first one that equals it, int64 [keys].

    Memory holds 8 bytes of each key, and a slice of the keys.

    Args:
        keys: hashes in parts, uint8 [keys, 16] each.
    """
    first = np.arange(sum(map(len, keys)))
    slices = -(-len(first) // _SLICE)
    for number in range(slices):
        chosen, places, start = [np.zeros((0, 2), np.uint64)], [first[:0]], 0
        for part in keys:
            halves = np.ascontiguousarray(part).view(np.uint64)
            here = np.flatnonzero(in_range(halves[:, 0], number, slices))
            chosen.append(halves[here])
            places.append(here + start)
            start += len(part)
        both, place = np.concatenate(chosen), np.concatenate(places)
        order = np.lexsort((both[:, 1], both[:, 0]))  # stable: the first one leads
        both, place = both[order], place[order]
        leads = np.concatenate(([True], (both[1:] != both[:-1]).any(axis=1)))[: len(place)]
        first[place] = place[np.flatnonzero(leads)[np.cumsum(leads) - 1]]
    return first


def in_range(hashes: NDArray[np.uint64], number: int, slices: int) -> NDArray[np.bool_]:
    """Return which of `hashes` are in one of `slices` equal ranges."""
    half = np.uint64(32)
    found: NDArray[np.bool_] = (hashes >> half) * np.uint64(slices) >> half == number
    return found


def packed(arrays: Arrays) -> bytes:
    """Return named arrays as bytes; equal arrays give equal bytes."""
    file = BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    return file.getvalue()


def unpacked(raw: bytes) -> Arrays:
    """Return the arrays of `packed`; each is read when it is asked for."""
    arrays: Arrays = np.load(BytesIO(raw), allow_pickle=False)
    return arrays


_NO_ROWS = np.zeros((0, PERMUTATIONS + 1), dtype=np.uint32)
