"""A ledger read as a file: whole, page by page, of any version, beside a run that writes."""

import sqlite3
from contextlib import chdir
from pathlib import Path

import orjson
import pytest

from prism_cli.errors import MissingDataError, RowError
from prism_cli.ports import Reply, Usage, request
from prism_cli.shards import lock
from prism_cli.shards.ledger import Ledger, Merged
from prism_cli.shards.ledger_file import Entry, LedgerFile, is_ledger_file, read_entry
from prism_cli.shards.lock import lock_holder, lock_path, locked_inodes, output_lock
from prism_cli.shards.state import ledger_path
from tests.fakes import ScriptedCalls

LINE = {
    "key": "0f" * 32, "value": {"score": 0.5}, "refusal": None, "stage": "distill",
    "backend": "st:minilm", "input_tokens": 7, "output_tokens": 1, "usd": 0.001,
    "created_ms": 1_700_000_000_000, "sequence": 4,
}  # fmt: skip


def filled(path: Path, count: int) -> Ledger:
    ledger, backend = Ledger(path), ScriptedCalls()
    replies = [
        (request(backend, "", str(n)), Reply({"score": n / 7, "né": "ü"}, usage=Usage(2, 1, 0.5)))
        for n in range(count)
    ]
    ledger.commit("score", "out#1", replies)
    return ledger


def make_old(ledger: Path) -> None:
    """As the first version made it."""
    with sqlite3.connect(ledger) as db:
        db.execute("ALTER TABLE spent DROP COLUMN lost_calls")
        db.execute("ALTER TABLE replies DROP COLUMN sequence")
        db.execute("DROP TABLE sequence")
    db.close()


def test_an_entry_survives_its_line() -> None:
    entry = read_entry(LINE)
    assert entry.key == b"\x0f" * 32
    assert orjson.loads(entry.line) == LINE
    assert read_entry(orjson.loads(entry.line)) == entry
    refused = read_entry(LINE | {"value": {}, "refusal": "too long"})
    assert orjson.loads(refused.line)["refusal"] == "too long"


def test_a_line_of_an_earlier_version_is_ordered_by_its_time() -> None:
    line = {name: value for name, value in LINE.items() if name != "sequence"}
    assert read_entry(line).sequence == LINE["created_ms"]


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("key", "0f", "expected 64 hex digits, found '0f'"),
        ("key", "zz" * 32, "expected 64 hex digits"),
        ("key", None, "expected a string, found null"),
        ("value", [1], "expected an object, found array"),
        ("refusal", 3, "expected a string, found number 3"),
        ("stage", " ", "blank"),
        ("backend", 1, "expected a string"),
        ("input_tokens", -1, "expected a number in"),
        ("output_tokens", 1.5, "expected a whole number, found 1.5"),
        ("usd", True, "expected a number, found boolean true"),
        ("created_ms", None, "expected a number, found none"),
    ],
)
def test_a_line_that_is_no_entry_is_told_with_its_field(
    field: str, value: object, reason: str
) -> None:
    with pytest.raises(RowError, match=reason) as told:
        read_entry(LINE | {field: value})
    assert told.value.field == field


def test_all_entries_come_once_and_in_order_over_many_pages(tmp_path: Path) -> None:
    ledger = filled(tmp_path / "l.sqlite", 2500)
    file = LedgerFile(tmp_path / "l.sqlite")
    keys = [entry.key for entry in file.entries()]
    assert len(keys) == 2500
    assert keys == sorted(set(keys))
    assert len(list(file.entries(stage="score", model="fake/calls"))) == 2500
    assert list(file.entries(stage="other")) == []
    assert list(file.entries(model="other")) == []
    assert list(file.entries(since_ms=2**50)) == []
    ledger.close()


def test_reading_holds_up_no_writer(tmp_path: Path) -> None:
    ledger = filled(tmp_path / "l.sqlite", 1500)
    entries = LedgerFile(tmp_path / "l.sqlite").entries()
    next(entries)
    backend = ScriptedCalls()
    ledger.commit("score", "out#2", [(request(backend, "", "new"), Reply({"score": 1.0}))])
    assert ledger._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
    assert len(list(entries)) >= 1499
    ledger.close()


def test_counts_by_model_and_output(tmp_path: Path) -> None:
    ledger = filled(tmp_path / "l.sqlite", 4)
    refused = request(ScriptedCalls(spec="b"), "", "x")
    ledger.commit("score", "out#2", [(refused, Reply({}, "filtered", Usage(9, 0, 0.0)))])
    ledger.close()
    file = LedgerFile(tmp_path / "l.sqlite")
    b, calls = file.models()
    assert (b["model"], b["replies"], b["refusals"], b["input_tokens"]) == ("b", 1, 1, 9)
    assert (calls["replies"], calls["refusals"], calls["usd"]) == (4, 0, 2.0)
    assert [row["output"] for row in file.spent()] == ["out#1", "out#2"]
    assert file.spent("out#1")[0]["asked"] == 4
    assert file.spent("elsewhere") == []


def test_a_ledger_of_an_earlier_version_is_read_by_its_names(tmp_path: Path) -> None:
    filled(tmp_path / "l.sqlite", 1).close()
    make_old(tmp_path / "l.sqlite")
    (row,) = LedgerFile(tmp_path / "l.sqlite").spent()
    assert "lost_calls" not in row
    assert row["asked"] == 1
    (entry,) = LedgerFile(tmp_path / "l.sqlite").entries()
    assert entry.sequence == entry.created_ms


def test_a_ledger_of_an_earlier_version_is_opened_and_goes_on(tmp_path: Path) -> None:
    filled(tmp_path / "l.sqlite", 3).close()
    make_old(tmp_path / "l.sqlite")
    ledger = Ledger(tmp_path / "l.sqlite")
    (old, *_) = LedgerFile(tmp_path / "l.sqlite").entries()
    keys = [request(ScriptedCalls(), "", str(n)).key for n in range(4)]
    assert len(ledger.find(keys, old.created_ms - 5)) == 3
    assert ledger.find(keys, old.created_ms + 5_000) == {}
    # What comes next is above every mark that a manifest of that time may hold.
    new = [(request(ScriptedCalls(), "", "3"), Reply({"score": 1.0}))]
    ledger.commit("score", "out#1", new, after_sequence=2 * old.created_ms)
    assert list(ledger.find(keys, 2 * old.created_ms)) == keys[3:]
    assert ledger.spent("out#1")["lost_calls"] == 0
    ledger.close()


def test_what_is_no_ledger_is_told(tmp_path: Path) -> None:
    other = tmp_path / "other.sqlite"
    db = sqlite3.connect(other)
    db.execute("CREATE TABLE t (x)")
    db.close()
    assert is_ledger_file(other)
    with pytest.raises(MissingDataError, match="cannot be read as a ledger: no such table"):
        LedgerFile(other).models()
    (tmp_path / "text").write_text("no")
    assert not is_ledger_file(tmp_path / "text")
    assert not is_ledger_file(tmp_path / "absent")
    assert not is_ledger_file(tmp_path)


def test_merging_keeps_what_is_here(tmp_path: Path) -> None:
    ledger, counts = Ledger(tmp_path / "l.sqlite"), Merged()
    entry = read_entry(LINE)
    other = entry._replace(value=b'{"score":0.9}')
    younger = entry._replace(created_ms=entry.created_ms + 5)
    ledger.merge([entry, other, younger], counts)
    ledger.merge([entry, read_entry(LINE | {"key": "00" * 32})], counts)
    ledger.close()
    assert counts == Merged(new=2, known=2, conflicts=1)
    file = LedgerFile(tmp_path / "l.sqlite")
    assert list(file.entries())[1] == Entry(*entry)
    assert file.spent() == []


def test_the_holder_of_a_lock_is_told_without_taking_it(tmp_path: Path) -> None:
    import os

    out = tmp_path / "out.jsonl"
    assert lock_holder(out) == 0
    with output_lock(out):
        if Path("/proc/locks").exists():
            assert lock_holder(out) == os.getpid()
        inode = lock_path(out).stat().st_ino
        line = f"1: FLOCK  ADVISORY  WRITE {os.getpid()} fe:00:{{}} 0 EOF\n"
        assert lock_holder(out, line.format(inode)) == os.getpid()
        assert lock_holder(out, line.format(inode + 1)) == 0
        assert lock_holder(out, line.format(inode).replace("FLOCK", "POSIX")) == 0
    assert lock_holder(out) == 0
    inode = lock_path(out).stat().st_ino
    # The number alone is that of another file system's file: nobody has ours open.
    assert lock_holder(out, line.format(inode)) == 0


def test_the_holder_of_a_lock_is_unknown_on_a_system_without_proc(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "_KERNEL_LOCKS", tmp_path / "proc" / "locks")
    out = tmp_path / "out.jsonl"
    assert (lock_holder(out), locked_inodes()) == (0, set())
    with output_lock(out):
        assert (lock_holder(out), locked_inodes()) == (None, set())


def test_there_is_no_ledger_of_a_deleted_working_folder(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    with chdir(folder):
        folder.rmdir()
        with pytest.raises(MissingDataError, match="the working folder was deleted"):
            ledger_path(None)
