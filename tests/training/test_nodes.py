"""Training over two nodes, which are two agents of torchrun on this machine."""

import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from prism_cli.errors import OtherProcessError, UsageError
from prism_cli.shards.file_digest import digest_file
from prism_cli.shards.run_record import RunRecord
from prism_cli.training import nodes
from prism_cli.training.process_group import ProcessGroup
from tests.factories import read_jsonl, write_jsonl
from tests.training.agents import Agents
from tests.training.runs import Toy, die_at, make_toy, pair, toy_rows

TRAINER = "prism_cli.training.trainer"
SETTINGS = ("--set", "log_steps=1", "--set", "tokens_per_batch=300")

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Toy:
    """A run of one process."""
    toy = make_toy(tmp_path_factory.mktemp("alone"), tiny_model)
    child = toy.child(*SETTINGS)
    assert child.end() == 0, child.said
    return toy


def losses(toy: Toy, run: str = "run") -> list[tuple[int, float]]:
    return [(line["step"], line["loss"]) for line in read_jsonl(toy.folder / run / "log.jsonl")]


def test_nodes_that_are_restarted_end_in_the_bytes_of_one_process(toy: Toy, alone: Toy) -> None:
    die: Any = (die_at, TRAINER, "step_loss", 10, True)
    agents = Agents(toy, *SETTINGS, max_restarts=1, arm=die)
    assert agents.end() == [0, 0], agents.said
    assert f"exitcode: {-signal.SIGKILL}" in agents.said
    assert "another process of this run ended" in agents.said
    assert "This is a bug" not in agents.said
    assert "going on from step" in agents.said
    assert losses(toy) == losses(alone)
    assert toy.adapter() == alone.adapter()


def test_nodes_with_other_rows_or_settings_are_refused_on_each(toy: Toy) -> None:
    words = toy.words()
    other = words.copy()
    other[1] = str(write_jsonl(toy.folder / "other.jsonl", toy_rows(24, 1)))
    children = pair(toy.folder, words, [*other, "--seed", "1", "--set", "lora.r=8"])
    assert [child.end() for child in children] == [2, 2]
    digests = [digest_file(Path(path)).sha256 for path in (words[1], other[1])]
    for child in children:
        said = " ".join(child.said.split())
        for number, digest in enumerate(digests):
            assert f"sha256 {digest} on node {number} ({socket.gethostname()})" in said
        assert f"setting seed: 0 on node 0 ({socket.gethostname()}), 1 on node 1" in said
        assert "setting lora.r: 4 on node 0" in said
        assert "Traceback" not in said
    assert not toy.run.exists()


def test_what_one_process_finds_all_processes_report(toy: Toy) -> None:
    words = toy.words()
    gone = [words[0], str(toy.folder / "gone.jsonl"), *words[2:]]
    children = pair(toy.folder, words, gone)
    assert [child.end() for child in children] == [3, 3]
    for child in children:
        assert "gone.jsonl" in child.said
    assert f"node 1 ({socket.gethostname()}), rank 1: " in children[0].said


class Ranks(ProcessGroup):
    """The first of two processes; `second` is what the other one sends."""

    def __init__(self, second: object) -> None:
        self.rank, self.size, self.main, self.second = 0, 2, True, second

    def gather(self, value: Any) -> list[Any]:
        return [value, self.second]


def test_a_run_directory_that_is_not_shared_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nodes, "SHARED_FOLDER_SECONDS", 0.0)
    record = RunRecord("train", {}, tmp_path, tmp_path / "manifest.json")
    nodes.require_shared_folder(_written(record, Ranks(None)), record)
    RunRecord("train", {}, tmp_path, tmp_path / "manifest.json").begin()
    with pytest.raises(UsageError, match="a directory that all nodes share"):
        nodes.require_shared_folder(Ranks(None), record)
    found = ("node 1 (b), rank 1", "not the file", 2)
    with pytest.raises(OtherProcessError, match=r"node 1 \(b\), rank 1: not the file") as caught:
        nodes.require_shared_folder(_written(record, Ranks(found)), record)
    assert caught.value.exit_code == 2


def _written(record: RunRecord, group: Ranks) -> Ranks:
    record.write()
    return group
