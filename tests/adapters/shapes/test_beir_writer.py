"""Pair rows as a BEIR folder."""

from typing import Any

import pytest

from prism_cli.adapters.shapes.base import ShapeSettings
from prism_cli.adapters.shapes.beir_writer import CORPUS, QRELS, QUERIES, BeirWriter
from prism_cli.adapters.shapes.table import find_shape
from prism_cli.errors import RowError, UsageError
from prism_cli.rows.row import text_id

Row = dict[str, Any]


def pair(document: str, query: str = "q1", **fields: Any) -> Row:
    row = {"query_id": query, "query": f"query {query}", "doc_id": document}
    return row | {"document": f"text {document}"} | fields


def files(*rows: Row) -> dict[str, bytes]:
    writer = BeirWriter(ShapeSettings())
    contents = dict.fromkeys(writer.outputs, b"")
    for row in rows:
        assert writer.check(row) is None
        for item in writer.write([row]):
            contents[writer.output_of(item)] += writer.render(item)
    return contents


def test_each_text_is_written_once_and_each_label_is_a_judgement() -> None:
    assert files(
        pair("a", title="T", verdict="yes"),
        pair("b", source_label="3"),
        pair("a", "q2", title="T", verdict="no"),
        pair("c", "q2"),
    ) == {
        CORPUS: b'{"_id":"a","title":"T","text":"text a"}\n{"_id":"b","title":"","text":"text b"}\n'
        b'{"_id":"c","title":"","text":"text c"}\n',
        QUERIES: b'{"_id":"q1","text":"query q1"}\n{"_id":"q2","text":"query q2"}\n',
        QRELS: b"query-id\tcorpus-id\tscore\nq1\ta\t1\nq1\tb\t3\nq2\ta\t0\n",
    }


def test_missing_ids_are_derived_from_the_texts() -> None:
    contents = files({"query": "what", "document": "this", "verdict": "yes"})
    expected = f"{text_id('what')}\t{text_id('this')}\t1\n".encode()
    assert contents[QRELS].splitlines(keepends=True)[1] == expected


@pytest.mark.parametrize(
    ("row", "field"),
    [
        (pair("a") | {"document": "other"}, "doc_id"),
        (pair("b") | {"query": "other"}, "query_id"),
        (pair("a b"), "doc_id"),
        (pair("b", source_label="good"), "source_label"),
    ],
)
def test_rows_that_a_folder_cannot_represent_are_rejected(row: Row, field: str) -> None:
    writer = BeirWriter(ShapeSettings())
    writer.check(pair("a"))
    with pytest.raises(RowError) as caught:
        writer.check(row)
    assert caught.value.field == field


def test_a_folder_is_not_read_as_rows() -> None:
    with pytest.raises(UsageError, match="prism collect DIR"):
        find_shape("--from", "beir").reader(ShapeSettings())
