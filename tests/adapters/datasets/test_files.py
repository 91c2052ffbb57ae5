"""Files of a local data set: one split, whatever the usual names of its files."""

from pathlib import Path

import pytest

from prism_cli.adapters.datasets.files import data_files
from prism_cli.errors import MissingDataError


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("data/train-00000-of-00001-a09b74b3ef9c3b56.parquet", "data/test-00000-of-00001.parquet"),
        ("squad-train-00000-of-00001.parquet", "squad-test-00000-of-00001.parquet"),
        ("train_1.jsonl", "test_1.jsonl"),
        ("train1.jsonl", "test1.jsonl"),
        ("squad-train.jsonl", "squad-dev.jsonl"),
        ("en.train.jsonl.gz", "en.test.jsonl.gz"),
        ("Train.csv", "Test.csv"),
        ("train.jsonl.bz2", "test.jsonl"),
        ("train.ndjson.xz", "test.ndjson.zst"),
        ("Train/a.csv", "Test/a.csv"),
        ("squad_train/a.csv", "squad_val/a.csv"),
        ("train/test_of_time.csv", "test/train_of_thought.csv"),
        ("train.csv", "notes.csv"),
    ],
)
def test_a_split_is_read_from_usual_names(tmp_path: Path, train: str, test: str) -> None:
    for name in (train, test):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert data_files(str(tmp_path), "train") == [tmp_path / train]


def test_a_split_of_another_name_and_files_without_one(tmp_path: Path) -> None:
    for name in ("train_sft-00000-of-00001.parquet", "test_sft-00000-of-00001.parquet"):
        (tmp_path / name).touch()
    (found,) = data_files(str(tmp_path), "train_sft")
    assert found.name.startswith("train_sft-")
    with pytest.raises(MissingDataError, match="no split 'train'; it has test_sft, train_sft"):
        data_files(str(tmp_path), "train")
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "latest_trains.jsonl").touch()
    assert len(data_files(str(tmp_path / "plain"), "train")) == 1


def test_numbered_parts_have_no_split(tmp_path: Path) -> None:
    names = ("part-00000-of-00002.jsonl", "part-00001-of-00002.jsonl")
    for name in names:
        (tmp_path / name).touch()
    assert data_files(str(tmp_path), "train") == [tmp_path / name for name in names]


def test_files_that_are_left_out_for_having_no_split_are_named(tmp_path: Path) -> None:
    for name in ("train.jsonl", "test.jsonl", "extra.jsonl", "more.jsonl"):
        (tmp_path / name).touch()
    lines: list[str] = []
    assert data_files(str(tmp_path), "train", lines.append) == [tmp_path / "train.jsonl"]
    assert lines == [
        f"{tmp_path}: 2 files without a split in the name not read beside those of "
        "'train': extra.jsonl, more.jsonl"
    ]
