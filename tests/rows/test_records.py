"""Records of libraries as JSON lines: numbers that JSON cannot represent, at every depth."""

from pathlib import Path
from typing import Any

import datasets
import orjson
import pyarrow
import pytest
from pyarrow import parquet

from prism_cli.adapters.datasets.hub import DatasetRows
from prism_cli.errors import RowError
from prism_cli.rows.decode import Unreadable, decode_row
from prism_cli.rows.records import record_line
from prism_cli.shards.formats.parquet import parquet_lines
from prism_cli.shards.reader import read_rows

INF, NAN = float("inf"), float("nan")
INFINITE = [
    ({"n": INF}, "n"),
    ({"n": [1.0, -INF]}, "n[1]"),
    ({"n": {"teacher": INF}}, "n.teacher"),
    ({"n": [{"scores": [0.5, [INF]]}]}, "n[0].scores[1][0]"),
]


@pytest.mark.parametrize(("record", "place"), INFINITE, ids=[place for _, place in INFINITE])
def test_a_record_with_an_infinite_number_is_rejected_with_its_place(
    record: dict[str, Any], place: str
) -> None:
    with pytest.raises(RowError, match="expected a finite number, found infinity") as raised:
        decode_row(record_line(record, str))
    assert raised.value.field == place


@pytest.mark.parametrize("key", [INF, NAN])
def test_a_record_with_an_infinite_key_is_rejected(key: float) -> None:
    assert isinstance(record_line({"n": [{key: 1}]}, str), Unreadable)


def test_nan_is_null_at_every_depth() -> None:
    record = {"n": NAN, "of": [1.0, NAN, {"deep": NAN}]}
    assert decode_row(record_line(record, str)) == {"n": None, "of": [1.0, None, {"deep": None}]}


COLUMNS = {
    "scores": [[1.0, INF], [2.0, NAN], [3.0]],
    "votes": [{"a": 1.0}, {"a": NAN}, {"a": -INF}],
}
RIGHT = ["scores[1]", {"scores": [2.0, None], "votes": {"a": None}}, "votes.a"]


def outcome(raw: bytes) -> object:
    try:
        return decode_row(raw)
    except RowError as error:
        return error.field


def test_nested_parquet_columns_follow_the_same_rule(tmp_path: Path) -> None:
    path = tmp_path / "in.parquet"
    parquet.write_table(pyarrow.table(COLUMNS), path)
    assert [outcome(raw) for _, raw in parquet_lines(path, "in.parquet")] == RIGHT


@pytest.mark.parametrize("form", [None, "numpy"])
def test_saved_data_sets_follow_the_same_rule_in_any_format(
    tmp_path: Path, form: str | None
) -> None:
    datasets.Dataset.from_dict(COLUMNS).with_format(form).save_to_disk(tmp_path / "saved")
    rows = DatasetRows(str(tmp_path / "saved"), "train")
    assert [outcome(raw) for raw in rows.lines()] == RIGHT
    (arrow,) = (tmp_path / "saved").glob("*.arrow")
    assert [outcome(raw) for raw in DatasetRows(str(arrow), "train").lines()] == RIGHT


@pytest.mark.parametrize("name", ["in.jsonl", "in.json"])
@pytest.mark.parametrize(
    ("number", "message"),
    [
        ("NaN", "found NaN"),
        ("[1, -Infinity]", "found Infinity"),
        ("1e999", "expected a number that 64 bits hold"),
    ],
)
def test_invalid_json_numbers_are_named(
    tmp_path: Path, name: str, number: str, message: str
) -> None:
    row = '{"query": "é", "n": ' + number + "}"
    path = tmp_path / name
    path.write_text(f"[{row}, {{}}]" if name == "in.json" else f"{row}\n{{}}\n")
    reasons: list[str] = []
    rows = read_rows([str(path)], on_reject=lambda reject: reasons.append(reject.reason))
    assert [row for _, row in rows] == [{}]
    assert len(reasons) == 1
    assert message in reasons[0]
    assert "at column" in reasons[0]


def test_a_python_dict_is_distinguished_from_json() -> None:
    for raw in (b"{'query': 'q'}\n", orjson.dumps({"query": "q"})[:-1] + b',"title":None}\n'):
        with pytest.raises(RowError, match="this looks like a Python dict"):
            decode_row(raw)
