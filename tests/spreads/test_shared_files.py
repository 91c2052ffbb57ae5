"""A node is refused unless it sees the files of the command."""

from collections.abc import Callable
from pathlib import Path

import pytest

from prism_cli.engine.run_board import BOARD_NAME, RunBoard
from prism_cli.engine.run_options import RunOptions
from prism_cli.engine.run_plan import plan_run
from prism_cli.engine.stage_spec import StageSpec
from prism_cli.errors import MissingDataError, StorageError
from prism_cli.spreads import shared_files
from prism_cli.spreads.shard_actor import ActorSetup, ShardActor
from prism_cli.spreads.shared_files import SharedFiles
from tests.factories import make_pairs, write_jsonl
from tests.fakes import EchoStage


@pytest.fixture
def actor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ShardActor:
    monkeypatch.setattr(shared_files, "_LOOK_SECONDS", 0.0)
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    for number in range(2):
        write_jsonl(Path(f"in/{number}.jsonl"), make_pairs(2))
    Path("out").mkdir()
    options = RunOptions(Path("out"), quiet=True, shared=True)
    plan = plan_run(EchoStage(), ["in"], options)
    RunBoard("echo", "ray", plan.jobs).save(now=True)
    spec = StageSpec.of(EchoStage)
    actor = ShardActor(
        ActorSetup(spec, options, None, {}, str(tmp_path), {}, SharedFiles.of(plan.jobs))
    )
    actor.jobs = plan.jobs  # type: ignore[attr-defined]
    return actor


def _remove_input() -> None:
    Path("in/0.jsonl").unlink()


def _change_input() -> None:
    write_jsonl(Path("in/0.jsonl"), make_pairs(3))


def _remove_board() -> None:
    Path("out", BOARD_NAME).unlink()


def _remove_folder() -> None:
    _remove_board()
    Path("out").rmdir()


def test_a_node_that_sees_the_files_is_taken(actor: ShardActor) -> None:
    assert actor.open()["pid"]


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (_remove_input, "in/0.jsonl: is not there"),
        (_change_input, "in/0.jsonl: is another file than where the command runs"),
        (_remove_board, "out: is another folder than where the command runs"),
        (_remove_folder, "out: is another folder than where the command runs"),
    ],
)
def test_a_node_with_other_files_is_refused(
    actor: ShardActor, act: Callable[[], None], words: str
) -> None:
    act()
    with pytest.raises(MissingDataError, match=words) as caught:
        actor.open()
    assert "on a shared file system" in str(caught.value)


def test_errors_of_a_worker_name_its_machine(
    actor: ShardActor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.node", lambda: "node7")
    actor.open()
    jobs = actor.jobs  # type: ignore[attr-defined]
    _remove_input()
    report = actor.work(jobs[0])
    assert isinstance(report.error, MissingDataError)
    assert str(report.error).startswith("node7: in/0.jsonl")
    Path("out/.1.jsonl.lock").mkdir()
    report = actor.work(jobs[1])
    assert isinstance(report.error, StorageError)
    assert str(report.error).startswith("node7: out/.1.jsonl.lock: is not a regular file")
