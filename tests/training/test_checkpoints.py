"""A checkpoint is there whole, or it is passed over."""

import errno
import os
import shutil
import signal
from pathlib import Path

import pytest
from safetensors import SafetensorError

from prism_cli.errors import DamagedFileError, ModelError, StorageError, UsageError
from prism_cli.shards.storage_errors import storage_errors
from prism_cli.training.checkpoints import (
    SEAL,
    checkpoint_step,
    chosen_checkpoint,
    commit_checkpoint,
    drop_newer,
    is_complete,
    newest_complete,
)
from prism_cli.training.sharded_checkpoints import own_digests
from tests.training.runs import die_within


def staged(folder: Path, step: int) -> Path:
    path = folder / "staging" / f"checkpoint-{step}"
    (path / "more").mkdir(parents=True)
    (path / "weights.safetensors").write_bytes(bytes([step]) * 4000)
    (path / "more" / "state.json").write_text(f'{{"step": {step}}}')
    return path


def committed(folder: Path, *steps: int, keep: int = 9) -> Path:
    for step in steps:
        commit_checkpoint(staged(folder, step), folder / "checkpoints", keep)
    return folder / "checkpoints"


def test_the_newest_by_number_is_taken(tmp_path: Path) -> None:
    folder = committed(tmp_path, 2, 10, 9)
    assert newest_complete(folder) == folder / "checkpoint-10"
    assert checkpoint_step(folder / "checkpoint-10") == 10
    assert not any((tmp_path / "staging").iterdir())


def test_no_checkpoints(tmp_path: Path) -> None:
    assert newest_complete(tmp_path / "none") is None
    (tmp_path / "checkpoint-3").mkdir()
    assert newest_complete(tmp_path) is None


def damage_cut(path: Path) -> None:
    (path / "weights.safetensors").write_bytes(b"\x09" * 3999)


def damage_byte(path: Path) -> None:
    data = bytearray((path / "weights.safetensors").read_bytes())
    data[1234] ^= 1
    (path / "weights.safetensors").write_bytes(data)


def damage_missing(path: Path) -> None:
    (path / "more" / "state.json").unlink()


def damage_no_seal(path: Path) -> None:
    (path / SEAL).unlink()


def damage_torn_seal(path: Path) -> None:
    seal = (path / SEAL).read_bytes()
    (path / SEAL).write_bytes(seal[: len(seal) // 2])


def damage_empty_seal(path: Path) -> None:
    (path / SEAL).write_bytes(b"{}")


def damage_other_seal(path: Path) -> None:
    (path / SEAL).write_bytes(b"[1]")


@pytest.mark.parametrize(
    "damage",
    [
        damage_cut, damage_byte, damage_missing, damage_no_seal, damage_torn_seal,
        damage_empty_seal, damage_other_seal,
    ],
)  # fmt: skip
def test_a_damaged_checkpoint_is_passed_over(tmp_path: Path, damage: object) -> None:
    folder = committed(tmp_path, 5, 9)
    assert callable(damage)
    damage(folder / "checkpoint-9")
    assert not is_complete(folder / "checkpoint-9")
    assert newest_complete(folder) == folder / "checkpoint-5"


def staged_by_two(folder: Path, step: int) -> tuple[Path, dict[str, str]]:
    """A checkpoint with a file of each of two processes, and what these say of their files."""
    path = staged(folder, step)
    (path / "shards").mkdir()
    digests: dict[str, str] = {}
    for rank in (0, 1):
        (path / "shards" / f"__{rank}_0.distcp").write_bytes(bytes([step, rank]) * 100)
        digests |= own_digests(path, rank)
    return path, digests


def test_a_checkpoint_without_the_file_of_a_process_is_none(tmp_path: Path) -> None:
    folder = committed(tmp_path, 5)
    path, digests = staged_by_two(tmp_path, 9)
    assert len(digests) == 2
    commit_checkpoint(path, folder, 9, digests)
    assert newest_complete(folder) == folder / "checkpoint-9"
    (folder / "checkpoint-9" / "shards" / "__1_0.distcp").unlink()
    assert newest_complete(folder) == folder / "checkpoint-5"
    path, digests = staged_by_two(tmp_path, 12)
    (path / "shards" / "__1_0.distcp").unlink()  # on the disk of another node
    with pytest.raises(StorageError, match=r"__1_0.distcp: was written by another process"):
        commit_checkpoint(path, folder, 9, digests)
    assert newest_complete(folder) == folder / "checkpoint-5"


def test_a_kill_during_the_commit_leaves_a_whole_checkpoint(tmp_path: Path) -> None:
    call, newest, code = 0, [], -signal.SIGKILL
    while code == -signal.SIGKILL:
        folder = tmp_path / str(call)
        committed(folder, 4)
        path, digests = staged_by_two(folder, 6)
        child = os.fork()
        if child == 0:
            die_within(call + 1)
            commit_checkpoint(path, folder / "checkpoints", 1, digests)
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        left = newest_complete(folder / "checkpoints")
        assert left is not None
        newest.append(left.name)
        call += 4
        # The same step is committed again.
        if left.name == "checkpoint-4":
            shutil.rmtree(folder / "staging")
            path, digests = staged_by_two(folder, 6)
            commit_checkpoint(path, folder / "checkpoints", 1, digests)
            assert newest_complete(folder / "checkpoints") == folder / "checkpoints/checkpoint-6"
    assert code == 0
    assert call > 50
    assert newest == sorted(newest)
    assert set(newest) == {"checkpoint-4", "checkpoint-6"}


def test_a_named_checkpoint_must_be_whole_and_of_the_run(tmp_path: Path) -> None:
    folder = committed(tmp_path, 5, 9)
    assert chosen_checkpoint(folder, "auto") == folder / "checkpoint-9"
    assert chosen_checkpoint(folder, "never") is None
    assert chosen_checkpoint(folder, str(folder / "checkpoint-5")) == folder / "checkpoint-5"
    elsewhere = committed(tmp_path / "other", 5) / "checkpoint-5"
    for wrong in (elsewhere, folder, folder / "notes", tmp_path / "automatic"):
        with pytest.raises(UsageError, match="expected auto, never, or a checkpoint of this run"):
            chosen_checkpoint(folder, str(wrong))
    with pytest.raises(ModelError, match=r"does not exist; .* checkpoint-5, checkpoint-9\)"):
        chosen_checkpoint(folder, str(folder / "checkpoint-7"))
    damage_byte(folder / "checkpoint-9")
    with pytest.raises(ModelError, match=r"differs from its complete.json.*: checkpoint-5\)"):
        chosen_checkpoint(folder, str(folder / "checkpoint-9"))


def test_later_checkpoints_go(tmp_path: Path) -> None:
    folder = committed(tmp_path, 5, 9, 10)
    drop_newer(folder, folder / "checkpoint-9")
    assert {path.name for path in folder.iterdir()} == {"checkpoint-5", "checkpoint-9"}


def test_so_many_stay(tmp_path: Path) -> None:
    folder = committed(tmp_path, 1, 2, 3, 20, keep=2)
    assert sorted(path.name for path in folder.iterdir()) == ["checkpoint-20", "checkpoint-3"]


def test_a_torn_one_of_the_same_step_is_replaced(tmp_path: Path) -> None:
    folder = committed(tmp_path, 4)
    damage_no_seal(folder / "checkpoint-4")
    (folder / "checkpoint-4" / "left over").touch()
    committed(tmp_path, 4)
    assert is_complete(folder / "checkpoint-4")
    assert not (folder / "checkpoint-4" / "left over").exists()


def test_other_names_are_left_alone(tmp_path: Path) -> None:
    folder = committed(tmp_path, 1, 2)
    for name in ("checkpoint-x", "checkpoint-03.old", "notes"):
        (folder / name).mkdir()
    committed(tmp_path, 3, keep=1)
    assert {path.name for path in folder.iterdir()} == {
        "checkpoint-x", "checkpoint-03.old", "notes", "checkpoint-3",
    }  # fmt: skip
    with pytest.raises(ValueError, match="not the name"):
        checkpoint_step(folder / "checkpoint-x")


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        SafetensorError("Error while serializing: No space left on device"),
        RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed"),
        RuntimeError("basic_ios::clear: iostream error"),
        Exception("File too large (os error 27)"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_full_disk_is_told_whoever_finds_it(error: Exception) -> None:
    with (
        pytest.raises(StorageError, match=r"run/c: cannot be written: .*; all is well\. Make room"),
        storage_errors(Path("run/c"), "all is well"),
    ):
        raise error


def test_other_errors_are_not_the_disks() -> None:
    with pytest.raises(DamagedFileError, match=r"^as it was"), storage_errors(Path("c"), ""):
        raise DamagedFileError("as it was")
    with pytest.raises(RuntimeError, match="shapes"), storage_errors(Path("c"), ""):
        raise RuntimeError("shapes do not match")
