"""Random choices that depend on a seed and texts alone, not on the order of rows."""

from hashlib import blake2b


def is_sampled(share: float, seed: int, purpose: str, *texts: str) -> bool:
    """Return whether `texts` are in the sample; a larger share adds texts and removes none.

    Args:
        share: in [0, 1].
        purpose: makes samples of different rules independent.
    """
    return seeded_hash(seed, purpose, *texts) < share * 2**64


def seeded_hash(seed: int, *texts: str) -> int:
    """Return a 64-bit hash of all arguments."""
    text = "\0".join((str(seed), *texts))
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest())
