"""Sharding: the lines of all inputs in files of about equally many rows, queries uncut."""

from array import array
from collections.abc import Iterator, Mapping
from typing import ClassVar

from prism_cli.engine.stage import MAX_RANKED_ROWS, RowStage
from prism_cli.ports import Outcome
from prism_cli.rows.decode import decode_row
from prism_cli.rows.row import Row, query_id, query_key, string_field
from prism_cli.shards.shard_set import STAGE, ShardSet
from prism_cli.shards.shared_keys import HASH_BYTES, shared_hashes
from prism_cli.shards.spilled_parts import SpilledParts
from prism_cli.wording import counted

_LINE = "\0line"
"""Key of a row's line, which no field of a row has: NUL is refused."""


class ShardStage(RowStage):
    """Numbers the shards; a new one begins at the first border of queries after `rows` rows.

    Args:
        existing: names of files as `ShardSet.planned_files` returns them.
    """

    name: ClassVar[str] = STAGE
    shard_set: ShardSet

    def __init__(self, shard_set: ShardSet, rows: int, existing: tuple[str, ...]) -> None:
        self.shard_set = shard_set
        self.outputs = existing
        self._rows = rows
        self._file = ""
        self._figures: dict[str, object] = {}

    def decode(self, raw: bytes, fields: Mapping[str, str]) -> Row:
        """Decode a row and keep its line."""
        row = decode_row(raw, fields)
        row[_LINE] = bytes(raw)
        return row

    def check(self, row: Row) -> None:
        """Check that the texts by which rows are grouped are strings."""
        for name in ("query_id", "query", "original_query"):
            string_field(row, name, required=False)

    def work(self, row: Row) -> Outcome:
        """Return the row; `arrange` numbers the shards."""
        return row

    def arrange(self, rows: Iterator[Row]) -> Iterator[Row]:
        """Yield the rows, and note the shard of each for `output_of`."""
        sizes, keys, parts = array("Q"), set[int](), SpilledParts()
        last, of_query, largest = b"", 0, (0, "")
        for row in rows:
            key = _key(row)
            goes_on = bool(key) and key == last
            last, of_query = key, of_query + 1 if goes_on else 1
            if not sizes or (sizes[-1] >= self._rows and not goes_on):
                parts.append(array("Q", sorted(keys)).tobytes())
                keys = set()
                self._file = self.shard_set.file(len(sizes))
                sizes.append(0)
            sizes[-1] += 1
            if key:
                keys.add(int.from_bytes(key[:HASH_BYTES]))
                if of_query > largest[0]:
                    largest = of_query, query_id(row)
            yield row
        parts.append(array("Q", sorted(keys)).tobytes())
        self._figures = {"shards": len(sizes)}
        if sizes:
            self._figures["rows of a shard"] = f"{min(sizes):,} to {max(sizes):,}"
        if warnings := list(self._warnings(*largest, len(shared_hashes(parts)))):
            self._figures["warning"] = "; ".join(warnings)

    def _warnings(self, rows: int, identity: str, split: int) -> Iterator[str]:
        if rows > self._rows:
            unranked = f"; `prism rerank` ranks at most {MAX_RANKED_ROWS:,} rows of a query"
            yield (
                f"the query {identity!r} has {counted(rows, 'row')}, more than --rows "
                f"{self._rows}: they are in one shard" + unranked * (rows > MAX_RANKED_ROWS)
            )
        if split:
            yield (
                f"{counted(split, 'query is', 'queries are')} in more than one shard, as rows of a "
                "query are apart in the input: `prism rerank` refuses such shards; --sort-queries "
                "puts them together"
            )

    def output_of(self, row: Row) -> str:
        """Return the file of the row that `arrange` yielded last."""
        return self._file

    def render(self, row: Row) -> bytes:
        """Return the row's line as it was."""
        line: bytes = row[_LINE]
        return line if line.endswith(b"\n") else line + b"\n"

    def summary(self) -> dict[str, object]:
        """Return number and sizes of the shards, and warnings."""
        return self._figures


def _key(row: Row) -> bytes:
    """Return the key of a pair row's query; b"" for another row, which stands by itself."""
    is_pair = "documents" not in row and isinstance(row.get("query"), str)
    return query_key(row) if is_pair else b""
