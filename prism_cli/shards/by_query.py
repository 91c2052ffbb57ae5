"""Inputs with the rows of each query grouped, in the order of the queries' first rows."""

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import zip_longest

from prism_cli.errors import RowError
from prism_cli.rows.decode import Unreadable, decode_row
from prism_cli.rows.row import query_id
from prism_cli.shards.file_digest import FileDigest
from prism_cli.shards.reader import Shard, Source, find_shards
from prism_cli.shards.remote.requests import check_stop
from prism_cli.shards.spill import Spill

_ROWS_BETWEEN_CHECKS = 256


def input_sources(
    inputs: Sequence[str], fields: Mapping[str, str], *, sort_queries: bool, plain: bool = False
) -> "list[str | Source]":
    """Return the inputs; with `sort_queries` one source that groups their rows by query.

    Args:
        plain: as for `find_shards`.
    """
    return [SortedByQuery(find_shards(inputs, plain=plain), fields)] if sort_queries else [*inputs]


class SortedByQuery:
    """Source that reads files and groups their rows by query, on disk.

    Args:
        shards: the files, in order.
        fields: contract name -> name in the files.
    """

    def __init__(self, shards: Sequence[Shard], fields: Mapping[str, str]) -> None:
        self._shards = shards
        self._fields = fields
        self._digests: list[FileDigest] = []

    @property
    def name(self) -> str:
        return ", ".join(shard.name for shard in self._shards) + " (sorted by query)"

    @property
    def fingerprint(self) -> str:
        """Identity of the rows, which are read as they were when it was first asked for."""
        if not self._digests:
            self._digests = [shard.digest() for shard in self._shards]
        return sha256(" ".join(each.sha256 for each in self._digests).encode()).hexdigest()

    def lines(self) -> Iterator[bytes]:
        """Yield the lines of the input; lines that are not rows come first. Raise before the first
        one if the run must stop.

        Raises:
            ChangedInputError: a file has changed since the fingerprint was taken.
        """
        spill = Spill(
            "number INTEGER PRIMARY KEY, query TEXT NOT NULL, line BLOB NOT NULL, "
            "field TEXT, reason TEXT",
            stoppable=True,
        )
        spill.fill("INSERT INTO spill VALUES (?, ?, ?, ?, ?)", self._entries())
        query = (
            "SELECT line, field, reason FROM (SELECT number AS n, min(number) OVER "
            "(PARTITION BY query) AS first FROM spill) CROSS JOIN spill ON number = n "
            "ORDER BY first, n"
        )
        for line, field, reason in spill.rows(query):
            yield line if reason is None else Unreadable(line, field, reason)

    def _entries(self) -> Iterator[tuple[int, str, bytes, str | None, str | None]]:
        number = 0
        for shard, seen in zip_longest(self._shards, self._digests):
            for _, line in shard.numbered(seen, self._fields):
                number += 1
                if number % _ROWS_BETWEEN_CHECKS == 0:
                    check_stop()
                problem = (
                    (line.field, line.reason) if isinstance(line, Unreadable) else (None, None)
                )
                yield number, _key(line, self._fields), line, *problem


def _key(line: bytes, fields: Mapping[str, str]) -> str:
    """Return query_id and query; "" for a line that is not a row."""
    try:
        row = decode_row(line, fields)
        return f"{query_id(row)} {row['query']}"
    except (RowError, KeyError, TypeError, AttributeError):
        return ""
