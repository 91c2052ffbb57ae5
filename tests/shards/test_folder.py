"""What a folder of shards stands for, and what is said of the rest."""

import gzip
import os
from pathlib import Path

import pytest

from prism_cli.adapters.datasets.files import data_files
from prism_cli.commands.field_names import check_inputs
from prism_cli.errors import InvalidNameError, MissingDataError, UsageError
from prism_cli.files.names import RealPaths
from prism_cli.rows.row import Rejected
from prism_cli.shards.folder import line_suffix
from prism_cli.shards.reader import find_shards, listed_once, read_rows

ROW = b'{"query": "q", "document": "d"}\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def names(folder: Path) -> list[str]:
    return [shard.path.name for shard in find_shards([str(folder)])]


def test_row_files_are_found_in_any_case_and_compression(folder: Path) -> None:
    for name in (
        "a.jsonl",
        "b.JSONL",
        "c.NDJSON",
        "d.jsonl.bz2",
        "e.Jsonl.XZ",
        "f.csv",
        "g.TSV.gz",
    ):
        (folder / name).write_bytes(ROW)
    assert len(names(folder)) == 7


def test_what_is_passed_over_is_named_once_by_kind(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "a.jsonl").write_bytes(ROW)
    for name in ("a.jsonl.manifest.json", "a.jsonl.rejects.jsonl", ".a.jsonl.lock"):
        (folder / name).write_bytes(b"")
    (folder / "deep").mkdir()
    (folder / "self").symlink_to(folder)
    (folder / "gone.jsonl").symlink_to(folder / "missing")
    (folder / "loop.jsonl").symlink_to(folder / "loop.jsonl")
    (folder / "notes.md").write_text("x")
    (folder / "info.json").write_text("{}")
    for number in range(5):
        (folder / f"{number}.bin").write_bytes(b"")
    assert names(folder) == ["a.jsonl"]
    assert names(folder) == ["a.jsonl"]
    (told,) = capsys.readouterr().err.splitlines()
    assert told == (
        f"prism: {folder}: passed over: other file: 0.bin, 1.bin, 2.bin, 2 more; "
        "folder (name it to have it read): deep; dead link: gone.jsonl, loop.jsonl; "
        "document beside files of rows: notes.md; linked folder: self; "
        "JSON beside other files of rows: info.json"
    )


def test_folder_in_which_all_is_passed_over_is_refused_after_its_names(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "rows.parq").write_bytes(b"")
    with pytest.raises(MissingDataError, match=r"without shards; expected files that end in"):
        names(folder)
    assert "other file: rows.parq" in capsys.readouterr().err


def test_a_folder_of_the_library_datasets_is_refused_with_its_conversion(folder: Path) -> None:
    from datasets import Dataset, DatasetDict

    rows = Dataset.from_dict({"query": ["q"], "document": ["d"]})
    rows.save_to_disk(folder / "one")
    DatasetDict({"train": rows}).save_to_disk(folder / "dict")
    for name, split in {"one": "", "dict": r'\["train"\]'}.items():
        message = (
            rf"{name}: is a data set saved .*load_from_disk\('.*{name}'\){split}\.to_parquet\("
        )
        with pytest.raises(MissingDataError, match=message):
            names(folder / name)
    (folder / "one" / "rows.jsonl").write_bytes(ROW)
    assert names(folder / "one") == ["rows.jsonl"]
    (folder / "dict" / "rows.json").write_bytes(ROW)
    assert names(folder / "dict") == ["dataset_dict.json", "rows.json"]


def test_row_files_in_folders_below_are_named(folder: Path) -> None:
    (folder / "a b").mkdir()
    for name in (
        "test-00000-of-00001.parquet",
        "train-00000-of-00002.parquet",
        "train-00001-of-00002.parquet",
        "more.jsonl",
        "info.json",
    ):
        (folder / "a b" / name).write_bytes(b"")
    below = ", ".join(
        f"'{folder}/a b/{name}'" for name in ("more.jsonl", "test-*.parquet", "train-*.parquet")
    )
    with pytest.raises(MissingDataError) as refused:
        names(folder)
    assert str(refused.value).endswith(f". Name those in folders below it: {below}")
    (folder / "README.md").write_text("text")
    with pytest.raises(UsageError) as refused_documents:
        check_inputs([str(folder)], {})
    assert f"only in folders below it, which are not searched. Name those files: {below}" in str(
        refused_documents.value
    )
    check_inputs([str(folder)], {}, documents=True)


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("a.jsonl", ".jsonl"),
        ("a.b.JSONL.Gz", ".JSONL.Gz"),
        ("a.ndjson.xz", ".ndjson.xz"),
        ("a.csv", ""),
        ("a.gz", ""),
    ],
)
def test_suffix_of_json_lines_is_as_written(name: str, suffix: str) -> None:
    assert line_suffix(Path(name)) == suffix


def test_upper_case_suffix_is_unpacked(folder: Path) -> None:
    (folder / "A.JSONL.GZ").write_bytes(gzip.compress(ROW))
    (shard,) = find_shards([str(folder)])
    assert list(shard.lines()) == [ROW]


@pytest.mark.parametrize("pattern", ["", "/*.jsonl"])
def test_a_name_that_is_not_utf8_is_found_and_refused_when_it_is_read(
    folder: Path, pattern: str
) -> None:
    (folder / "ok.jsonl").write_bytes(ROW)
    Path(os.fsdecode(os.fsencode(folder) + b"/bad\xff.jsonl")).write_bytes(ROW)
    bad, good = find_shards([str(folder) + pattern])
    assert list(good.lines()) == [ROW]
    assert bad.name == str(folder / "bad\\xff.jsonl")
    for read in (bad.lines, bad.numbered):
        with pytest.raises(
            InvalidNameError, match=r"bad\\xff\.jsonl: its name is not UTF-8.*rename"
        ):
            list(read())


@pytest.mark.parametrize("pattern", ["", "/*.txt"])
def test_a_document_whose_name_is_not_utf8_is_set_aside(folder: Path, pattern: str) -> None:
    (folder / "ok.txt").write_bytes(b"text")
    Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.txt")).write_bytes(b"x")
    aside: list[Rejected] = []
    rows = read_rows([str(folder) + pattern], on_reject=aside.append)
    assert [row["doc_id"] for _, row in rows] == ["ok.txt"]
    assert ["its name is not UTF-8" in one.reason for one in aside] == [True]


@pytest.mark.parametrize("name", ["a[1].jsonl", "new\nline.jsonl", "-o.jsonl", "\x1b[31m.jsonl"])
def test_odd_names_are_read_as_they_are(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (folder / name).write_bytes(ROW)
    (folder / "a1.jsonl").write_bytes(b"{}")
    monkeypatch.chdir(folder)
    for given in (name, f"./{name}", str(folder / name)):
        (shard,) = find_shards([given])
        assert list(shard.lines()) == [ROW]
    assert name in names(folder)


def test_a_folder_whose_name_looks_like_a_pattern_is_itself_in_patterns(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("d[1]", "d1"):
        (folder / name).mkdir()
        (folder / name / "a.jsonl").write_bytes(ROW)
    monkeypatch.chdir(folder)
    for given, found in (
        ("d[1]/*.jsonl", ["d[1]/a.jsonl"]),
        ("d[12]/*.jsonl", ["d1/a.jsonl"]),
        ("*/*.jsonl", ["d1/a.jsonl", "d[1]/a.jsonl"]),
        (f"{folder}/d[1]/?.jsonl", [f"{folder}/d[1]/a.jsonl"]),
    ):
        assert [one.name for one in find_shards([given])] == found
        assert [str(path) for path in data_files(given, "train")] == found


def test_a_path_that_is_not_there_is_told_with_what_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "pairs.jsonl").write_bytes(ROW)
    monkeypatch.chdir(folder)
    Path("loop").symlink_to("loop")
    for given, told in (
        ("loop", "is a symbolic link to loop, which does not exist or leads back to it"),
        ("pairs.jsnol", "no such file or directory; did you mean pairs.jsonl?"),
        ("dta/pairs.jsonl", "there is no directory dta"),
        ("x" * 300, "no such file or directory"),
        (f"{folder}/qqqq", "no such file or directory"),
    ):
        with pytest.raises(MissingDataError) as error:
            find_shards([given])
        assert str(error.value) == f"{given}: {told}" or told in str(error.value)


def test_an_input_without_a_name_is_refused() -> None:
    with pytest.raises(UsageError, match="without a name"):
        find_shards([""])


def test_a_command_lists_a_folder_once(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.jsonl").write_text("{}\n")
    with listed_once():
        found = find_shards([str(tmp_path)])
        (tmp_path / "3.jsonl").write_text("{}\n")
        assert find_shards([str(tmp_path)]) == found
        assert len(find_shards([str(tmp_path / "*.jsonl")])) == 4
    assert len(find_shards([str(tmp_path)])) == 4


def test_links_are_resolved_one_by_one_and_by_the_list_of_their_folder(tmp_path: Path) -> None:
    target = tmp_path / "target.jsonl"
    target.write_text("{}\n")
    (tmp_path / "link.jsonl").symlink_to(target)
    real, link = RealPaths(), tmp_path / "link.jsonl"
    for number in range(300):
        assert real.of(tmp_path / f"{number}.jsonl") == str(tmp_path / f"{number}.jsonl")
        assert real.of(link) == str(target)
