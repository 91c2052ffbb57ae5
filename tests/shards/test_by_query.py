"""Rows of a query put together."""

import gzip
import time
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


def test_the_time_grows_with_the_rows_not_with_their_square(tmp_path: Path) -> None:
    rows = 20_000
    lines = b"".join(
        b'{"query":"%d","document":"%d"}\n' % (number * 7919 % rows // 2, number)
        for number in range(rows)
    )
    (tmp_path / "rows.jsonl").write_bytes(lines)
    started = time.process_time()
    assert len(list(SortedByQuery(find_shards([str(tmp_path)]), {}).lines())) == rows
    assert time.process_time() - started < 8.0  # 1 s; a join without an index: 20 s
