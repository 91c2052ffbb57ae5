"""Rows written as Parquet come back equal; types that no column can have are refused by name."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pandas
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from prism_cli.engine.runner import RunOptions, run_rows
from prism_cli.errors import MissingPackageError, UsageError
from prism_cli.shards.formats import parquet_rows
from prism_cli.shards.formats.parquet import parquet_lines
from prism_cli.shards.writer import whole_file
from tests.factories import Row, jsonl, make_pairs, read_jsonl, write_jsonl
from tests.fakes import EchoStage

NESTED: list[Row] = [
    {
        "query": "q1",
        "documents": [
            {"doc_id": "a", "text": "grüße, 世界"},
            {"doc_id": "b", "title": "T", "text": ""},
        ],
        "votes": {"lab/a": "yes", "lab/b": "no"},
        "source_label": None,
        "score": 1,
    },
    {"query": "q2", "documents": [], "votes": {}, "note": {}, "score": 0.25,
     "source_label": None},
    {
        "query": "q3",
        "results": [
            {"index": 0, "citations": [{"start": 0, "end": 3}]},
            {"index": 1, "citations": []},
        ],
        "votes": {"lab/a": "no"},
        "source_label": "2",
        "objectives": [],
        "score": None,
    },
]  # fmt: skip


def write(path: Path, rows: list[Any], *, at_once: int = 1) -> Path:
    """The rows as the engine writes an output, `at_once` lines a call."""
    with whole_file(path) as file:
        for start in range(0, len(rows), at_once):
            file.write(jsonl(rows[start : start + at_once]))
    return path


def read(path: Path) -> list[Row]:
    return [orjson.loads(raw) for _, raw in parquet_lines(path, path.name)]


@pytest.fixture
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_rows, "_GROUP_ROWS", 2)


@pytest.mark.usefixtures("small_groups")
def test_nested_rows_come_back_equal_over_row_groups(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", NESTED)
    assert parquet.ParquetFile(path).num_row_groups == 2
    assert read(path) == NESTED
    assert write(tmp_path / "b.parquet", NESTED, at_once=3).read_bytes() == path.read_bytes()
    assert not list(tmp_path.glob(".*"))


def test_null_stands_for_both_where_a_field_is_null_in_some_rows_and_absent_in_others(
    tmp_path: Path,
) -> None:
    rows = read(write(tmp_path / "a.parquet", [{"a": None}, {"b": 1}, {"a": 2, "b": 3}]))
    assert rows == [{"a": None}, {"a": None, "b": 1}, {"a": 2, "b": 3}]


def test_other_readers_see_null_where_a_row_lacks_a_field(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="needs prism-cli[local]")
    path = write(tmp_path / "a.parquet", NESTED)
    rows = datasets.Dataset.from_parquet(str(path), cache_dir=str(tmp_path / "cache")).to_list()
    frame = pandas.read_parquet(path)
    assert [row["query"] for row in rows] == list(frame["query"]) == ["q1", "q2", "q3"]
    assert rows[0]["documents"] == [
        {"doc_id": "a", "text": "grüße, 世界", "title": None},
        {"doc_id": "b", "text": "", "title": "T"},
    ]
    assert rows[1]["votes"] == {"lab/a": None, "lab/b": None}
    assert rows[2]["results"] == NESTED[2]["results"]
    assert list(frame["votes"][2].items()) == [("lab/a", "no"), ("lab/b", None)]
    assert frame["score"].fillna(-1).tolist() == [1.0, 0.25, -1.0]


SCALARS = {
    "text": st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    "number": st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53),
    "integer": st.integers(-(2**63), 2**63 - 1),
    "flag": st.booleans(),
}
KEYS = st.sampled_from(["a", "b", "c.d", "é", "_"])


def of_one_type(depth: int) -> st.SearchStrategy[st.SearchStrategy[Any]]:
    """Strategies whose values have one type, nested up to `depth`."""
    flat = st.sampled_from(sorted(SCALARS)).map(SCALARS.__getitem__)
    if not depth:
        return flat
    inner = of_one_type(depth - 1)
    lists = inner.map(lambda item: st.lists(item, max_size=3))
    objects = st.dictionaries(KEYS, inner, max_size=3).map(
        lambda fields: st.fixed_dictionaries({}, optional=fields)
    )
    return flat | lists | objects


@pytest.mark.usefixtures("small_groups")
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_rows_of_any_one_type_a_field_come_back_equal(tmp_path: Path, data: st.DataObject) -> None:
    fields = data.draw(st.dictionaries(KEYS, of_one_type(2), min_size=1, max_size=4))
    row = st.fixed_dictionaries({"query": SCALARS["text"]}, optional=fields)
    rows = data.draw(st.lists(row, min_size=1, max_size=7))
    assert read(write(tmp_path / "a.parquet", rows)) == rows


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([{"s": 1}, {}, {"s": "x"}], r"field s: an integer in row 1, and a string in row 3 of"),
        ([{"a": [{"b": True}]}, {"a": [{"b": 2.5}]}], r"field a\[\]\.b: a boolean in row 1, and a"),
        ([{"n": 0.5}, {"n": 2**53 + 1}], r"field n: a number in row 1, and 9007199254740993 "),
        ([{"n": -1}, {"n": 2**63}], r"field n: an integer in row 1, and 9223372036854775808 "),
        ([{"d": {}}, {"d": []}], r"field d: an object in row 1, and a list in row 2"),
    ],
)
def test_types_that_cannot_be_joined_are_refused_with_field_and_rows(
    tmp_path: Path, rows: list[Row], problem: str
) -> None:
    with pytest.raises(UsageError, match=rf"a\.parquet: {problem}") as refused:
        write(tmp_path / "a.parquet", rows)
    assert "-o a.jsonl" in str(refused.value)
    assert not list(tmp_path.glob("*.parquet*"))


def test_lines_that_are_no_rows_are_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(UsageError, match="holds rows, and this command writes other lines"),
        whole_file(tmp_path / "run.parquet") as file,
    ):
        file.write(b"q1 Q0 d1 1 0.5 prism\n")


def test_no_rows_and_empty_rows_are_files_too(tmp_path: Path) -> None:
    assert read(write(tmp_path / "none.parquet", [])) == []
    assert read(write(tmp_path / "empty.parquet", [{}, {}])) == [{}, {}]


def test_without_pyarrow_the_install_line_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    source = write_jsonl(tmp_path / "in.jsonl", NESTED)
    with pytest.raises(MissingPackageError, match=r"a Parquet output: this needs pyarrow"):
        run_rows(EchoStage(), [str(source)], RunOptions(output=tmp_path / "a.parquet"))


def test_inputs_are_merged_into_one_parquet_file_that_is_finished_afterwards(
    tmp_path: Path,
) -> None:
    sources = [write_jsonl(tmp_path / f"{n}.jsonl", make_pairs(n + 2)) for n in range(2)]
    options = RunOptions(output=tmp_path / "all.parquet", quiet=True)
    runs = [run_rows(EchoStage(), list(map(str, sources)), options) for _ in range(2)]
    assert runs[0].outputs == runs[1].finished_before == [str(tmp_path / "all.parquet")]
    assert read(tmp_path / "all.parquet") == make_pairs(2) + make_pairs(3)
    json_lines = RunOptions(output=tmp_path / "again.jsonl", quiet=True)
    run_rows(EchoStage(), [str(tmp_path / "all.parquet")], json_lines)
    assert read_jsonl(tmp_path / "again.jsonl") == make_pairs(2) + make_pairs(3)


_PEAK = """
import resource, sys
from pathlib import Path
from prism_cli.shards.formats.parquet import parquet_lines
from prism_cli.shards.writer import whole_file
line = b'{"query": "q", "document": "' + bytes(range(97, 123)) * 80 + b'", "doc_id": "%d"}\\n'
def megabytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
peaks = []
for rows in (8000, 80000):
    with whole_file(Path(sys.argv[1])) as file:
        for number in range(rows):
            file.write(line % number)
    peaks.append(megabytes())
assert sum(1 for _ in parquet_lines(Path(sys.argv[1]), "x")) == 80000
print(*peaks, megabytes())
"""


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PEAK, str(tmp_path / "a.parquet")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    small, large, read_back = map(int, done.stdout.split())
    assert large < small + 60, "of 170 MB of JSON"
    assert read_back < large + 60
