"""Files, packed files, globs, directories, pipes: what goes where, and what is refused."""

import fcntl
import gzip
import io
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import zstandard

from prism_cli.engine.runner import RunOptions, run_rows
from prism_cli.engine.summary import RunSummary
from prism_cli.errors import InterruptedRunError, MissingDataError, StorageError, UsageError
from prism_cli.files.names import typed_path
from prism_cli.shards.state import state_directory
from tests.factories import jsonl, make_pair, make_pairs, read_jsonl, write_jsonl
from tests.fakes import EchoStage, RoutedStage

PAIRS = jsonl(make_pairs(3000))


def echo(inputs: list[str | Path], output: str | Path | None = None, **more: Any) -> RunSummary:
    options = RunOptions(output=typed_path(str(output)) if output else None, quiet=True, **more)
    return run_rows(EchoStage(), [str(path) for path in inputs], options)


def packed(data: bytes, suffix: str) -> bytes:
    if suffix == ".gz":
        half = len(data) // 2
        return gzip.compress(data[:half]) + gzip.compress(data[half:])  # two members, as cat makes
    if suffix == ".zst":
        pack = zstandard.ZstdCompressor(write_checksum=True).compress
        return pack(data[:1000]) + pack(data[1000:])
    return data


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_packed_files_come_in_and_go_out_with_the_same_bytes_each_time(
    tmp_path: Path, suffix: str
) -> None:
    given = tmp_path / f"in.jsonl{suffix}"
    given.write_bytes(packed(PAIRS, suffix))
    made = []
    for name in ("a", "b"):
        out = tmp_path / f"{name}.jsonl{suffix}"
        echo([given], out)
        made.append(out.read_bytes())
    assert made[0] == made[1]
    echo([tmp_path / f"a.jsonl{suffix}"], tmp_path / "plain.jsonl")
    assert (tmp_path / "plain.jsonl").read_bytes() == PAIRS
    if suffix == ".gz":
        assert gzip.decompress(made[0]) == PAIRS
    if suffix == ".zst":
        assert zstandard.ZstdDecompressor().stream_reader(made[0]).read() == PAIRS


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
@pytest.mark.parametrize("damage", ["cut", "flipped", "not packed at all"])
def test_a_damaged_packed_file_is_no_short_file(tmp_path: Path, suffix: str, damage: str) -> None:
    data = bytearray(packed(PAIRS, suffix))
    if damage == "cut":
        data = data[: len(data) * 3 // 4]
    elif damage == "flipped":
        data[len(data) // 2] ^= 0xFF
    else:
        data = bytearray(PAIRS)
    given = tmp_path / f"in.jsonl{suffix}"
    given.write_bytes(data)
    message = "compressed data is damaged"
    if damage == "not packed at all":
        message = "is not the compressed data that its suffix indicates"
    with pytest.raises(MissingDataError, match=message):
        echo([given], tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()
    assert not list(tmp_path.glob(".*.part"))


def test_default_outputs_stand_beside_their_inputs(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", make_pairs(2))
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(PAIRS))
    write_jsonl(tmp_path / "c.json", make_pairs(2))
    summary = echo([tmp_path / "a.jsonl", tmp_path / "b.jsonl.gz", tmp_path / "c.json"])
    assert [Path(out).name for out in summary.outputs] == [
        "a.echo.jsonl", "b.echo.jsonl.gz", "c.echo.jsonl",
    ]  # fmt: skip
    assert gzip.decompress((tmp_path / "b.echo.jsonl.gz").read_bytes()) == PAIRS


def test_a_glob_run_twice_does_not_eat_its_own_outputs(tmp_path: Path) -> None:
    for name in "ab":
        write_jsonl(tmp_path / f"{name}.jsonl", make_pairs(2))
    assert len(echo([str(tmp_path / "*.jsonl")]).outputs) == 2
    again = echo([str(tmp_path / "*.jsonl")])
    assert (again.outputs, len(again.finished_before)) == ([], 2)


def test_an_output_in_an_input_that_is_a_url_is_refused(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", make_pairs(2))
    with pytest.raises(UsageError, match="would be read as one of its files by the next"):
        echo([tmp_path.as_uri()], tmp_path / "all.jsonl")


def test_the_first_of_several_names_that_collide_is_told(tmp_path: Path) -> None:
    names = [f"{n}.jsonl{side}" for n in range(9) for side in ("", ".rejects.jsonl")]
    (tmp_path / "in").mkdir()
    given = [write_jsonl(tmp_path / "in" / name, make_pairs(1)) for name in names]
    with pytest.raises(UsageError, match=r"out/0\.jsonl\.rejects\.jsonl: the output of"):
        echo(given, typed_path(f"{tmp_path}/out/"))


def test_a_directory_gives_a_directory_and_side_files_are_no_shards(tmp_path: Path) -> None:
    shards = tmp_path / "shards"
    shards.mkdir()
    write_jsonl(shards / "b.jsonl", make_pairs(2))
    (shards / "a.jsonl").write_bytes(b"broken\n")
    for name in (".hidden.jsonl", "x.rejects.jsonl", "x.pending.jsonl", "notes.txt"):
        (shards / name).write_text("no shard\n")
    summary = echo([shards], max_rejects=1.0)
    made = tmp_path / "shards.echo"
    assert summary.outputs == [str(made / "a.jsonl"), str(made / "b.jsonl")]
    assert (made / "a.jsonl").read_bytes() == b""
    again = echo([made], tmp_path / "second")
    assert [Path(out).name for out in again.outputs] == ["a.jsonl", "b.jsonl"]


def test_several_inputs_merge_into_a_file_or_fill_a_directory(tmp_path: Path) -> None:
    first = write_jsonl(tmp_path / "1.jsonl", make_pairs(2))
    second = write_jsonl(tmp_path / "2.jsonl", [make_pair(2)])
    echo([first, second], tmp_path / "all.jsonl")
    assert (tmp_path / "all.jsonl").read_bytes() == jsonl(make_pairs(3))
    echo([first, second], tmp_path / "many")
    assert sorted(path.name for path in (tmp_path / "many").glob("*.jsonl")) == [
        "1.jsonl", "2.jsonl",
    ]  # fmt: skip
    (tmp_path / "there").mkdir()
    assert echo([first], tmp_path / "there").outputs == [str(tmp_path / "there" / "1.jsonl")]


@pytest.mark.parametrize("name", ["new/", "new.jsonl/", "new.csv/", "there/"])
def test_an_output_with_a_slash_at_its_end_is_a_directory(tmp_path: Path, name: str) -> None:
    first = write_jsonl(tmp_path / "1.jsonl", make_pairs(2))
    (tmp_path / "there").mkdir()
    made = echo([first], f"{tmp_path}/{name}")
    assert made.outputs == [str(tmp_path / name / "1.jsonl")]
    assert echo([first], f"{tmp_path}/{name}").finished_before == made.outputs


def test_a_file_with_a_slash_at_its_end_is_refused(tmp_path: Path) -> None:
    first = write_jsonl(tmp_path / "1.jsonl", make_pairs(2))
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match="is a file"):
        echo([first], f"{tmp_path}/file/")
    assert (tmp_path / "file").read_text() == "mine"


def test_an_output_is_not_the_file_beside_another(tmp_path: Path) -> None:
    names = ["a.jsonl", "a.jsonl.rejects.jsonl"]
    given = [write_jsonl(tmp_path / name, make_pairs(2)) for name in names]
    with pytest.raises(
        UsageError, match=r"of .*rejects\.jsonl would be written there, where a file"
    ):
        echo([*given], f"{tmp_path}/out/")
    assert not (tmp_path / "out").exists()


def test_two_shards_of_one_name_do_not_meet_in_one_output(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        write_jsonl(tmp_path / name / "part.jsonl", make_pairs(2))
    with pytest.raises(UsageError, match="would both be written there"):
        echo([tmp_path / "a" / "part.jsonl", tmp_path / "b" / "part.jsonl"], tmp_path / "out")


def test_limit_counts_rows_of_each_output(tmp_path: Path) -> None:
    given = tmp_path / "in.jsonl"
    given.write_bytes(b"\n\n" + jsonl(make_pairs(10)))
    echo([given], tmp_path / "out.jsonl", limit=3)
    assert (tmp_path / "out.jsonl").read_bytes() == jsonl(make_pairs(3))


def test_fields_are_renamed_in_place(tmp_path: Path) -> None:
    row = {"a": 1, "question": "q", "passage": "p", "z": 2}
    given = write_jsonl(tmp_path / "in.jsonl", [row, {**row, "query": "both"}])
    names = {"query": "question", "document": "passage"}
    summary = echo([given], tmp_path / "out.jsonl", fields=names, max_rejects=1.0)
    assert (tmp_path / "out.jsonl").read_bytes() == b'{"a":1,"query":"q","document":"p","z":2}\n'
    assert summary.counts.rejected == 1


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("absent.jsonl", "no such file or directory"),
        ("empty-dir", "a directory without shards"),
        ("*.nothing", "no file matches"),
        ("fifo", "not a file that can be read"),
    ],
)
def test_what_is_not_there_is_named(tmp_path: Path, name: str, words: str) -> None:
    import os

    (tmp_path / "empty-dir").mkdir()
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(MissingDataError, match=words) as caught:
        echo([tmp_path / name], tmp_path / "out.jsonl")
    assert caught.value.exit_code == 3
    assert name in str(caught.value)


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_an_empty_file_makes_an_empty_output(tmp_path: Path, suffix: str) -> None:
    given, out = tmp_path / f"in.jsonl{suffix}", tmp_path / "out.jsonl"
    given.write_bytes(packed(b"", suffix) if suffix != ".gz" else gzip.compress(b""))
    summary = echo([given], out)
    assert out.read_bytes() == b""
    assert (summary.counts.rows, summary.exit_code) == (0, 0)


def test_side_files_go_when_they_are_needed_no_more(tmp_path: Path) -> None:
    given, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    given.write_bytes(b"broken\n")
    summary = echo([given], out, max_rejects=1.0)
    side = tmp_path / "out.jsonl.rejects.jsonl"
    assert summary.side_files == [str(side)]
    assert side.exists()
    write_jsonl(given, make_pairs(1))
    assert echo([given], out, overwrite=True).side_files == []
    assert not side.exists()


class Pipe(io.TextIOWrapper):
    """A stand-in for sys.stdin and sys.stdout."""

    def __init__(self, data: bytes = b"") -> None:
        super().__init__(io.BytesIO(data))


def test_standard_input_to_standard_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = tmp_path / "state"
    monkeypatch.setenv("PRISM_STATE", str(state))
    for _ in range(2):  # nothing is "finished before" on a pipe
        monkeypatch.setattr(sys, "stdin", Pipe(PAIRS + b"broken\n"))
        monkeypatch.setattr(sys, "stdout", out := Pipe())
        summary = echo(["-"])
        assert out.buffer.getvalue() == PAIRS  # type: ignore[attr-defined]
        (aside,) = read_jsonl(state / "stdout.echo.jsonl.rejects.jsonl")
        assert (aside["file"], aside["line"]) == ("-", 3001)
        assert summary.side_files == [str(state / "stdout.echo.jsonl.rejects.jsonl")]
    assert (state / "stdout.echo.jsonl.manifest.json").exists()


def test_standard_input_to_a_file_is_guarded_like_any_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.jsonl"
    for data, finished in ((PAIRS, 0), (PAIRS, 1), (PAIRS + jsonl(make_pairs(1)), 0)):
        monkeypatch.setattr(sys, "stdin", Pipe(data))
        assert len(echo(["-"], out).finished_before) == finished
        assert out.read_bytes() == data


def test_spooled_input_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(sys, "stdin", Pipe(PAIRS))
    with pytest.raises(UsageError):
        run_rows(RoutedStage(), ["-"], RunOptions(quiet=True))
    assert not list(tmp_path.glob("prism-stdin-*"))


def test_copies_of_killed_runs_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for name in ("prism-stdin-killed", "prism-stdin-at-work"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "copy.jsonl").write_bytes(PAIRS)
    held = os.open(tmp_path / "prism-stdin-at-work", os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    monkeypatch.setattr(sys, "stdin", Pipe(PAIRS))
    echo(["-"], tmp_path / "out.jsonl")
    os.close(held)
    assert [path.name for path in tmp_path.glob("prism-stdin-*")] == ["prism-stdin-at-work"]


def test_a_stop_is_seen_while_standard_input_is_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, write = os.pipe()
    stdin = os.fdopen(read)
    monkeypatch.setattr(sys, "stdin", stdin)
    stop = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM))
    end = threading.Timer(5.0, os.close, (write,))
    stop.start()
    end.start()
    with pytest.raises(InterruptedRunError):
        echo(["-"], tmp_path / "out.jsonl")
    assert end.is_alive()
    end.cancel()
    os.close(write)
    stdin.close()


def test_standard_input_that_fills_the_disk_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(
        "tempfile.mkstemp", lambda *_, **__: (os.open("/dev/full", os.O_WRONLY), "x")
    )
    monkeypatch.setattr(sys, "stdin", Pipe(PAIRS))
    with pytest.raises(StorageError, match=rf"{tmp_path}: .*No space left.*set TMPDIR"):
        echo(["-"], tmp_path / "out.jsonl")


@pytest.mark.parametrize("kind", ["directory", "device"])
def test_only_a_regular_file_is_replaced(tmp_path: Path, kind: str) -> None:
    given = write_jsonl(tmp_path / "in.jsonl", make_pairs(1))
    out = Path("/dev/null") if kind == "device" else tmp_path / "in.echo.jsonl"
    if kind == "directory":
        out.mkdir()
    with pytest.raises(UsageError, match="not a regular file"):
        echo([given], "/dev/null" if kind == "device" else None, overwrite=True)
    assert out.exists()
    assert not out.is_file()


def test_a_link_as_output_stays_a_link(tmp_path: Path) -> None:
    given = write_jsonl(tmp_path / "in.jsonl", make_pairs(1))
    (tmp_path / "big-disk").mkdir()
    (tmp_path / "out.jsonl").symlink_to(tmp_path / "big-disk" / "real.jsonl")
    echo([given], tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl").is_symlink()
    assert (tmp_path / "big-disk" / "real.jsonl").read_bytes() == given.read_bytes()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    given = write_jsonl(tmp_path / "in.jsonl", make_pairs(1))
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="cannot be written"):
        echo([given], tmp_path / "file" / "out.jsonl")


def test_more_shards_than_open_files_are_allowed(tmp_path: Path) -> None:
    import resource

    shards = tmp_path / "shards"
    shards.mkdir()
    for number in range(80):
        write_jsonl(shards / f"{number:03}.jsonl", [make_pair(number)])
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
    try:
        assert len(echo([shards]).outputs) == 80
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_state_directory_is_chosen_by_variable_project_then_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "o" / "out.jsonl"
    assert state_directory(out) == tmp_path / "o" / ".prism"
    assert (tmp_path / "o" / ".prism").stat().st_mode & 0o777 == 0o700
    (tmp_path / "prism.toml").write_text("")
    assert state_directory(out) == tmp_path / ".prism"
    monkeypatch.setenv("PRISM_STATE", str(tmp_path / "elsewhere"))
    assert state_directory(out) == tmp_path / "elsewhere"


def test_of_several_processes_each_works_outputs_of_its_own(tmp_path: Path) -> None:
    given, out = tmp_path / "in", tmp_path / "out"
    given.mkdir()
    for number in range(5):
        write_jsonl(given / f"{number}.jsonl", make_pairs(2))
    done = [echo([given], out, part=(rank, 3)).outputs for rank in range(3)]
    assert [[Path(name).name for name in names] for names in done] == [
        ["0.jsonl", "3.jsonl"],
        ["1.jsonl", "4.jsonl"],
        ["2.jsonl"],
    ]
    assert echo([given], out).finished_before == sorted(name for names in done for name in names)
    with pytest.raises(UsageError, match="3 processes and 1 output: "):
        echo([given / "0.jsonl"], tmp_path / "one.jsonl", part=(2, 3))


@pytest.mark.parametrize(
    "name",
    ["out.csv", "out.CSV.gz", "out.tsv", "out.tsv.gz", "out.md", "out.txt", "out.parquet.gz"],
)
def test_an_output_named_as_another_format_is_refused(tmp_path: Path, name: str) -> None:
    given = write_jsonl(tmp_path / "in.jsonl", make_pairs(1))
    with pytest.raises(UsageError, match="outputs are JSON lines"):
        echo([given], tmp_path / name)
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("stage", [EchoStage, RoutedStage])
def test_no_outputs_are_written_into_a_beir_folder(tmp_path: Path, stage: type[EchoStage]) -> None:
    given = write_jsonl(tmp_path / "in.jsonl", make_pairs(3))
    folder = tmp_path / "corpus"
    folder.mkdir()
    (folder / "corpus.jsonl").write_text("{}\n")
    options = RunOptions(output=typed_path(f"{folder}/"), quiet=True)
    with pytest.raises(UsageError, match=r"a BEIR folder \(it holds corpus\.jsonl\)"):
        run_rows(stage(), [str(given)], options)
    assert [path.name for path in folder.iterdir()] == ["corpus.jsonl"]


def test_a_shard_named_corpus_makes_no_beir_folder_of_its_outputs(tmp_path: Path) -> None:
    shards, out = tmp_path / "shards", tmp_path / "out"
    shards.mkdir()
    for name in ("corpus", "other"):
        write_jsonl(shards / f"{name}.jsonl", make_pairs(3))
    echo([shards / "corpus.jsonl"], f"{out}/")
    echo([shards / "other.jsonl"], f"{out}/")
    assert (out / "other.jsonl").is_file()
