"""Rows of a query put together."""

import gzip
from pathlib import Path

import orjson

from prism_cli.shards.by_query import SortedByQuery
from prism_cli.shards.reader import find_shards


def test_rows_stand_by_query_in_order_of_first_rows(tmp_path: Path) -> None:
    first = b"".join(
        b'{"query":"%s","document":"%d"}\n' % (q, n) for n, q in enumerate((b"b", b"a", b"b"))
    )
    (tmp_path / "1.jsonl").write_bytes(first)
    (tmp_path / "2.jsonl.gz").write_bytes(gzip.compress(b'{"query":"a","document":"3"}\nbroken'))
    source = SortedByQuery(find_shards([str(tmp_path)]), {})
    lines = list(source.lines())
    rows = [orjson.loads(line) for line in lines if line != b"broken"]
    assert [(row["query"], row["document"]) for row in rows] == [
        ("b", "0"), ("b", "2"), ("a", "1"), ("a", "3"),
    ]  # fmt: skip
    assert b"broken" in lines
    assert len(source.fingerprint) == 64
