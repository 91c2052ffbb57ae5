"""A dictionary of byte keys to integers that may exceed memory, such as seen ids with their row."""

from prism_cli.shards.spill import Spill

_BUFFER = 4096


class KeyNumbers:
    """Maps bytes to integers; keys beyond a buffer are in a temporary file."""

    def __init__(self) -> None:
        self._fresh: dict[bytes, int] = {}
        self._table = Spill("key BLOB PRIMARY KEY, number INTEGER", "WITHOUT ROWID")

    def get(self, key: bytes) -> int | None:
        """Return the number of a key; None if it has none."""
        fresh = self._fresh.get(key)
        if fresh is not None:
            return fresh
        matches = self._table.rows("SELECT number FROM spill WHERE key = ?", (key,))
        return next((number for (number,) in matches), None)

    def put(self, key: bytes, number: int) -> None:
        """Store the number of a new key."""
        self._fresh[key] = number
        if len(self._fresh) == _BUFFER:
            self._table.fill("INSERT INTO spill VALUES (?, ?)", sorted(self._fresh.items()))
            self._fresh.clear()
