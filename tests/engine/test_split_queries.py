"""Queries whose rows are in more than one shard: found in bounded memory, with both places."""

import random
import tempfile
import time
import tracemalloc
from array import array
from collections import Counter
from itertools import chain, groupby
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from prism_cli.engine import split_queries
from prism_cli.engine.run_options import RunOptions
from prism_cli.engine.run_plan import RunPlan
from prism_cli.engine.runner import run_rows
from prism_cli.engine.summary import RunSummary
from prism_cli.errors import RefusedOutputsError, StorageError
from prism_cli.rows.row import Row, query_key
from prism_cli.shards import shared_keys
from prism_cli.shards.spilled_parts import SpilledParts
from tests.factories import make_pair, write_jsonl
from tests.fakes import EchoStage


class Ranking(EchoStage):
    """Returns rows; those of a query must be in one shard."""

    ranks_queries = True

    def group_of(self, row: Row) -> bytes:
        return query_key(row)


def rows_of(queries: str) -> list[Row]:
    """Return one row for each letter, which names its query."""
    return [make_pair(n, query=f"what is {name}?", query_id=name) for n, name in enumerate(queries)]


def ranked(folder: Path, *shards: str, **more: object) -> RunSummary:
    """Run over one shard for each text."""
    inputs = folder / "in"
    inputs.mkdir()
    for number, queries in enumerate(shards):
        write_jsonl(inputs / f"{number}.jsonl", rows_of(queries))
    options = RunOptions(output=folder / "out", quiet=True, **more)  # type: ignore[arg-type]
    return run_rows(Ranking(), [str(inputs)], options)


def refusal(folder: Path, *shards: str) -> str:
    """Return the refusal's text; "" if no shard is refused."""
    try:
        refused = ranked(folder, *shards).refused
    except RefusedOutputsError as error:
        refused = error
    assert refused is None or refused.exit_code == 2
    return str(refused or "")


def test_a_query_that_straddles_shards_is_refused_with_both_places_and_the_mend(
    tmp_path: Path,
) -> None:
    text = refusal(tmp_path, "aab", "bbc")
    inputs = tmp_path / "in"
    assert f"'what is b?': {inputs}/0.jsonl:3 and {inputs}/1.jsonl:1" in text
    assert f"\n  prism shard {inputs} -o {inputs}.sharded\n" in text


@pytest.mark.parametrize("shards", [("ab", "cb"), ("ab", "c", "b"), ("bab", "b"), ("ab", "bab")])
def test_scattered_rows_are_mended_by_gathering_them(
    tmp_path: Path, shards: tuple[str, ...]
) -> None:
    assert ".sharded --sort-queries\n" in refusal(tmp_path, *shards)


def test_rows_of_one_query_over_several_whole_shards_are_adjacent(tmp_path: Path) -> None:
    assert ".sharded --sort-queries" not in refusal(tmp_path, "ab", "b", "", "bc")


def test_shards_without_the_query_are_worked(tmp_path: Path) -> None:
    summary = ranked(tmp_path, "ab", "bc", "dd", "ee")
    assert summary.refused is not None
    assert [Path(path).name for path in summary.outputs] == ["2.jsonl", "3.jsonl"]


@settings(deadline=None)
@given(st.lists(st.text("abcdef", max_size=6), min_size=2, max_size=6), st.integers(1, 4))
@example(["a", "a", "bcb"], 1)
@example(["aba", "a"], 1)
def test_the_split_queries_are_the_same_for_any_cut(shards: list[str], part_rows: int) -> None:
    split = {name for name, count in Counter(chain(*map(set, shards))).items() if count > 1}
    groups = Counter(name for name, _ in groupby("".join(shards)))
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(split_queries, "_LISTED_QUERIES", 100)
        patch.setattr("prism_cli.engine.skipped_outputs._LINES", 1000)
        patch.setattr("prism_cli.engine.surveys.PART_ROWS", part_rows)
        text = refusal(Path(folder), *shards)
    for name in "abcdef":
        assert (f"'what is {name}?'" in text) == (name in split)
    assert (".sharded --sort-queries" in text) == any(groups[name] > 1 for name in split)


@given(st.lists(st.sets(st.integers(0, 60)), max_size=6), st.sampled_from([1, 3, 1000]))
def test_shared_hashes_are_those_of_a_single_table(parts: list[set[int]], bucket: int) -> None:
    spread = [{number * 0x0400_1000_0000_0000 + number for number in part} for part in parts]
    counts = Counter(chain(*spread))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shared_keys, "_BUCKET_HASHES", bucket)
        patch.setattr(shared_keys, "_BUFFERED_HASHES", 8)
        found = shared_keys.shared_hashes([array("Q", sorted(part)).tobytes() for part in spread])
    assert list(found) == sorted(number for number, count in counts.items() if count > 1)


def test_a_full_folder_for_temporary_files_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> BinaryIO:
        return open("/dev/full", "w+b")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    monkeypatch.setattr(shared_keys, "_BUCKET_HASHES", 1)
    monkeypatch.setattr(shared_keys, "_BUFFERED_HASHES", 1)
    part = array("Q", [1 << 20, 1 << 62]).tobytes()
    with pytest.raises(StorageError, match=r"No space left.*TMPDIR"):
        shared_keys.shared_hashes([part])
    with pytest.raises(StorageError, match=r"No space left.*TMPDIR"):
        SpilledParts().append(part)


def test_many_hashes_take_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_keys, "_BUCKET_HASHES", 2000)
    monkeypatch.setattr(shared_keys, "_BUFFERED_HASHES", 8000)
    dice = random.Random(0)
    parts = [
        array("Q", sorted(dice.getrandbits(64) for _ in range(4000))).tobytes() for _ in range(100)
    ]
    tracemalloc.start()
    try:
        assert not shared_keys.shared_hashes(parts)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000 < sum(map(len, parts)) / 3


def test_many_small_shards_are_surveyed_quickly(tmp_path: Path) -> None:
    started = time.process_time()
    assert refusal(tmp_path, *(f"{chr(0x4E00 + n)}{chr(0x4E01 + n)}" for n in range(1000)))
    assert time.process_time() - started < 10


MANY = [f"a/{n:02}.jsonl" for n in range(25)]


@pytest.mark.parametrize(
    ("typed", "command"),
    [
        (["a"], "prism shard a -o a.sharded"),
        (["a/"], "prism shard a/ -o a.sharded"),
        (["a/*.jsonl"], "prism shard 'a/*.jsonl' -o a.sharded"),
        (["a/01.jsonl", "b c/1.jsonl.gz"], "prism shard a/01.jsonl 'b c/1.jsonl.gz' -o 01.sharded"),
        (MANY, "prism shard 'a/*.jsonl' -o a.sharded"),
        (MANY[:-1], f"prism shard {' '.join(MANY[:-1])} -o 00.sharded"),
        (MANY[::-1], f"prism shard {' '.join(MANY[::-1])} -o 24.sharded"),
        ([*MANY, "b c/1.jsonl.gz"], "prism shard 'a/*.jsonl' 'b c/1.jsonl.gz' -o a.sharded"),
        (["-a/1.jsonl", "-"], "prism shard ./-a/1.jsonl - -o 1.sharded"),
        (["../c/"], "prism shard ../c/ -o ../c.sharded"),
        (["s3://x/y/"], "prism shard s3://x/y/ -o y.sharded"),
        (["s3://x/y/*.jsonl"], "prism shard 's3://x/y/*.jsonl' -o y.sharded"),
    ],
    ids=[
        "folder", "slash", "pattern", "files", "all files", "not all", "other order", "several",
        "dash", "above", "store", "pattern in a store",
    ],
)  # fmt: skip
def test_the_command_names_the_inputs_as_they_were_typed(
    typed: list[str], command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "work"
    for folder in (home / "a", tmp_path / "c"):
        folder.mkdir(parents=True)
    monkeypatch.chdir(home)
    for name in MANY:
        Path(name).touch()
    options = RunOptions(fields={"query": "question", "document": "passage"})
    plan = RunPlan(Ranking(), options, [], typed)
    found = split_queries.SplitQueries().mending_command(plan)
    assert found == f"{command} --field query=question"
