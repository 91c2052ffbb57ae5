"""A symbolic link that somebody put at the place of a file of ours is never written through."""

import os
from pathlib import Path

import pytest

from prism_cli.engine.runner import RunOptions, run_rows
from prism_cli.errors import StorageError
from tests.factories import jsonl, make_pairs, write_jsonl
from tests.fakes import EchoStage, ScoreStage, ScriptedBatch, ScriptedCalls

PRECIOUS = b"precious\n"


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    path = tmp_path / "elsewhere" / "victim"
    path.parent.mkdir()
    path.write_bytes(PRECIOUS)
    return path


def run(tmp_path: Path, *backends: ScriptedCalls | ScriptedBatch) -> None:
    given = tmp_path / "in.jsonl"
    given.write_bytes(jsonl(make_pairs(3)) + b"broken\n")
    stage = ScoreStage(*backends) if backends else EchoStage()
    run_rows(stage, [str(given)], RunOptions(tmp_path / "out.jsonl", quiet=True, max_rejects=1))


@pytest.mark.parametrize(
    "name", ["out.jsonl.manifest.json", "out.jsonl.rejects.jsonl", ".out.jsonl.part",
             ".out.jsonl.progress.tmp", ".out.jsonl.progress.json"],
)  # fmt: skip
def test_a_link_at_a_side_file_is_replaced(tmp_path: Path, victim: Path, name: str) -> None:
    (tmp_path / name).symlink_to(victim)
    run(tmp_path)
    assert victim.read_bytes() == PRECIOUS
    assert (tmp_path / "out.jsonl").read_bytes() == jsonl(make_pairs(3))
    assert name.endswith(".tmp") or not (tmp_path / name).is_symlink()


@pytest.mark.parametrize(
    "name", [".out.jsonl.lock", ".prism/ledger.sqlite", ".prism/ledger.claims"]
)
@pytest.mark.parametrize("dangling", [True, False])
def test_a_link_at_the_lock_or_in_the_state_is_refused(
    tmp_path: Path, victim: Path, name: str, dangling: bool
) -> None:
    (tmp_path / ".prism").mkdir(mode=0o700)
    if dangling:
        victim.unlink()
    (tmp_path / name).symlink_to(victim)
    with pytest.raises(StorageError) as caught:
        run(tmp_path, ScriptedCalls())
    assert caught.value.exit_code == 3
    assert victim.exists() != dangling
    assert dangling or victim.read_bytes() == PRECIOUS
    assert "is a symbolic link, which is not followed" in str(caught.value)


def test_a_link_at_the_ledgers_journal_is_not_written_through(tmp_path: Path, victim: Path) -> None:
    (tmp_path / ".prism").mkdir(mode=0o700)
    (tmp_path / ".prism" / "ledger.sqlite-wal").symlink_to(victim)
    run(tmp_path, ScriptedCalls())  # sqlite removes it
    assert victim.read_bytes() == PRECIOUS


def test_the_users_own_link_as_output_stays_one(tmp_path: Path, victim: Path) -> None:
    victim.unlink()
    (tmp_path / "out.jsonl").symlink_to(victim)
    run(tmp_path)
    assert (tmp_path / "out.jsonl").is_symlink()
    assert victim.read_bytes() == jsonl(make_pairs(3))


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o755])
def test_a_state_directory_that_is_open_to_others_is_mentioned_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], mode: int
) -> None:
    state = tmp_path / ".prism"
    state.mkdir()
    os.chmod(state, mode)
    write_jsonl(tmp_path / "b.jsonl", make_pairs(3))
    run(tmp_path, ScriptedCalls(), ScriptedBatch())
    warnings = capsys.readouterr().err.count("others may write to this state directory")
    assert warnings == (mode != 0o755)
