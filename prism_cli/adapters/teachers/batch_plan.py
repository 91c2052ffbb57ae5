"""Batching of (query, document) pairs, as a pure function of the pairs."""

from collections.abc import Sequence

MAX_PAIRS = 128
MAX_BYTES = 64 << 10
LONGEST_BYTES = 8192
"""Longer documents cost no more, as every model here truncates them before."""


def plan_pairs(
    pairs: Sequence[tuple[str, str]],
    *,
    max_pairs: int = MAX_PAIRS,
    max_bytes: int = MAX_BYTES,
) -> list[list[int]]:
    """Return indices in batches, each once: longest documents first, equal documents adjacent.

    Args:
        max_bytes: maximum bytes of a batch's distinct documents, padded to the longest.
    """
    sizes = [min(len(document.encode()), LONGEST_BYTES) for _, document in pairs]
    order = sorted(range(len(pairs)), key=lambda index: (-sizes[index], *pairs[index][::-1], index))
    batches: list[list[int]] = []
    longest, distinct, last = 0, 0, ""
    for index in order:
        document = pairs[index][1]
        new = document != last
        full = bool(batches) and (
            len(batches[-1]) >= max_pairs or (distinct + new) * longest > max_bytes
        )
        if not batches or full:
            batches.append([])
            longest, distinct, new = max(1, sizes[index]), 0, True
        batches[-1].append(index)
        distinct += new
        last = document
    return batches
