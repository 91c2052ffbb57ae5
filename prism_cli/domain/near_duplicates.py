"""Near-duplicate texts: normal form, shingles, MinHash, groups.

Two texts are near-duplicates if the Jaccard similarity of their shingles is at least THRESHOLD.
MinHash proposes the pairs: 64 permutations, 16 bands of 4 rows, so that a pair at similarity .8 is
missed with probability .0002, at .7 with .01, and one at .3 is compared with probability .12.

datasketch takes 203 us per document of 175 words, with an index of 1,470 bytes of memory; this
module takes 48 us and, with `shards.text_groups`, 260 bytes on disk (benchmark split_pairs).
"""

import re
import unicodedata
from array import array
from collections.abc import Callable, Sequence, Set
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prism_cli.domain.words import UNSPACED, words

Hashes = NDArray[np.uint64]

THRESHOLD = 0.8
PERMUTATIONS = 64
BANDS = 16
_CHARACTERS, _WORDS = 3, 3  # of a shingle of a query, of a document
_SIGNS = re.compile(r"[\W_]+")
_NUMBER = re.compile(r"\d+")
_UNSPACED = re.compile(f"[{UNSPACED}]")
_ASCII_SIGNS = {code: " " for code in range(128) if not chr(code).isalnum()}
_CHUNK = 1 << 16
_PRIME = 0x9E3779B97F4A7C15

Shingles = Callable[[str], Hashes]


def normalised(text: str) -> str:
    """Return `text` in lower case, with compatibility forms unified, signs as blanks, and one blank
    between words.

    A text of signs alone is unchanged, so that it does not equal every other such text.
    """
    if text.isascii():
        plain = " ".join(text.lower().translate(_ASCII_SIGNS).split())
    else:
        folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
        plain = _SIGNS.sub(" ", folded).strip()
    return plain or " ".join(text.split())


def numbers_in(text: str) -> str:
    """Return the sorted numbers of a text; queries with other numbers ask for other things."""
    return " ".join(sorted(_NUMBER.findall(text)))


def query_shingles(text: str) -> Hashes:
    """Return hashes of all runs of 3 characters; of the complete text if it is shorter."""
    return _runs(_code_points(text), _CHARACTERS)


def loose_query_shingles(text: str) -> Hashes:
    """Return `query_shingles` independent of word order: "wound care tips", "tips wound care".

    For scripts without blanks these are all characters and all pairs of them: such a query has
    about ten characters, and one more would change three in ten runs of 3. At THRESHOLD this
    matches queries that differ by one particle in ten characters, and 6 of 1,197 questions of SQuAD
    match another one ("where was", "when was the Muslim Brotherhood founded"); with
    `query_shingles` 3 do.
    """
    text = " ".join(sorted(text.split()))
    if 2 * len(_UNSPACED.findall(text)) > len(text):
        points = _code_points(text)
        return np.concatenate((_runs(points, 1), _runs(points, 2)))
    return query_shingles(text)


def document_shingles(text: str) -> Hashes:
    """Return hashes of all runs of 3 words; of the complete text if it is shorter."""
    points = _code_points(text if text.isascii() else " ".join(words(text)))
    # For each word the sum of point * PRIME ** place, from differences of one running sum.
    powers, inverses = _powers(1 << len(points).bit_length())
    sums = np.concatenate(([np.uint64(0)], np.cumsum(points * powers[: len(points)])))
    blanks = np.flatnonzero(points == ord(" "))
    starts = np.concatenate(([0], blanks + 1))
    ends = np.concatenate((blanks, [len(points)]))
    return _runs(mixed((sums[ends] - sums[starts]) * inverses[starts]), _WORDS)


def jaccard(first: Set[int], second: Set[int]) -> float:
    """Return the Jaccard similarity of two sets of shingles, 0 to 1; at most one is empty."""
    both = len(first & second)
    return both / (len(first) + len(second) - both)


def signatures(texts: Sequence[Hashes]) -> NDArray[np.uint32]:
    """Return MinHash signatures, uint32 [texts, PERMUTATIONS], of texts with at least one shingle.

    The share of equal entries of two rows estimates their Jaccard similarity.
    """
    minima = np.empty((len(texts), PERMUTATIONS), dtype=np.uint32)
    first = 0
    while first < len(texts):
        end, size = first + 1, len(texts[first])
        while end < len(texts) and size + len(texts[end]) <= _CHUNK:
            size += len(texts[end])
            end += 1
        part = texts[first:end]
        starts = np.cumsum([0, *(len(shingles) for shingles in part[:-1])])
        together = np.concatenate(part)
        for index, (factor, offset) in enumerate(_permutations()):
            values = (together * factor + offset) >> np.uint64(32)
            minima[first:end, index] = np.minimum.reduceat(values, starts)
        first = end
    return minima


def band_keys(rows: NDArray[np.uint32], band: int) -> Hashes:
    """Return one key per signature: texts with equal keys in any band are candidates."""
    width = PERMUTATIONS // BANDS
    keys = np.full(len(rows), band, dtype=np.uint64)
    for column in range(band * width, (band + 1) * width):
        keys = mixed(keys + rows[:, column])
    return keys


class Groups:
    """Union-find over numbers from 0."""

    def __init__(self, size: int) -> None:
        self._parent = array("q", range(size))

    def find(self, number: int) -> int:
        """Return the number that represents the group of `number`."""
        parent = self._parent
        while parent[number] != number:
            parent[number] = parent[parent[number]]
            number = parent[number]
        return number

    def join(self, first: int, second: int) -> bool:
        """Merge the groups of two numbers; return False if they are in one group already."""
        first, second = self.find(first), self.find(second)
        self._parent[max(first, second)] = min(first, second)
        return first != second

    def copy(self) -> "Groups":
        """Return a copy of the groups, which can be merged further."""
        other = Groups(0)
        other._parent = self._parent[:]
        return other

    def roots(self) -> NDArray[np.int64]:
        """Return the representative of every number, int64 [size]."""
        size = len(self._parent)
        return np.fromiter(map(self.find, range(size)), dtype=np.int64, count=size)


def mixed(values: Hashes) -> Hashes:
    """Hash uint64 values by the last steps of splitmix64: each bit depends on each bit."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _code_points(text: str) -> Hashes:
    raw = text.encode("utf-32-le", "surrogatepass")
    return np.frombuffer(raw, dtype=np.uint32).astype(np.uint64)


def _runs(parts: Hashes, length: int) -> Hashes:
    """Return one hash for each run of `length` parts; one for all parts if there are fewer."""
    length = min(length, max(len(parts), 1))
    count = len(parts) - length + 1
    if count < 1:
        return np.zeros(1, dtype=np.uint64)
    runs = np.full(count, length, dtype=np.uint64)
    for place in range(length):
        runs = runs * np.uint64(_PRIME) + parts[place : place + count]
    return mixed(runs)


@lru_cache(maxsize=32)
def _powers(count: int) -> tuple[Hashes, Hashes]:
    """Return PRIME ** i and its inverse, modulo 2 ** 64, for i below `count`."""
    both = []
    for base in (_PRIME, pow(_PRIME, -1, 1 << 64)):
        factors = np.full(count, base, dtype=np.uint64)
        factors[0] = 1
        both.append(np.cumprod(factors))
    return both[0], both[1]


@lru_cache(maxsize=1)
def _permutations() -> list[tuple[Any, Any]]:
    drawn = blake2b(b"near-duplicates").digest()
    permutations = []
    for _ in range(PERMUTATIONS):
        drawn = blake2b(drawn).digest()
        factor, offset = int.from_bytes(drawn[:8]) | 1, int.from_bytes(drawn[8:16])
        permutations.append((np.uint64(factor), np.uint64(offset)))
    return permutations
