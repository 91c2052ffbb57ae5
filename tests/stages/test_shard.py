"""Shards: about N rows each, lines as they were, queries uncut."""

import tempfile
from itertools import groupby, pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prism_cli.engine.run_options import RunOptions
from prism_cli.engine.runner import run_rows
from prism_cli.engine.summary import RunSummary
from prism_cli.errors import ChangedInputError, UsageError
from prism_cli.shards.shard_set import ShardSet
from prism_cli.stages.shard import ShardStage
from tests.factories import jsonl, make_pair

SET = ShardSet("rows", ".jsonl")


def sharded(
    folder: Path, files: list[bytes], rows: int, **more: object
) -> tuple[list[bytes], RunSummary]:
    """Return the bytes of the shards of files with these contents, and the summary."""
    names = []
    for number, content in enumerate(files):
        names.append(folder / f"{number}.jsonl")
        names[-1].write_bytes(content)
    out = folder / "out"
    stage = ShardStage(SET, rows, SET.planned_files(out))
    options = RunOptions(output=out, quiet=True, max_rejects=1, **more)  # type: ignore[arg-type]
    summary = run_rows(stage, [str(name) for name in names], options)
    shards = sorted(path for path in out.glob("*-*.jsonl"))
    assert [path.name for path in shards] == [SET.file(number) for number in range(len(shards))]
    assert [str(path) for path in shards] == summary.outputs
    return [path.read_bytes() for path in shards], summary


def lines_of(queries: str) -> list[bytes]:
    """Return a line for each letter, which names its query; none for a dot."""
    return [
        jsonl([make_pair(n, query=f"what is {name}?", query_id=name)])
        if name != "."
        else b'{"documents": ["text"], "query": "alone"}\n'
        for n, name in enumerate(queries)
    ]


@settings(deadline=None)
@given(st.text("abc.", max_size=30), st.lists(st.integers(0, 30), max_size=3), st.integers(1, 7))
def test_shards_are_the_input_cut_at_the_first_border_after_n_rows(
    queries: str, cuts: list[int], rows: int
) -> None:
    lines = lines_of(queries)
    edges = [0, *sorted(cuts), len(lines)]
    files = [b"".join(lines[start:end]) for start, end in pairwise(edges)]
    with tempfile.TemporaryDirectory() as folder:
        shards, _ = sharded(Path(folder), files, rows)
    assert b"".join(shards) == b"".join(lines)
    groups = [
        part
        for name, group in groupby(queries)
        for part in (list(group) if name == "." else ["".join(group)])
    ]
    expected = [0]
    for group in groups:
        if expected[-1] >= rows:
            expected.append(0)
        expected[-1] += len(group)
    assert [shard.count(b"\n") for shard in shards] == expected


def test_lines_keep_their_bytes_and_bad_ones_are_set_aside_with_their_place(
    tmp_path: Path,
) -> None:
    odd = b'{ "query":"a\\u00e9", "document": "x",  "n":1.50 }\r\n'
    last = b'{"document": "y", "query": "b"}'
    shards, summary = sharded(tmp_path, [odd + b"broken\n" + last, b"\n" + odd], 1)
    assert shards == [odd, last + b"\n", odd]
    assert summary.counts.rejected == 1
    (rejects,) = summary.side_files
    assert f'{tmp_path}/0.jsonl","line":2' in Path(rejects).read_text()


def test_a_query_above_the_size_stays_whole_and_scattered_ones_are_warned_about(
    tmp_path: Path,
) -> None:
    shards, summary = sharded(tmp_path, [b"".join(lines_of("abbbbca"))], 2)
    assert [shard.count(b"\n") for shard in shards] == [5, 2]
    warning = str(summary.figures["warning"])
    assert "the query 'b' has 4 rows, more than --rows 2" in warning
    assert "1 query is in more than one shard" in warning
    assert "--sort-queries" in warning


def test_smaller_sets_leave_no_file_of_the_earlier_one(tmp_path: Path) -> None:
    content = [b"".join(lines_of("abcdef"))]
    assert len(sharded(tmp_path, content, 1)[0]) == 6
    (tmp_path / "out" / "mine.jsonl").write_text("mine")
    with pytest.raises(ChangedInputError, match="rows: was not set, is 3"):
        sharded(tmp_path, content, 3, config={"rows": 3})
    again, _ = sharded(tmp_path, content, 3, overwrite=True)
    assert len(again) == 2
    assert (tmp_path / "out" / "mine.jsonl").read_text() == "mine"


def test_a_grown_input_continues_the_set(tmp_path: Path) -> None:
    lines = lines_of("abcdef")
    first, _ = sharded(tmp_path, [b"".join(lines[:3])], 1)
    again, _ = sharded(tmp_path, [b"".join(lines)], 1)
    assert again == lines
    assert again[:3] == first


def test_files_of_others_are_not_replaced(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "rows-00002.jsonl").write_text("theirs")
    with pytest.raises(ChangedInputError, match=r"rows-00002\.jsonl: exists"):
        sharded(tmp_path, [b"".join(lines_of("abc"))], 1)
    assert (out / "rows-00002.jsonl").read_text() == "theirs"
    (out / "rows-00002.jsonl").unlink()

    class Meddled(ShardStage):
        def summary(self) -> dict[str, object]:
            (out / "rows-00001.jsonl").write_text("theirs")
            return super().summary()

    stage = Meddled(SET, 1, SET.planned_files(out))
    with pytest.raises(ChangedInputError, match=r"rows-00001\.jsonl: appeared"):
        run_rows(stage, [str(tmp_path / "0.jsonl")], RunOptions(output=out, quiet=True))
    assert [path.name for path in out.glob("*-*.jsonl")] == ["rows-00001.jsonl"]


def test_names_stay_in_order() -> None:
    assert SET.file(99_999) == "rows-99999.jsonl"
    with pytest.raises(UsageError, match="more --rows"):
        SET.file(100_000)
