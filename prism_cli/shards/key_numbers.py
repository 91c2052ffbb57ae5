"""Numbers of keys that may outgrow memory."""

from prism_cli.shards.spill import Spill

_BUFFER = 4096


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
