"""Parquet rows as JSON rows: what each type becomes."""

import datetime
import decimal
import sys
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from prism_cli.errors import MissingDataError, MissingPackageError, RowError
from prism_cli.rows.decode import decode_row
from prism_cli.rows.row import Row
from prism_cli.shards.formats.parquet import parquet_lines
from tests.shards.formats.compared_text import ComparedText


def write(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    """A Parquet file."""
    parquet.write_table(pyarrow.table(columns), path, **options)
    return path


def read(path: Path) -> list[Row]:
    """Its rows, which are numbered from 1."""
    found = list(parquet_lines(path, "in.parquet"))
    assert [number for number, _ in found] == list(range(1, len(found) + 1))
    return [decode_row(raw) for _, raw in found]


def test_types_become_what_json_has(tmp_path: Path) -> None:
    scores = pyarrow.array([{"a": 0.5, "b": None}])
    tags = pyarrow.array([[("k", 1)]], pyarrow.map_(pyarrow.string(), pyarrow.int64()))
    columns = {
        "query_id": [7],
        "query": ["q"],
        "doc_id": pyarrow.array([-3], pyarrow.int32()),
        "document": pyarrow.array(["d"]).dictionary_encode(),
        "title": [None],
        "teacher_scores": scores,
        "tags": tags,
        "objectives": [["sft"]],
        "day": [datetime.date(2026, 1, 2)],
        "at": [datetime.datetime(2026, 1, 2, 3, 4, 5)],
        "price": [decimal.Decimal("1.50")],
        "raw": ["Käse".encode()],
        "n": [3],
        "missing": [float("nan")],
    }
    (row,) = read(write(tmp_path / "a.parquet", columns))
    assert row == {
        "query_id": "7", "query": "q", "doc_id": "-3", "document": "d", "title": None,
        "teacher_scores": {"a": 0.5, "b": None}, "tags": {"k": 1}, "objectives": ["sft"],
        "day": "2026-01-02", "at": "2026-01-02T03:04:05", "price": "1.50", "raw": "Käse", "n": 3,
        "missing": None,
    }  # fmt: skip


def test_ids_that_pandas_made_floats_are_integers_where_all_are_whole(tmp_path: Path) -> None:
    columns = {
        "query_id": [1.0, float("nan"), 3.0],
        "doc_id": pyarrow.array([7.0, None, 9.0], pyarrow.float32()),
        "id": [2.0**53, 1.0, 2.0],
        "other_id": [1.0, 2.5, 2.0],
        "teacher_score": [1.0, 0.0, 1.0],
    }
    rows = read(write(tmp_path / "a.parquet", columns))
    assert [(row["query_id"], row["doc_id"]) for row in rows] == [
        ("1", "7"), (None, None), ("3", "9"),
    ]  # fmt: skip
    for name in ("id", "other_id", "teacher_score"):
        assert all(type(row[name]) is float for row in rows)


def test_rows_come_in_order_over_row_groups(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", {"n": list(range(5000))}, row_group_size=700)
    assert [row["n"] for row in read(path)] == list(range(5000))


def test_bytes_that_are_no_text_set_their_row_aside(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", {"raw": [b"\xff", b"ok"]})
    (_, bad), (_, good) = parquet_lines(path, "in.parquet")
    with pytest.raises(RowError, match="utf-8"):
        decode_row(bad)
    assert decode_row(good) == {"raw": "ok"}


@pytest.mark.parametrize("content", [b"", b"PAR1 and no more", b"query,document\n"])
def test_a_file_that_is_no_parquet_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.parquet").write_bytes(content)
    with pytest.raises(MissingDataError, match=r"in\.parquet: cannot be read as Parquet"):
        read(tmp_path / "a.parquet")


def test_a_column_twice_is_refused(tmp_path: Path) -> None:
    table = pyarrow.Table.from_arrays([pyarrow.array(["a"])] * 2, names=["q", "q"])
    parquet.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(MissingDataError, match="'q' twice"):
        read(tmp_path / "a.parquet")


def test_columns_are_compared_in_linear_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ComparedText, "compared", 0)

    class Schema(list[pyarrow.Field]):
        metadata = None

        @property
        def names(self) -> list[ComparedText]:
            return [ComparedText(field.name) for field in self]

    class File(parquet.ParquetFile):  # type: ignore[misc]
        @property
        def schema_arrow(self) -> Schema:
            return Schema(super().schema_arrow)

    monkeypatch.setattr(parquet, "ParquetFile", File)
    path = write(tmp_path / "a.parquet", {f"column{place}": [1] for place in range(300)})
    assert len(read(path)[0]) == 300
    assert ComparedText.compared < 3_000


def test_without_pyarrow_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.parquet", {"n": [1]})
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingPackageError, match=r"prism-cli\[local\]"):
        read(path)


def test_a_date_beyond_the_years_of_python_is_damage(tmp_path: Path) -> None:
    days = pyarrow.array([2**30], pyarrow.date32())
    path = write(tmp_path / "late.parquet", {"query": ["q"], "day": days})
    with pytest.raises(MissingDataError, match="cannot be read as Parquet behind row 0"):
        read(path)
