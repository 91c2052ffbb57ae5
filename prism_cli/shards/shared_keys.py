"""Hashes that occur in more than one sorted list, in bounded memory."""

import tempfile
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import IO

from prism_cli.shards.spill import spill_errors

HASH_BYTES = 8
_BUCKET_HASHES = 100_000
"""Hashes of one prefix that are sorted together: 6 MB."""
_BUFFERED_HASHES = 1 << 20
"""Hashes of all prefixes that are in memory before they are written: 8 MB."""


def hashes_of(part: bytes) -> "array[int]":
    """Return the hashes of a part."""
    hashes = array("Q")
    hashes.frombytes(part)
    return hashes


def common(first: "array[int]", second: "array[int]") -> set[int]:
    """Return the hashes of two sorted arrays that are in both."""
    few, many = (first, second) if len(first) < len(second) else (second, first)
    places = ((value, bisect_left(many, value)) for value in few)
    return {value for value, place in places if place < len(many) and many[place] == value}


def shared_hashes(parts: Sequence[bytes]) -> "array[int]":
    """Return the hashes that are in more than one part, sorted.

    The hashes are divided by their first bits into buckets on disk, which are sorted one at a time:
    10^8 hashes take 15 MB of memory, beside those that are shared.

    Args:
        parts: sorted hashes, each once in a part.

    Raises:
        StorageError: the folder for temporary files is full.
    """
    count = sum(map(len, parts)) // HASH_BYTES
    bits = (count // _BUCKET_HASHES).bit_length()
    shared = array("Q")
    with spill_errors(), tempfile.TemporaryFile() as file:  # a full disk may fail its end, too
        buckets = _Buckets(file, bits)
        for part in parts:
            buckets.add(hashes_of(part))
        for bucket in range(1 << bits):
            ordered = sorted(buckets.take(bucket))
            shared.extend(sorted({first for first, second in pairwise(ordered) if first == second}))
    return shared


class _Buckets:
    """Hashes by their first `bits`, in a file beyond a buffer."""

    def __init__(self, file: IO[bytes], bits: int) -> None:
        self._file = file
        self._shift = 8 * HASH_BYTES - bits
        self._most = max(1, _BUFFERED_HASHES >> bits)
        self._fresh = [array("Q") for _ in range(1 << bits)]
        self._places = [array("Q") for _ in range(1 << bits)]

    def add(self, hashes: "array[int]") -> None:
        """Add sorted hashes."""
        start = 0
        while start < len(hashes):
            bucket = hashes[start] >> self._shift
            end = bisect_left(hashes, (bucket + 1) << self._shift, start)
            fresh = self._fresh[bucket]
            fresh += hashes[start:end]
            if len(fresh) >= self._most and len(self._fresh) > 1:
                self._places[bucket].extend((self._file.tell(), len(fresh)))
                fresh.tofile(self._file)
                self._fresh[bucket] = array("Q")
            start = end

    def take(self, bucket: int) -> Iterator[int]:
        """Yield the hashes of a bucket, after the last `add`."""
        places = self._places[bucket]
        for place, size in zip(places[::2], places[1::2], strict=True):
            self._file.seek(place)
            yield from hashes_of(self._file.read(size * HASH_BYTES))
        yield from self._fresh[bucket]
