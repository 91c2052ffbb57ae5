"""`prism shard` through the real command."""

import gzip
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from prism_cli.engine.run_options import RunOptions
from prism_cli.engine.runner import run_rows
from prism_cli.errors import RefusedOutputsError
from tests.door import prism
from tests.engine.test_split_queries import Ranking, rows_of
from tests.factories import jsonl, write_jsonl

ROOT = Path(__file__).parents[2]


def contents(folder: str) -> dict[str, bytes]:
    """Return the files of a folder, without the manifest, which has times, and the lock."""
    return {
        path.name: path.read_bytes()
        for path in Path(folder).iterdir()
        if path.is_file() and not path.name.endswith((".manifest.json", ".lock"))
    }


def test_compressed_input_gives_compressed_shards_unless_told_otherwise() -> None:
    lines = jsonl(rows_of("aabbccdd"))
    Path("big.jsonl.gz").write_bytes(gzip.compress(lines))
    done = prism("shard", "big.jsonl.gz", "-o", "in", "--rows", "3")
    assert done.returncode == 0, done.stderr
    assert "shards: 2" in done.stderr
    assert set(contents("in")) == {"big-00000.jsonl.gz", "big-00001.jsonl.gz"}
    shards = [content for _, content in sorted(contents("in").items())]
    assert b"".join(map(gzip.decompress, shards)) == lines
    assert prism("shard", "big.jsonl.gz", "-o", "plain", "--compress", "none").returncode == 0
    assert contents("plain") == {"big-00000.jsonl": lines}
    again = prism("shard", "big.jsonl.gz", "-o", "in", "--rows", "3")
    assert "finished before" in again.stderr
    assert prism("shard", "big.jsonl.gz", "-o", "in", "--rows", "4").returncode == 2


def test_tables_folders_and_standard_input_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("tables").mkdir()
    Path("tables/a.csv").write_text("question,document\nq,one\nq,two\n")
    Path("tables/b.csv").write_text("question,document\nq,three\nr,four\n")
    words = ("--rows", "1", "--field", "query=question")
    assert prism("shard", "tables", "-o", "in", *words).returncode == 0
    assert contents("in") == {
        "tables-00000.jsonl": b"".join(
            b'{"question":"q","document":"%s"}\n' % name for name in (b"one", b"two", b"three")
        ),
        "tables-00001.jsonl": b'{"question":"r","document":"four"}\n',
    }
    write_jsonl(Path("rows.jsonl"), rows_of("ab"))
    with Path("rows.jsonl").open() as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        assert prism("shard", "-", "-o", "piped", "--rows", "1").returncode == 0
    assert set(contents("piped")) == {"piped-00000.jsonl", "piped-00001.jsonl"}


def test_too_many_bad_lines_have_exit_code_4() -> None:
    Path("in.jsonl").write_bytes(jsonl(rows_of("ab")) + b"broken\n")
    done = prism("shard", "in.jsonl", "-o", "in")
    assert done.returncode == 4
    assert "in/shard.jsonl.rejects.jsonl" in done.stderr


@pytest.mark.parametrize("output", ["there", "out.jsonl", "out.parquet", None])
def test_the_output_is_a_folder_without_inputs(output: str | None) -> None:
    Path("there").mkdir()
    write_jsonl(Path("there/in.jsonl"), rows_of("ab"))
    done = prism("shard", "there/in.jsonl", *(["-o", output] if output else []))
    assert done.returncode == 2
    assert "folder" in done.stderr


@pytest.mark.parametrize("point", ["before-publish", "after-publish-before-manifest:2"])
def test_a_killed_run_is_finished_by_the_same_command(point: str) -> None:
    Path("in.jsonl").write_bytes(jsonl(rows_of("abcdef")) + b"broken\n")
    words = ("shard", "in.jsonl", "-o", "in", "--rows", "1", "--max-rejects", "1")
    environment = os.environ | {"PRISM_CRASH_AT": point, "PYTHONPATH": str(ROOT)}
    killed = subprocess.run([sys.executable, "-m", "prism_cli", *words], env=environment)
    assert killed.returncode == -signal.SIGKILL
    refused = prism("sample", "in", "-o", "sampled", "--size", "1")
    assert refused.returncode == 3
    assert "in: its shards are not all written" in refused.stderr
    assert prism("status", "in").returncode == 0
    Path("in/.in-00009.jsonl.0123456789ab.part").touch()  # as of a kill while it is written
    done = prism(*words)
    assert done.returncode == 0, done.stderr
    assert prism(*words[:3], "whole", *words[4:]).returncode == 0
    assert len(contents("in")) == 7
    assert contents("in") == contents("whole")


@pytest.mark.parametrize("point", ["after-claim", "after-publish-before-manifest:2"])
def test_a_set_that_a_killed_run_began_to_replace_is_removed(point: str) -> None:
    for name in ("old", "new"):
        write_jsonl(Path(f"{name}.jsonl"), rows_of("abc" if name == "old" else "xyz"))
    assert prism("shard", "old.jsonl", "-o", "in", "--rows", "1").returncode == 0
    words = ("shard", "new.jsonl", "-o", "in", "--rows", "1", "--if-changed", "redo")
    environment = os.environ | {"PRISM_CRASH_AT": point, "PYTHONPATH": str(ROOT)}
    killed = subprocess.run([sys.executable, "-m", "prism_cli", *words], env=environment)
    assert killed.returncode == -signal.SIGKILL
    assert prism(*words).returncode == 0
    assert set(contents("in")) == {f"new-0000{number}.jsonl" for number in range(3)}


def test_a_set_without_one_of_its_shards_is_refused() -> None:
    write_jsonl(Path("in.jsonl"), rows_of("abc"))
    words = ("shard", "in.jsonl", "-o", "in", "--rows", "1")
    assert prism(*words).returncode == 0
    Path("in/in-00001.jsonl").unlink()
    refused = prism("sample", "in", "-o", "sampled", "--size", "1")
    assert refused.returncode == 3
    assert "1 shard of 3 missing, such as in-00001.jsonl" in refused.stderr
    assert prism(*words).returncode == 0
    assert len(contents("in")) == 3


def test_outputs_are_not_written_among_shards() -> None:
    write_jsonl(Path("in.jsonl"), rows_of("abc"))
    write_jsonl(Path("other.jsonl"), rows_of("d"))
    assert prism("shard", "in.jsonl", "-o", "in", "--rows", "1").returncode == 0
    before = contents("in")
    refused = prism("convert", "other.jsonl", "in.jsonl", "-o", "in")
    assert refused.returncode == 2
    assert "-o in: holds shards that `prism shard` wrote" in refused.stderr
    assert contents("in") == before


def test_an_output_is_not_written_into_the_folder_of_its_inputs() -> None:
    Path("in").mkdir()
    write_jsonl(Path("in/a.jsonl"), rows_of("ab"))
    for folder in ("in", "./in/"):
        refused = prism("convert", folder, "-o", "in/all.jsonl")
        assert refused.returncode == 2
        assert f"-o in/all.jsonl: is in {folder}, an input of this command" in refused.stderr
    assert sorted(contents("in")) == ["a.jsonl"]
    assert prism("convert", "in/a.jsonl", "-o", "in/b.jsonl").returncode == 0


@pytest.mark.parametrize("shards", [("aab", "bbc"), ("ab", "cb")], ids=["border", "scattered"])
@pytest.mark.parametrize("many", [False, True], ids=["folder", "files"])
def test_the_command_that_a_refusal_names_mends_the_shards(
    shards: tuple[str, ...], many: bool
) -> None:
    Path("my in").mkdir()
    for number, queries in enumerate(shards):
        write_jsonl(Path(f"my in/{number:02}.jsonl"), rows_of(queries))
    typed = ["my in"]
    if many:  # 22 files of a folder with one more, as a shell names them
        for number in range(2, 22):
            Path(f"my in/{number:02}.jsonl").touch()
        typed = sorted(map(str, Path("my in").iterdir()))
        write_jsonl(Path("my in/other.jsonl"), rows_of("a"))
    options = RunOptions(output=Path("out"), quiet=True)
    try:
        refused = run_rows(Ranking(), typed, options).refused
    except RefusedOutputsError as error:
        refused = error
    match = re.search(r"  prism (shard .*)", str(refused))
    assert match
    words = shlex.split(match[1])
    assert prism(*words, "--rows", "1").returncode == 0
    mended = words[words.index("-o") + 1]
    summary = run_rows(Ranking(), [mended], RunOptions(output=Path("mended"), quiet=True))
    assert summary.refused is None
    assert summary.counts.written == sum(map(len, shards))


def test_a_folder_with_other_files_of_rows_is_refused_unless_it_is_to_be_overwritten() -> None:
    write_jsonl(Path("in.jsonl"), rows_of("abc"))
    words = ("shard", "in.jsonl", "-o", "in", "--rows", "1")
    Path("in").mkdir()
    for name in ("notes.json", "read.txt", "old.jsonl.manifest.json", "old.jsonl.rejects.jsonl"):
        Path(f"in/{name}").write_text("{}")  # not read beside shards
    assert prism(*words).returncode == 0
    for name in ("old.jsonl", "more.csv", "z.parquet"):
        Path(f"in/{name}").write_text("{}")
    before = contents("in")
    done = prism(*words)
    assert done.returncode == 2
    assert "3 files of rows" in done.stderr
    assert ": more.csv, old.jsonl, z.parquet. Nothing was done" in done.stderr
    assert contents("in") == before
    assert prism(*words, "--overwrite").returncode == 0
    assert contents("in") == before


def test_a_file_that_only_has_the_name_of_a_shard_is_refused() -> None:
    write_jsonl(Path("in.jsonl"), rows_of("abc"))
    Path("in").mkdir()
    Path("in/in-00007.jsonl").write_bytes(jsonl(rows_of("z")))
    words = ("shard", "in.jsonl", "-o", "in", "--rows", "1")
    done = prism(*words)
    assert done.returncode == 2
    assert "in-00007.jsonl" in done.stderr
    assert set(contents("in")) == {"in-00007.jsonl"}
    assert prism(*words, "--overwrite").returncode == 0
    assert set(contents("in")) == {f"in-0000{number}.jsonl" for number in range(3)}
