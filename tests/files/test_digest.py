"""Digests that another thread computes."""

from hashlib import sha256

from prism_cli.files.digest import StreamDigest


def test_blocks_of_any_size_are_hashed_in_their_order() -> None:
    digest = StreamDigest()
    blocks = [bytes([number]) * size for number, size in enumerate([0, 1 << 20, 5, 1 << 16, 9])]
    for count, block in enumerate(blocks, 1):
        digest.update(block)
        assert digest.hexdigest() == sha256(b"".join(blocks[:count])).hexdigest()
    for block in blocks:
        digest.update(block)
    assert digest.hexdigest() == sha256(b"".join(blocks * 2)).hexdigest()
