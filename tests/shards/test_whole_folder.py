"""A folder is there whole, or what was there before."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from prism_cli.errors import ChangedInputError, LockedError, StorageError
from prism_cli.shards.whole_folder import settle_folder, whole_folder


def fill(final: Path, text: str, meddle: Callable[[], object] = lambda: None) -> None:
    """Make a folder; `meddle` is called before it is published."""
    with whole_folder(final) as folder:
        (folder / "inner").mkdir()
        (folder / "inner" / "file").write_text(text)
        meddle()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with nothing in it."""
    folder = tmp_path / "place"
    folder.mkdir()
    return folder


def test_it_appears_and_replaces(place: Path) -> None:
    final = place / "out"
    fill(final, "one")
    fill(final, "two")
    assert (final / "inner" / "file").read_text() == "two"
    assert [path.name for path in place.iterdir()] == ["out"]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_files_are_as_readable_as_the_umask_has_it(place: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        with whole_folder(place / "out") as folder:
            save_file({"a": torch.zeros(1)}, folder / "model.safetensors")
    finally:
        os.umask(before)
    assert (place / "out" / "model.safetensors").stat().st_mode & 0o777 == mode


def test_a_failure_leaves_what_was_there(place: Path) -> None:
    final = place / "out"
    fill(final, "one")
    with pytest.raises(IsADirectoryError), whole_folder(final) as folder:
        folder.write_text("half")
    assert (final / "inner" / "file").read_text() == "one"
    assert [path.name for path in place.iterdir()] == ["out"]


@pytest.mark.parametrize("renames", [0, 1])
def test_stopped_between_two_renames_the_old_one_comes_back(
    place: Path, monkeypatch: pytest.MonkeyPatch, renames: int
) -> None:
    final = place / "out"
    fill(final, "one")
    real, calls = Path.replace, 0

    def stop(self: Path, target: Path) -> Path:
        nonlocal calls
        calls += 1
        if calls == renames + 1:
            raise KeyboardInterrupt
        return real(self, target)

    monkeypatch.setattr(Path, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        fill(final, "two")
    assert (final / "inner" / "file").read_text() == "one"
    assert [path.name for path in place.iterdir()] == ["out"]


def test_killed_between_two_renames_the_next_run_gives_it_its_name_back(place: Path) -> None:
    final = place / "out"
    fill(final, "one")
    final.rename(place / ".out.old")
    settle_folder(final)
    assert (final / "inner" / "file").read_text() == "one"
    (place / ".out.old").mkdir()
    settle_folder(final)
    assert (final / "inner" / "file").read_text() == "one"


def test_a_link_stays_a_link(place: Path) -> None:
    behind, link = place / "disk" / "out", place / "out"
    behind.mkdir(parents=True)
    link.symlink_to(behind)
    fill(link, "one")
    assert link.is_symlink()
    assert (behind / "inner" / "file").read_text() == "one"


def test_a_second_run_that_no_lock_kept_out_is_not_mixed_in(place: Path) -> None:
    final = place / "out"

    def fill_slowly() -> None:
        with whole_folder(final) as folder:
            (folder / "first").write_text("one")
            fill(final, "two")
            folder.mkdir(exist_ok=True)  # as save_pretrained does
            (folder / "late").write_text("one")

    with pytest.raises(LockedError, match="another run has begun"):
        fill_slowly()
    assert (final / "inner" / "file").read_text() == "two"
    assert [path.name for path in place.iterdir()] == ["out"]
    assert [path.name for path in final.iterdir()] == ["inner"]


def test_what_dead_runs_left_is_removed(place: Path) -> None:
    for name in (".out.part", ".out.0123456789ab.part"):
        (place / name).mkdir()
        (place / name / "half").write_text("x")
    fill(place / "out", "one")
    assert [path.name for path in place.iterdir()] == ["out"]


def test_what_appears_in_its_place_meanwhile_stays(place: Path) -> None:
    final = place / "out"
    with pytest.raises(ChangedInputError, match="out: appeared while this run worked"):
        fill(final, "one", lambda: final.write_text("theirs"))
    assert final.read_text() == "theirs"
    assert [path.name for path in place.iterdir()] == ["out"]


@pytest.mark.parametrize("name", ["inner/file", "more"])
def test_a_folder_that_is_changed_meanwhile_stays(place: Path, name: str) -> None:
    final = place / "out"
    fill(final, "one")
    with pytest.raises(ChangedInputError, match="out: was edited or replaced"):
        fill(final, "two", lambda: (final / name).write_text("theirs"))
    assert (final / name).read_text() == "theirs"


def test_a_parent_that_is_gone_is_told(place: Path) -> None:
    deep = place / "deep"
    with pytest.raises(StorageError, match="removed or renamed while this run"):
        fill(deep / "out", "one", lambda: shutil.rmtree(deep))
    assert not deep.exists()
