"""Inputs that have not changed since an output was finished are not read to know that it is."""

import os
import time
from pathlib import Path
from typing import Any

import orjson
import pytest

from prism_cli.engine.runner import RunOptions, run_rows
from prism_cli.engine.summary import RunSummary
from prism_cli.errors import ChangedInputError
from prism_cli.shards import file_digest, shard
from prism_cli.shards.file_digest import FileDigest, cached_digest, digest_file
from tests.factories import make_pairs, write_jsonl
from tests.fakes import EchoStage

HOUR = 3600 * 10**9


def set_age(path: Path, nanoseconds: int) -> None:
    changed = time.time_ns() - nanoseconds
    os.utime(path, ns=(changed, changed))


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    path = write_jsonl(tmp_path / "pairs.jsonl", make_pairs(3))
    set_age(path, HOUR)
    return path


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are hashed, in order."""
    names: list[str] = []

    def counted(path: Path, first_bytes: int | None = None, **more: Any) -> FileDigest:
        names.append(path.name)
        return digest_file(path, first_bytes, **more)

    for module in (shard, file_digest):
        monkeypatch.setattr(module, "digest_file", counted)
    return names


def echo(given: Path, out: Path, **more: Any) -> RunSummary:
    return run_rows(EchoStage(), [str(given)], RunOptions(output=out, quiet=True, **more))


def test_unchanged_input_is_not_read_again(pairs: Path, tmp_path: Path, reads: list[str]) -> None:
    out = tmp_path / "out.jsonl"
    echo(pairs, out)
    assert reads == ["pairs.jsonl"]
    assert echo(pairs, out).finished_before == [str(out)]
    assert reads == ["pairs.jsonl"]


def test_change_of_equal_size_is_noticed(pairs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    echo(pairs, out)
    size = pairs.stat().st_size
    pairs.write_bytes(pairs.read_bytes().replace(b"text", b"TEXT").replace(b"d", b"D", 1))
    assert pairs.stat().st_size == size
    with pytest.raises(ChangedInputError, match="its bytes changed"):
        echo(pairs, out)


def test_change_that_keeps_size_and_time_is_noticed(pairs: Path, tmp_path: Path) -> None:
    out, changed = tmp_path / "out.jsonl", pairs.stat().st_mtime_ns
    echo(pairs, out)
    pairs.write_bytes(pairs.read_bytes().replace(b"d", b"D", 1))
    os.utime(pairs, ns=(changed, changed))  # as from an archive whose files all have one time
    with pytest.raises(ChangedInputError, match="its bytes changed"):
        echo(pairs, out)


def test_input_that_was_touched_is_read_and_found_equal(
    pairs: Path, tmp_path: Path, reads: list[str]
) -> None:
    out = tmp_path / "out.jsonl"
    echo(pairs, out)
    set_age(pairs, HOUR // 2)
    assert echo(pairs, out).finished_before == [str(out)]
    assert reads == ["pairs.jsonl"] * 2


@pytest.mark.parametrize("age", [0, -HOUR], ids=["just now", "in the future"])
def test_input_that_had_just_changed_is_read_again(
    pairs: Path, tmp_path: Path, reads: list[str], age: int
) -> None:
    out = tmp_path / "out.jsonl"
    set_age(pairs, age)
    changed = pairs.stat().st_mtime_ns
    echo(pairs, out)
    data = bytearray(pairs.read_bytes())
    data[data.index(b"d")] ^= 0x20
    pairs.write_bytes(data)  # within the clock tick in which it was read
    os.utime(pairs, ns=(changed, changed))
    with pytest.raises(ChangedInputError, match="its bytes changed"):
        echo(pairs, out)
    assert reads == ["pairs.jsonl"] * 2


def test_whole_seconds_settle_more_slowly(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"text")
    second = 10**9
    whole = time.time_ns() // second * second - second
    for changed, settled in ((whole, False), (whole + 1, True), (whole - 3 * second, True)):
        os.utime(path, ns=(changed, changed))
        assert digest_file(path).settled_ns == changed * settled


def test_manifest_of_an_earlier_version(pairs: Path, tmp_path: Path, reads: list[str]) -> None:
    out = tmp_path / "out.jsonl"
    echo(pairs, out)
    manifest = Path(f"{out}.manifest.json")
    content = orjson.loads(manifest.read_bytes())
    assert content["inputs"][0].pop("changed_ns")
    manifest.write_bytes(orjson.dumps(content))
    assert echo(pairs, out).finished_before == [str(out)]
    assert reads == ["pairs.jsonl"] * 2


def test_dependency_is_read_once_for_all_shards(
    pairs: Path, tmp_path: Path, reads: list[str]
) -> None:
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_bytes(b"{}\n")
    set_age(corpus, HOUR)
    shards = tmp_path / "in"
    shards.mkdir()
    for number in range(3):
        (shards / f"{number}.jsonl").write_bytes(pairs.read_bytes())
    file_digest._digests.clear()
    for _ in range(2):
        echo(shards, tmp_path / "out", dependencies=[corpus])
    assert reads.count("corpus.jsonl") == 1
    set_age(corpus, HOUR // 2)
    cached_digest(corpus)
    assert reads.count("corpus.jsonl") == 2


def test_folder_of_documents_is_always_read(tmp_path: Path) -> None:
    document = tmp_path / "documents" / "a.md"
    document.parent.mkdir()
    document.write_text("text")
    set_age(document, HOUR)
    before = cached_digest(document.parent)
    document.rename(document.with_name("b.md"))
    assert not before.settled_ns
    assert cached_digest(document.parent).sha256 != before.sha256
