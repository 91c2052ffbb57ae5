"""One host at a time uses a SQLite file on a network file system."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Barrier, local

import pytest

from prism_cli.errors import LockedError
from prism_cli.shards import durable, host_mark
from prism_cli.shards.host_mark import HostMark
from prism_cli.shards.ledger import Ledger
from prism_cli.shards.local_ledger import LocalLedger


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_mark, "SETTLE_SECONDS", 0.2)
    monkeypatch.setattr(host_mark, "EVERY_SECONDS", 0.02)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


def test_another_host_is_refused_while_the_mark_is_renewed(path: Path) -> None:
    mark = HostMark(path, host="node-1")
    with pytest.raises(LockedError, match=r"node-1 uses this file.*not safe between hosts"):
        HostMark(path, host="node-2")
    HostMark(path, host="node-1").close()  # another process of the same host
    mark.close()


def test_a_mark_that_is_no_longer_renewed_is_taken_over(path: Path) -> None:
    HostMark(path, host="node-1").close()
    old = path.with_name("ledger.sqlite.host")
    os.utime(old, (old.stat().st_mtime - 21,) * 2)
    HostMark(path, host="node-2").close()
    assert old.read_bytes() == b"node-2"


def test_of_two_hosts_that_look_at_the_same_moment_one_goes_on(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both_looked, ages = Barrier(2), host_mark.seconds_since_change
    seen = local()

    def look(mark: Path) -> float | None:
        age = ages(mark)
        if not hasattr(seen, "once"):
            seen.once = both_looked.wait(10)
        return age

    def start(host: str) -> HostMark | None:
        with suppress(LockedError):
            return HostMark(path, host=host)
        return None

    monkeypatch.setattr(host_mark, "seconds_since_change", look)
    with ThreadPoolExecutor(2) as pool:
        marks = [mark for mark in pool.map(start, ("node-1", "node-22")) if mark]
    until = time.monotonic() + 10
    # If one was slow to write, the other has gone on, and sees it at its next renewal.
    while sum(not mark._lost for mark in marks) > 1 and time.monotonic() < until:
        time.sleep(0.01)
    for mark in marks:
        mark.close()
    assert sum(not mark._lost for mark in marks) == 1


def test_a_ledger_whose_mark_was_replaced_takes_no_more(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durable, "is_network_file_system", lambda _: True)
    ledger, mark = Ledger(path), path.with_name("ledger.sqlite.host")
    mark.write_bytes(b"node-2")
    assert ledger._mark
    ledger._mark._thread.join(10)
    with pytest.raises(LockedError, match="node-2 took over"):
        ledger.next_sequence()
    ledger.close()
    assert mark.read_bytes() == b"node-2"


def test_an_empty_mark_is_being_written(path: Path) -> None:
    path.with_name("ledger.sqlite.host").touch()
    with pytest.raises(LockedError, match="another host uses this file"):
        HostMark(path, host="node-1")


def test_the_shared_ledger_is_marked_and_that_of_an_output_is_not(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(durable, "is_network_file_system", lambda _: True)
    LocalLedger(path.with_name("local.sqlite")).close()
    mark = HostMark(path, host="node-1")
    with pytest.raises(LockedError, match="node-1"):
        Ledger(path)
    mark.close()
    assert not path.exists()
    assert not path.with_name("local.sqlite.host").exists()
    assert "network file system" in capsys.readouterr().err


def test_a_local_disk_needs_no_mark(path: Path) -> None:
    Ledger(path).close()
    assert not path.with_name("ledger.sqlite.host").exists()
