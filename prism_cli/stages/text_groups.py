"""Distinct texts on disk, and which of them are near-duplicates; memory holds 20 bytes a text."""

import tempfile
from array import array
from collections.abc import Iterator
from typing import TYPE_CHECKING

from prism_cli.domain.near_duplicates import (
    BANDS,
    PERMUTATIONS,
    THRESHOLD,
    Shingles,
    band_keys,
    jaccard,
    normalised,
    numbers_in,
    signatures,
    text_key,
)
from prism_cli.shards.spill import Spill

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BUFFER = 4096
_ALL_PAIRS = 16
"""Texts with one band key that are all compared with each other; of more, each with its
_NEIGHBOURS before it, in the order of their keys."""
_NEIGHBOURS = 8


class KeyNumbers:
    """A number for each key; those beyond a buffer are on disk."""

    def __init__(self) -> None:
        self._fresh: dict[bytes, int] = {}
        self._table = Spill("key BLOB PRIMARY KEY, number INTEGER", "WITHOUT ROWID")

    def get(self, key: bytes) -> int | None:
        """The key's number; None where it has none."""
        fresh = self._fresh.get(key)
        if fresh is not None:
            return fresh
        found = self._table.rows("SELECT number FROM spill WHERE key = ?", (key,))
        return next((number for (number,) in found), None)

    def put(self, key: bytes, number: int) -> None:
        """Give a number to a key that has none."""
        self._fresh[key] = number
        if len(self._fresh) == _BUFFER:
            self._table.fill("INSERT INTO spill VALUES (?, ?)", sorted(self._fresh.items()))
            self._fresh.clear()


class TextGroups:
    """Numbers texts by their normal form, from 0, in the order of their first coming.

    Args:
        shingles: of a normalised text.
        exact: keep the texts, so that a pair is decided by its Jaccard similarity, and hold texts
            with different numbers apart; else the 64 permutations' estimate decides (standard
            error .05 at .8).
    """

    def __init__(self, shingles: Shingles, *, exact: bool) -> None:
        self._shingles = shingles
        self._exact = exact
        self._numbers = KeyNumbers()
        self._texts = Spill("number INTEGER PRIMARY KEY, text TEXT")
        self._signatures = tempfile.TemporaryFile(prefix="prism-signatures-")  # noqa: SIM115
        self._fresh: list[str] = []
        self.lots = array("Q")
        """8 bytes of each text's hash."""
        self._last = ("", -1)

    def __len__(self) -> int:
        return len(self.lots)

    def number(self, text: str) -> int:
        """The number of a text; a new one where it comes for the first time."""
        if text == self._last[0]:
            return self._last[1]
        plain = normalised(text)
        key = text_key(plain)
        number = self._numbers.get(key)
        if number is None:
            number = len(self.lots)
            self.lots.append(int.from_bytes(key[:8]))
            self._numbers.put(key, number)
            self._fresh.append(plain)
            if len(self._fresh) == _BUFFER:
                self._flush()
        self._last = (text, number)
        return number

    def find(self, text: str) -> int | None:
        """The number of a text that may not have come."""
        if text == self._last[0]:
            return self._last[1]
        number = self._numbers.get(text_key(normalised(text)))
        if number is not None:
            self._last = (text, number)
        return number

    def pairs(self) -> Iterator[tuple[int, int]]:
        """Pairs of near-duplicates; one may come more than once. The same ones whatever the order
        in which the texts came, numbers aside."""
        import numpy as np

        self._flush()
        size = len(self)
        if size < 2:
            return
        width = PERMUTATIONS + 1
        rows = np.memmap(self._signatures, dtype=np.uint32, mode="r", shape=(size, width))
        lots = np.frombuffer(self.lots, dtype=np.uint64)
        for band in range(BANDS):
            keys = band_keys(rows, band) ^ rows[:, PERMUTATIONS]
            order = np.lexsort((lots, keys))
            ends = np.flatnonzero(np.diff(keys[order])) + 1
            starts = np.concatenate(([0], ends))
            sizes = np.diff(np.concatenate((starts, [size])))
            for start, length in zip(
                starts[sizes > 1].tolist(), sizes[sizes > 1].tolist(), strict=True
            ):
                run = order[start : start + length].tolist()
                reach = length if length <= _ALL_PAIRS else _NEIGHBOURS
                for position, one in enumerate(run):
                    for other in run[max(position - reach, 0) : position]:
                        if self._near(rows, other, one):
                            yield other, one

    def _near(self, rows: "NDArray[np.uint32]", one: int, other: int) -> bool:
        same = float((rows[one, :PERMUTATIONS] == rows[other, :PERMUTATIONS]).mean())
        if not self._exact:
            return same >= THRESHOLD
        if same < THRESHOLD - 0.3:  # six standard errors
            return False
        found = [
            next(self._texts.rows("SELECT text FROM spill WHERE number = ?", (number,)))[0]
            for number in (one, other)
        ]
        if numbers_in(found[0]) != numbers_in(found[1]):
            return False
        return jaccard(self._shingles(found[0]), self._shingles(found[1])) >= THRESHOLD

    def _flush(self) -> None:
        import numpy as np

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
        self._signatures.write(rows.tobytes())
        self._signatures.flush()
        self._fresh.clear()
