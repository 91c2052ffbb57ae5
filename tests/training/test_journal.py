"""log.jsonl and its picture."""

from pathlib import Path

import pytest

from prism_cli.errors import StorageError
from prism_cli.training.journal import Journal
from tests.factories import read_jsonl


def test_lines_beyond_the_step_that_a_run_resumes_from_are_dropped(tmp_path: Path) -> None:
    first = Journal(tmp_path, 0)
    for step in (1, 2, 3):
        first.add(step, {"loss": 1 / step})
    assert len(read_jsonl(tmp_path / "log.jsonl")) == 3
    again = Journal(tmp_path, 2)
    again.add(3, {"loss": 0.3})
    assert [line["step"] for line in read_jsonl(tmp_path / "log.jsonl")] == [1, 2, 3]
    assert read_jsonl(tmp_path / "log.jsonl")[-1]["loss"] == 0.3


def test_a_line_torn_by_a_kill_is_dropped(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 0)
    journal.add(1, {"loss": 1.0})
    with (tmp_path / "log.jsonl").open("ab") as file:
        file.write(b'{"step": 2, "lo')
    Journal(tmp_path, 5).add(2, {"loss": 0.5})
    assert [line["step"] for line in read_jsonl(tmp_path / "log.jsonl")] == [1, 2]


def test_dev_figures_are_found_by_their_step(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 0)
    journal.add(4, {"loss": 1.0})
    assert journal.dev_at(4) is None
    journal.add(4, {"rows": 8, "auc": 0.7})
    assert Journal(tmp_path, 4).dev_at(4) == {"rows": 8, "auc": 0.7}
    assert Journal(tmp_path, 3).dev_at(4) is None


def test_the_picture_shows_what_there_is(tmp_path: Path) -> None:
    empty = Journal(tmp_path, 0)
    empty.draw()
    assert not (tmp_path / "curves.svg").exists()
    for step in (1, 2, 3):
        empty.add(step, {"loss": 3.0 / step, "pointwise_loss": 1.0, "learning_rate": 1e-3})
    empty.draw()
    alone = (tmp_path / "curves.svg").read_bytes()
    assert alone.startswith(b"<?xml")
    empty.draw()
    assert (tmp_path / "curves.svg").read_bytes() == alone
    empty.add(3, {"rows": 8, "auc": 0.7, "score_mse": 0.1})
    empty.draw()
    once = (tmp_path / "curves.svg").read_text()
    assert "<!-- AUC, measured once: 0.7 (step 3) -->" in once
    assert once.count('<g id="line2d_') == 2 * alone.count(b'<g id="line2d_') // 2, "no lone dot"
    empty.add(4, {"rows": 8, "auc": 0.8, "score_mse": 0.1})
    empty.draw()
    twice = (tmp_path / "curves.svg").read_text()
    assert "measured once" not in twice
    assert twice.count('<g id="line2d_') > once.count('<g id="line2d_')
    assert not (tmp_path / "speed.svg").exists()


def test_a_measurement_that_comes_late_stands_before_the_losses_of_its_step(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 0)
    for step in (2, 4):
        journal.add(step, {"loss": 1.0})
    journal.add(4, {"rows": 8, "auc": 0.7})
    journal.add(5, {"loss": 1.0})
    found = [(line["step"], "rows" in line) for line in read_jsonl(tmp_path / "log.jsonl")]
    assert found == [(2, False), (4, True), (4, False), (5, False)]


def test_every_figure_has_its_panel(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 0)
    timed = {"tokens_per_second": 900.0, "rows_per_second": 3.0, "peak_memory_bytes": 3 << 30}
    step = {"loss": 1.0, "margin": 0.5, "yes_logit": 0.2, "no_logit": -0.3, "grad_norm": 0.7}
    for number in (1, 2):
        journal.add(number, step | {"learning_rate": 1e-3, "timed": timed})
        journal.add(number, {"rows": 8, "auc": 0.7, "score_mse": 0.1, "target_loss": 2.0})
    journal.draw()
    panels = [
        (tmp_path / name).read_text().count('<g id="axes_') for name in ("curves.svg", "speed.svg")
    ]
    assert panels == [7, 2]


def test_measurements_are_counted_from_a_step_on(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 0)
    for step in (2, 4, 6):
        journal.add(step, {"loss": 1.0})
        journal.add(step, {"rows": 8, "auc": 0.7})
    assert [journal.measured_after(step) for step in (0, 2, 4, 6)] == [3, 2, 1, 0]
    assert Journal(tmp_path, 4).measured_after(2) == 1


def test_a_line_that_the_disk_refuses_is_told(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 0)
    (tmp_path / "log.jsonl").unlink()
    (tmp_path / "log.jsonl").mkdir()
    with pytest.raises(StorageError, match=r"log\.jsonl: cannot be written"):
        journal.add(1, {"loss": 1.0})


def test_collapsed_measurements_are_counted_from_the_last_one_back(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 0)
    assert journal.collapsed_in_a_row() == 0
    for step, more in enumerate([{"collapsed": "x"}, {}, {"collapsed": "x"}, {"collapsed": "y"}]):
        journal.add(step, {"rows": 8, **more})
        journal.add(step, {"loss": 1.0})
    assert journal.collapsed_in_a_row() == 2
    assert Journal(tmp_path, 1).collapsed_in_a_row() == 0
    assert Journal(tmp_path, 0).collapsed_in_a_row() == 1


def test_what_knows_nothing_is_drawn_beside_the_curves(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 0)
    for step in (1, 2):
        journal.add(step, {"rows": 8, "score_mse": 0.1})
    journal.draw()
    alone = (tmp_path / "curves.svg").read_bytes()
    for step in (1, 2):
        journal.add(step, {"rows": 8, "score_mse": 0.1, "baseline": {"score_mse": 0.2}})
    journal.draw()
    assert (tmp_path / "curves.svg").read_bytes() != alone
