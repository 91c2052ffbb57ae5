"""Near-duplicate detection over texts on disk; memory holds 20 bytes per text."""

import os
import tempfile
import weakref
from array import array
from collections.abc import Iterator
from typing import IO

import numpy as np
from numpy.typing import NDArray

from prism_cli.domain.near_duplicates import (
    BANDS,
    PERMUTATIONS,
    THRESHOLD,
    Groups,
    Shingles,
    band_keys,
    jaccard,
    normalised,
    numbers_in,
    signatures,
)
from prism_cli.rows.row import text_key
from prism_cli.shards.key_numbers import KeyNumbers
from prism_cli.shards.spill import Spill

_BUFFER = 4096
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
        self._signatures: IO[bytes] | None = None
        self._fresh: list[str] = []
        self._recent: dict[int, frozenset[int]] = {}
        self.hashes = array("Q")
        """8 bytes of each text's hash."""
        self._last = ("", -1)

    def __len__(self) -> int:
        return len(self.hashes)

    def number(self, text: str) -> int:
        """Return the number of a text; a new one for a new text."""
        if text == self._last[0]:
            return self._last[1]
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
        return number

    def find(self, text: str) -> int | None:
        """Return the number of a text; None for a new text."""
        if text == self._last[0]:
            return self._last[1]
        number = self._numbers.get(text_key(normalised(text)))
        if number is not None:
            self._last = (text, number)
        return number

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
        if size < 2 or self._signatures is None:
            return
        hashes = np.frombuffer(self.hashes, dtype=np.uint64)
        least = THRESHOLD - _MARGIN if self._exact else THRESHOLD
        keys = np.empty(size, dtype=np.uint64)
        for band in range(BANDS):
            for start in range(0, size, _BUFFER):
                part = self._stored([start], _BUFFER)
                keys[start : start + _BUFFER] = band_keys(part, band) ^ part[:, PERMUTATIONS]
            order = np.lexsort((hashes, keys))
            ordered = keys[order]
            edges = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1], [True])))
            lengths = np.repeat(np.diff(edges), np.diff(edges))
            for step in range(1, _ALL_PAIRS):
                same = ordered[step:] == ordered[:-step]
                if step > _NEIGHBOURS:
                    same &= lengths[step:] <= _ALL_PAIRS
                places = np.flatnonzero(same)
                for start in range(0, len(places), _BUFFER):
                    here = places[start : start + _BUFFER]
                    left, right = order[here], order[here + step]
                    equal = self._stored(left.tolist()) == self._stored(right.tolist())
                    near = equal[:, :PERMUTATIONS].mean(axis=1) >= least
                    yield from zip(left[near].tolist(), right[near].tolist(), strict=True)
                if not len(places):
                    break

    def _stored(self, numbers: list[int], count: int = 1) -> NDArray[np.uint32]:
        """Return the signatures of each number and of the `count` - 1 texts after it.

        The file is read, not mapped: mapped pages stay in memory.
        """
        assert self._signatures is not None
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
        if not self._fresh:
            return
        rows = np.zeros((len(self._fresh), PERMUTATIONS + 1), dtype=np.uint32)
        rows[:, :PERMUTATIONS] = signatures([self._shingles(text) for text in self._fresh])
        if self._exact:
            rows[:, PERMUTATIONS] = [
                int.from_bytes(text_key(numbers_in(text))[:4]) for text in self._fresh
            ]
            first = len(self) - len(self._fresh)
            self._texts.fill("INSERT INTO spill VALUES (?, ?)", enumerate(self._fresh, first))
        if self._signatures is None:
            self._signatures = tempfile.TemporaryFile(prefix="prism-signatures-")  # noqa: SIM115
            weakref.finalize(self, self._signatures.close)
        self._signatures.write(rows.tobytes())
        self._signatures.flush()
        self._fresh.clear()
