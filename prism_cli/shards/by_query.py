"""Inputs with the rows of each query put together, in order of the queries' first rows."""

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256

from prism_cli.errors import RowError
from prism_cli.rows.decode import Unreadable, decode_row
from prism_cli.rows.row import query_id
from prism_cli.shards.measured import measure
from prism_cli.shards.reader import Shard
from prism_cli.shards.spill import Spill


class SortedByQuery:
    """A Source over files; sorts on disk.

    Args:
        shards: the files, in order.
        fields: contract name -> name in the files.
    """

    def __init__(self, shards: Sequence[Shard], fields: Mapping[str, str]) -> None:
        self._shards = shards
        self._fields = fields

    @property
    def name(self) -> str:
        return ", ".join(shard.name for shard in self._shards) + " (sorted by query)"

    @property
    def fingerprint(self) -> str:
        whole = " ".join(measure(shard.path).sha256 for shard in self._shards)
        return sha256(whole.encode()).hexdigest()

    def lines(self) -> Iterator[bytes]:
        """The input's lines; those that are no rows come first, to be rejected."""
        spill = Spill(
            "number INTEGER PRIMARY KEY, query TEXT NOT NULL, line BLOB NOT NULL, "
            "field TEXT, reason TEXT"
        )
        spill.fill("INSERT INTO spill VALUES (?, ?, ?, ?, ?)", self._keyed())
        query = (
            "SELECT line, field, reason FROM spill JOIN (SELECT query AS q, min(number) AS first "
            "FROM spill GROUP BY query) ON query = q ORDER BY first, number"
        )
        for line, field, reason in spill.rows(query):
            yield line if reason is None else Unreadable(line, field, reason)

    def _keyed(self) -> Iterator[tuple[int, str, bytes, str | None, str | None]]:
        number = 0
        for shard in self._shards:
            for _, line in shard.numbered(fields=self._fields):
                number += 1
                told = (line.field, line.reason) if isinstance(line, Unreadable) else (None, None)
                yield number, _key(line, self._fields), line, *told


def _key(line: bytes, fields: Mapping[str, str]) -> str:
    """query_id and query; "" where the line is no row."""
    try:
        row = decode_row(line, fields)
        return f"{query_id(row)} {row['query']}"
    except (RowError, KeyError, TypeError, AttributeError):
        return ""
