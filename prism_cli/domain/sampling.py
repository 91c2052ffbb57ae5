"""Number of rows of each score that a sample keeps; the rows themselves are chosen by hash
elsewhere.

Two rules. The paper's rule caps the middle of the score range by its poorest bucket and keeps both
ends whole (arXiv 2604.23734 and its author's scripts). Equal shares fill a given size evenly.
"""

from collections.abc import Sequence
from fractions import Fraction

PAPER_BUCKETS = 20
"""Buckets of the paper's rule, each .05 wide."""
_WHOLE_BELOW, _WHOLE_FROM = 4, 19  # lower edges .20 and .95
_WEIGHTED_FROM, _WEIGHT = 13, Fraction(17, 10)  # lower edge .65
_FILL = Fraction(8, 10)
_LABELLED_PARTS, _WEB_PARTS = 2, 3


def bin_of(score: float, bins: int) -> int:
    """Return the bin i of a score: [i / bins, (i + 1) / bins); the last one has 1, too.

    Exact for every float, unlike `score_figures.score_bin`: a sample keeps the bounds of its bins.
    """
    index = min(int(score * bins), bins - 1)
    # score * bins may round up to the next edge, or down below its own.
    if score < index / bins:
        return index - 1
    return index + 1 if index + 1 < bins and score >= (index + 1) / bins else index


def equal_shares(counts: Sequence[int], size: int) -> list[int]:
    """Return the number of rows to keep of each bin: equal, and the shortfall of a poor bin goes to
    the others.

    Args:
        counts: rows in each bin.
        size: rows wanted, at least 0.

    Returns:
        One number per bin, at most its count; their sum is the smaller of `size` and the number of
        rows. Two bins that are not kept whole differ by at most one; the lower bin has more.
    """
    shares = [0] * len(counts)
    left = min(size, sum(counts))
    open_bins = [index for index, count in enumerate(counts) if count]
    while left:
        level, extra = divmod(left, len(open_bins))
        poor = [index for index in open_bins if counts[index] <= level]
        for index in poor:
            shares[index] = counts[index]
            left -= counts[index]
        if not poor:
            for position, index in enumerate(open_bins):
                shares[index] = level + (position < extra)
            return shares
        open_bins = [index for index in open_bins if counts[index] > level]
    return shares


def paper_shares(counts: Sequence[int]) -> list[int]:
    """Return the number of rows to keep of each of the paper's 20 buckets of one source, by raw
    mean score.

    Buckets with a lower edge below .20 or of .95 are kept whole. In the middle: m = 1.7 from .65,
    else 1; base = floor(min over non-empty buckets of (n / m) / .8); at most floor(base * m). Exact
    arithmetic, no rounding of floats.
    """
    shares = list(counts)
    poorest = poorest_bucket(counts)
    if poorest is not None:
        base = int(counts[poorest] / _weight(poorest) / _FILL)
        for index in range(_WHOLE_BELOW, _WHOLE_FROM):
            shares[index] = min(counts[index], int(base * _weight(index)))
    return shares


def poorest_bucket(counts: Sequence[int]) -> int | None:
    """Return the bucket of the middle that caps the others; None where the middle is empty."""
    middle = [index for index in range(_WHOLE_BELOW, _WHOLE_FROM) if counts[index]]
    return min(middle, key=lambda index: counts[index] / _weight(index), default=None)


def _weight(index: int) -> Fraction:
    return _WEIGHT if index >= _WEIGHTED_FROM else Fraction(1)


def labelled_and_web(labelled: int, web: int) -> tuple[int, int]:
    """Return both counts at labelled : web = 2 : 3, by shrinking one, to no less than 1; unchanged
    where one is 0."""
    if not labelled or not web:
        return labelled, web
    if labelled * _WEB_PARTS > web * _LABELLED_PARTS:
        return max(1, web * _LABELLED_PARTS // _WEB_PARTS), web
    return labelled, labelled * _WEB_PARTS // _LABELLED_PARTS
