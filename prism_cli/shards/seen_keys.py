"""A set of texts in 24 bytes each at most, such as the ids of a corpus."""

from array import array


class SeenKeys:
    """64-bit hashes of texts, in an open-addressing table that is at most half full."""

    def __init__(self) -> None:
        self._table = array("Q", bytes(8 << 10))
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, text: str) -> bool:
        """Add a text; return whether its hash is new.

        False for a text that was added before; for another one with a probability of
        len(self) / 2 ** 64.
        """
        if not self._put(hash(text) & 0xFFFF_FFFF_FFFF_FFFF or 1):
            return False
        self._count += 1
        if 2 * self._count > len(self._table):
            smaller, self._table = self._table, array("Q", bytes(16 * len(self._table)))
            for key in smaller:
                if key:
                    self._put(key)
        return True

    def _put(self, key: int) -> bool:
        table, mask = self._table, len(self._table) - 1
        place = key & mask
        while stored := table[place]:
            if stored == key:
                return False
            place = (place + 1) & mask
        table[place] = key
        return True
