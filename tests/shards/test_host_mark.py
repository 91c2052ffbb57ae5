"""One host at a time uses a SQLite file on a network file system."""

import os
from pathlib import Path

import pytest

from prism_cli.errors import LockedError
from prism_cli.shards import durable
from prism_cli.shards.host_mark import HostMark
from prism_cli.shards.ledger import Ledger
from prism_cli.shards.local_ledger import LocalLedger


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
