"""Whole files, the ledger, the lock, spilled tables, and where state is kept."""

import errno
import multiprocessing
import os
import sqlite3
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_cli.errors import LockedError, StorageError
from prism_cli.ports import Reply, Request, Usage, request
from prism_cli.rows.row import Rejected
from prism_cli.shards import state
from prism_cli.shards.file_digest import digest_file
from prism_cli.shards.ledger import Ledger
from prism_cli.shards.lock import output_lock
from prism_cli.shards.reader import Shard, read_rows
from prism_cli.shards.spill import SeenTexts, Spill, SpilledObjects
from prism_cli.shards.state import is_network_file_system
from prism_cli.shards.writer import PartFile, whole_file
from tests.factories import jsonl, make_pairs
from tests.fakes import ScriptedBatch

BACKEND = ScriptedBatch()


def asked(*texts: str) -> list[Request]:
    return [request(BACKEND, text, text) for text in texts]


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "new" / "out.txt"
    with whole_file(path) as file:
        file.write(b"one")
        assert not path.exists()
    assert path.read_bytes() == b"one"
    with pytest.raises(ZeroDivisionError), whole_file(path) as file:
        file.write(b"%d" % (1 // 0))
    assert path.read_bytes() == b"one"
    assert [one.name for one in path.parent.iterdir()] == ["out.txt"]


def test_what_a_killed_run_left_is_replaced(tmp_path: Path) -> None:
    (tmp_path / ".out.txt.part").write_bytes(b"half a row that is longer")
    with whole_file(tmp_path / "out.txt") as file:
        file.write(b"new")
    assert (tmp_path / "out.txt").read_bytes() == b"new"


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst", ".bz2", ".xz"])
def test_discard_is_safe_at_any_time(tmp_path: Path, suffix: str) -> None:
    part = PartFile(tmp_path / f"out.jsonl{suffix}")
    part.write(b"x" * 100)
    part.discard()
    part.discard()
    assert list(tmp_path.glob(".*.part")) == []


@given(st.lists(st.binary(min_size=1, max_size=50).map(lambda raw: raw.replace(b"\n", b"\0"))))
def test_reading_what_was_written_is_the_identity(tmp_path: Path, lines: list[bytes]) -> None:
    lines = [b"first", *lines]  # some first bytes are those of other formats
    for suffix in ("", ".gz", ".zst", ".bz2", ".xz", ".GZ"):
        path = tmp_path / f"lines.jsonl{suffix}"
        with whole_file(path) as file:
            for line in lines:
                file.write(line + b"\n")
        assert list(Shard(path, "x").lines(digest_file(path))) == [line + b"\n" for line in lines]


def test_read_rows_tells_of_each_line_that_it_sets_aside(tmp_path: Path) -> None:
    given = tmp_path / "in.jsonl"
    given.write_bytes(jsonl(make_pairs(2)) + b"\nbroken\n" + jsonl(make_pairs(1)))
    aside: list[Rejected] = []
    rows = list(read_rows([str(given)], on_reject=aside.append))
    assert [(ref.line, row["query_id"]) for ref, row in rows] == [(1, "q0"), (2, "q1"), (5, "q0")]
    assert [str(one.ref) for one in aside] == [f"{given}:4"]


def test_the_ledger_keeps_replies_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger(path)
    a, b = asked("a", "b")
    ledger.commit("s", "out", [(a, Reply({"score": 0.5}, usage=Usage(10, 1, 0.25)))])
    ledger.commit("s", "out", [(b, Reply({}, "content filter", Usage(5, 0, 0.25)))])
    found = ledger.find([a.key, b.key, b"other"])
    assert found == {a.key: Reply({"score": 0.5}), b.key: Reply({}, "content filter")}
    assert ledger.spent("out") == {
        "asked": 2, "input_tokens": 15, "output_tokens": 1, "usd": 0.5, "lost_calls": 0,
    }  # fmt: skip
    assert ledger.spent("other")["asked"] == 0
    assert ledger.usage() == {"fake:batch": Usage(15, 1, 0.5)}
    assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.glob("ledger*")} == {0o600}
    ledger.close()


def test_the_ledger_finds_any_number_of_keys(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    requests = asked(*map(str, range(1700)))
    ledger.commit("s", "out", [(one, Reply({"score": 1})) for one in requests])
    assert len(ledger.find([one.key for one in requests])) == 1700
    assert ledger.find([]) == {}
    ledger.close()


def test_a_commit_is_all_or_nothing(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    a, b = asked("a", "b")
    with pytest.raises(TypeError):
        ledger.commit("s", "out", [(a, Reply({"score": 1})), (b, Reply({"score": object()}))])
    assert ledger.find([a.key, b.key]) == {}
    ledger.close()


def test_a_file_that_is_no_ledger_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite").write_text("something else entirely, long enough to be read" * 9)
    with pytest.raises(StorageError, match="file is not a database"):
        Ledger(tmp_path / "ledger.sqlite")


def commit_many(path: Path, first: int, go: "multiprocessing.synchronize.Event") -> None:
    go.wait()
    ledger = Ledger(path)
    for number in range(first, first + 20):
        ledger.commit("s", "out", [(one, Reply({"n": number})) for one in asked(str(number))])
    ledger.close()


def test_processes_open_and_fill_one_new_ledger_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    go = context.Event()
    path = tmp_path / "ledger.sqlite"
    workers = [
        context.Process(target=commit_many, args=(path, first, go)) for first in (0, 20, 40, 60)
    ]
    for worker in workers:
        worker.start()
    go.set()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 4
    ledger = Ledger(path)
    assert ledger.spent("out")["asked"] == 80
    assert len(ledger.find([one.key for one in asked(*map(str, range(80)))])) == 80
    ledger.close()


def test_a_lock_is_one_per_output_and_its_file_stays(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    with output_lock(out):
        with pytest.raises(LockedError), output_lock(out):
            pass
        with output_lock(tmp_path / "other.jsonl"):
            pass
    with output_lock(out):
        assert (tmp_path / ".out.jsonl.lock").exists()


def test_spilled_rows_come_back() -> None:
    spill = Spill("k INTEGER PRIMARY KEY, v TEXT")
    spill.fill("INSERT INTO spill VALUES (?, ?)", ((i, str(i)) for i in range(1000)))
    rows = list(spill.rows("SELECT v FROM spill WHERE k >= ? ORDER BY k DESC", (997,)))
    assert rows == [("999",), ("998",), ("997",)]
    with pytest.raises(StorageError, match="TMPDIR"):
        list(spill.rows("SELECT nothing FROM nowhere"))


def test_spilled_objects_come_back_in_order_and_again() -> None:
    items = [{"a": number, "b": ["x"] * number} for number in range(50)]
    spilled = SpilledObjects(items[:-1])
    spilled.append(items[-1])
    assert len(spilled) == 50
    assert list(spilled) == items == list(spilled)
    assert not list(SpilledObjects[int]())


def test_objects_that_cannot_be_spilled_say_which_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pickle.dump", full)
    with pytest.raises(StorageError, match=r"No space left.*TMPDIR"):
        SpilledObjects([1])


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 2)), max_size=80))
def test_seen_texts_agree_with_a_plain_dict(pairs: list[tuple[int, int]]) -> None:
    seen, plain = SeenTexts(memory=4), dict[bytes, bytes]()
    for pair in pairs:
        key, text = (bytes([number]) for number in pair)
        assert seen.conflicts(key, text) == (plain.setdefault(key, text) != text)


def test_network_file_systems_are_known_by_their_mount() -> None:
    mounts = (
        "/dev/sda / ext4 rw 0 0\nserver:/x /mnt/shared nfs4 rw 0 0\n"
        "tmpfs /mnt/shared/fast tmpfs rw 0 0\nserver:/y /mnt/two\\040words nfs rw 0 0\n"
    )
    assert is_network_file_system(Path("/mnt/shared/a"), mounts)
    assert not is_network_file_system(Path("/mnt/shared/fast/a"), mounts)
    assert not is_network_file_system(Path("/mnt/sharedness"), mounts)
    assert not is_network_file_system(Path("/home"), mounts)
    assert is_network_file_system(Path("/mnt/two words/a"), mounts)


def test_what_is_mounted_on_an_automount_point_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    before = "/dev/sda / ext4 rw 0 0\nsystemd-1 /data autofs rw 0 0\n"
    for mounted, network in (("server:/x /data nfs4", True), ("/dev/sdb /data ext4", False)):
        after = f"{before}{mounted} rw 0 0\n"
        assert is_network_file_system(Path("/data/a"), after) == network
        texts = iter([before, after])
        state._mounts.cache_clear()
        with monkeypatch.context() as patch:
            patch.setattr(Path, "read_text", lambda _, texts=texts: next(texts))
            assert not is_network_file_system(Path("/b"))
            assert is_network_file_system(Path("/data/a")) == network
    state._mounts.cache_clear()
    assert is_network_file_system(Path("/scratch/a"), "panfs://x /scratch panfs rw 0 0\n")


def test_the_home_in_prism_state_is_that_of_the_user(
    isolated_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRISM_STATE", "~/state")
    assert state.state_directory(None) == isolated_home / "state"


def test_the_home_of_nobody_in_prism_state_is_a_folder_of_that_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PRISM_STATE", "~no-such-user/state")
    assert state.ledger_path(None).parent == Path("~no-such-user/state")


def test_sqlite_was_built_to_be_shared_by_threads() -> None:
    assert sqlite3.threadsafety == 3  # commits run in a thread of their own
    assert os.name == "posix"


def test_a_file_that_grew_inside_its_last_line_is_read_as_measured(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"one\ntw")
    seen = digest_file(path)
    path.write_bytes(b"one\ntwo\nthree\n")
    assert list(Shard(path, "x").lines(seen)) == [b"one\n", b"tw"]
    assert list(Shard(path, "x").lines(digest_file(path))) == [b"one\n", b"two\n", b"three\n"]


def test_opening_a_ledger_twice_keeps_the_locks_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    first = Ledger(path)
    second = Ledger(path)  # a second connection of this process
    for count, one in enumerate(asked("a", "b", "c"), 1):
        first.commit("s", "out", [(one, Reply({"score": 1}))])
        worker = multiprocessing.get_context("spawn").Process(target=_see, args=(path, count))
        worker.start()
        worker.join(60)
        assert worker.exitcode == 0, f"another process did not see reply {count}"
    first.close()
    second.close()


def _see(path: Path, count: int) -> None:
    """Who believes to be the last to close a ledger removes its journal."""
    ledger = Ledger(path)
    seen = len(ledger.find([one.key for one in asked("a", "b", "c")]))
    ledger.close()
    os._exit(0 if seen == count else 1)
