"""Near-duplicate detection over texts on disk; memory holds 17 bytes per text."""

import os
import tempfile
import weakref
from array import array
from collections.abc import Callable, Iterable, Iterator
from itertools import compress
from typing import IO

import numpy as np
from numpy.typing import NDArray

from prism_cli.domain.near_duplicates import (
    BANDS,
    PERMUTATIONS,
    THRESHOLD,
    Groups,
    Hashes,
    Shingles,
    band_keys,
    jaccard,
    normalised,
)
from prism_cli.rows.row import text_key
from prism_cli.shards.key_numbers import KeyNumbers
from prism_cli.shards.spill import Spill, SpilledObjects, spill_errors
from prism_cli.shards.text_tables import (
    Arrays,
    first_of_equal,
    in_range,
    signature_rows,
    texts_of,
)

_BUFFER = 4096
_SLICE = 1 << 22
"""Number of texts whose keys of one band are sorted in memory at once, 60 bytes each."""
_ALL_PAIRS = 16
"""Largest number of texts with one band key that are all compared with each other; of more, each is
compared with its _NEIGHBOURS in the order of hashes."""
_NEIGHBOURS = 4
_MARGIN = 0.2
"""Distance below the threshold within which the exact similarity is computed: 4 standard errors."""


class TextGroups:
    """Index of texts, numbered from 0 by normal form in the order of their first occurrence.

    Args:
        shingles: returns the shingles of a normalised text.
        exact: keep the texts, decide by Jaccard similarity, and keep texts with different numbers
            in them apart; else decide by the estimate of 64 permutations (standard error .05 at
            .8).
    """

    def __init__(self, shingles: Shingles, *, exact: bool) -> None:
        self._shingles = shingles
        self._exact = exact
        self._numbers = KeyNumbers()
        self._texts = Spill("number INTEGER PRIMARY KEY, text TEXT")
        self._signatures = _temporary_file(self)
        self._fresh: list[str] = []
        self._recent: dict[int, frozenset[int]] = {}
        self.hashes = array("Q")
        """8 bytes of each text's hash."""
        self._last: tuple[str | None, int] = (None, -1)

    def __len__(self) -> int:
        return len(self.hashes)

    def number(self, text: str) -> int:
        """Return the number of a text; a new one for a new text."""
        if text != self._last[0]:
            plain = normalised(text)
            key = text_key(plain)
            number = self._numbers.get(key)
            if number is None:
                number = len(self.hashes)
                self.hashes.append(int.from_bytes(key[:8]))
                self._numbers.put(key, number)
                self._fresh.append(plain)
                if len(self._fresh) == _BUFFER:
                    self._flush()
            self._last = (text, number)
        return self._last[1]

    def add_tables(self, tables: Callable[[], Iterable[Arrays]]) -> NDArray[np.int64]:
        """Add the texts of all parts, in place of `number`; return their numbers, int64 [texts].

        Memory holds 17 bytes of each text of a part.

        Args:
            tables: gives `TextTable.arrays` of each part; called twice.
        """
        place = first_of_equal(SpilledObjects(table["keys"] for table in tables()))
        new = place == np.arange(len(place))
        numbers = np.cumsum(new) - 1
        start = 0
        for table in tables():
            end = start + len(table["keys"])
            self._add(table, new[start:end])
            place[start:end] = numbers[place[start:end]]
            start = end
        return place

    def _add(self, table: Arrays, new: NDArray[np.bool_]) -> None:
        first = len(self)
        self.hashes.frombytes(table["keys"][new, :8].view(">u8").astype(np.uint64).tobytes())
        texts = texts_of(table) if self._exact else ()
        self._store(first, table["rows"][new], compress(texts, new))

    def group(self, excluded: int = 0) -> tuple[Groups, bytearray]:
        """Return groups of near-duplicates, and marks: 1 for each text that is or resembles one of
        the first `excluded`.

        Texts marked 1 are in no group. Apart from numbers, the groups do not depend on the order of
        the texts. No text can be added afterwards.
        """
        groups = Groups(len(self))
        marked = bytearray(b"\1" * excluded + bytes(len(self) - excluded))
        for left, right in self._candidates():
            first, second = min(left, right), max(left, right)
            if second < excluded:
                continue
            if first < excluded:
                if not marked[second] and self._near(first, second):
                    marked[second] = 1
            elif groups.find(first) != groups.find(second) and self._near(first, second):
                groups.join(first, second)
        return groups, marked

    def _candidates(self) -> Iterator[tuple[int, int]]:
        """Yield pairs that share a band and whose estimate is near the threshold or above.

        A pair may be repeated.
        """
        self._flush()
        size = len(self)
        if size < 2:
            return
        stored = self._write_band_keys()
        slices = -(-size // _SLICE)
        for band in range(BANDS):
            for number in range(slices):
                yield from self._pairs(*_slice(stored, band, size, number, slices))

    def _write_band_keys(self) -> IO[bytes]:
        """Write the keys of each band, uint64 [BANDS, texts], in one pass over the signatures."""
        file, size = _temporary_file(self), len(self)
        with spill_errors():
            for start in range(0, size, _BUFFER):
                part = self._stored([start], _BUFFER)
                for band in range(BANDS):
                    keys = band_keys(part, band) ^ part[:, PERMUTATIONS]
                    os.pwrite(file.fileno(), keys.tobytes(), 8 * (band * size + start))
        return file

    def _pairs(self, keys: Hashes, numbers: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
        """Yield the near pairs among the texts of one band in one range of keys."""
        hashes = np.frombuffer(self.hashes, dtype=np.uint64)[numbers]
        least = THRESHOLD - _MARGIN if self._exact else THRESHOLD
        order = np.lexsort((hashes, keys))
        ordered, numbers = keys[order], numbers[order]
        edges = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1], [True])))
        lengths = np.repeat(np.diff(edges), np.diff(edges))
        for step in range(1, _ALL_PAIRS):
            same = ordered[step:] == ordered[:-step]
            if step > _NEIGHBOURS:
                same &= lengths[step:] <= _ALL_PAIRS
            places = np.flatnonzero(same)
            for start in range(0, len(places), _BUFFER):
                here = places[start : start + _BUFFER]
                left, right = numbers[here], numbers[here + step]
                equal = self._stored(left.tolist()) == self._stored(right.tolist())
                near = equal[:, :PERMUTATIONS].mean(axis=1) >= least
                yield from zip(left[near].tolist(), right[near].tolist(), strict=True)
            if not len(places):
                break

    def _stored(self, numbers: list[int], count: int = 1) -> NDArray[np.uint32]:
        """Return the signatures of each number and of the `count` - 1 texts after it.

        The file is read, not mapped: mapped pages stay in memory.
        """
        file, width = self._signatures.fileno(), 4 * (PERMUTATIONS + 1)
        raw = b"".join(os.pread(file, count * width, number * width) for number in numbers)
        return np.frombuffer(raw, dtype=np.uint32).reshape(-1, PERMUTATIONS + 1)

    def _near(self, first: int, second: int) -> bool:
        if not self._exact:
            return True
        return jaccard(self._kept_shingles(first), self._kept_shingles(second)) >= THRESHOLD

    def _kept_shingles(self, number: int) -> frozenset[int]:
        shingles = self._recent.get(number)
        if shingles is None:
            if len(self._recent) >= _BUFFER:
                self._recent.clear()
            texts = self._texts.rows("SELECT text FROM spill WHERE number = ?", (number,))
            shingles = frozenset(self._shingles(next(texts)[0]).tolist())
            self._recent[number] = shingles
        return shingles

    def _flush(self) -> None:
        if self._fresh:
            rows = signature_rows(self._fresh, self._shingles, exact=self._exact)
            self._store(len(self) - len(self._fresh), rows, self._fresh)
            self._fresh.clear()

    def _store(self, first: int, rows: NDArray[np.uint32], texts: Iterable[str]) -> None:
        """Store what the texts from number `first` on are compared by."""
        if self._exact:
            self._texts.fill("INSERT INTO spill VALUES (?, ?)", enumerate(texts, first))
        with spill_errors():
            self._signatures.write(rows.tobytes())
            self._signatures.flush()


def _slice(
    file: IO[bytes], band: int, size: int, number: int, slices: int
) -> tuple[Hashes, NDArray[np.int64]]:
    """Return the keys of a band in one of `slices` equal ranges, and the numbers of their texts."""
    keys, numbers = [], []
    for start in range(0, size, _SLICE):
        raw = os.pread(file.fileno(), 8 * min(_SLICE, size - start), 8 * (band * size + start))
        part = np.frombuffer(raw, dtype=np.uint64)
        here = np.flatnonzero(in_range(part, number, slices))
        keys.append(part[here])
        numbers.append(here + start)
    return np.concatenate(keys), np.concatenate(numbers)


def _temporary_file(owner: object) -> IO[bytes]:
    """Return a private file that is closed with its owner."""
    file = tempfile.TemporaryFile(prefix="prism-signatures-")  # noqa: SIM115
    weakref.finalize(owner, file.close)
    return file
