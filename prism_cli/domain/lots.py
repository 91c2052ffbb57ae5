"""Choices by lot that depend on seed and texts alone, not on the order of rows."""

from hashlib import blake2b


def lot_falls(share: float, seed: int, purpose: str, *texts: str) -> bool:
    """Whether the lot falls on `texts`; a larger share adds to the chosen and takes none away.

    Args:
        share: in [0, 1].
        purpose: keeps the lots of two rules apart.
    """
    text = "\0".join((str(seed), purpose, *texts))
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest) < share * 2**64
