"""`prism report`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from prism_cli.evaluation.metrics_file import METRICS
from prism_cli.evaluation.ranking.per_query import read_per_query, write_per_query
from prism_cli.shards.manifest import Manifest, manifest_path
from tests.reporting.evaluations import quality, ranking, written


def prism(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "prism_cli", "report", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)


def test_two_evaluations_are_compared(tmp_path: Path) -> None:
    for name, shift in (("plain", 0.0), ("rewritten", 0.1)):
        folder = written(tmp_path / name, ranking({"a": {"m": 0.5 + shift}}))
        values = {"a": {"m": [shift + 0.1 * (one % 4) for one in range(12)]}}
        write_per_query(folder, "nDCG@10", values, {"a": [f"q{one}" for one in range(12)]})
    done = prism(tmp_path, "plain", "rewritten", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["figures"][0]["differences"][1] == pytest.approx(0.1)
    assert found["tests"][0]["queries"] == 12
    page = (tmp_path / "comparison.html").read_bytes()
    assert b"prism report plain rewritten" in page
    shown = prism(tmp_path, "plain", "rewritten", "-o", "again.html")
    assert (tmp_path / "again.html").read_bytes() == page
    assert "+0.1000" in shown.stdout
    assert "paired tests" in shown.stdout


def test_kinds_do_not_mix(tmp_path: Path) -> None:
    written(tmp_path / "one", ranking({"a": {"m": 0.5}}))
    written(tmp_path / "two", quality(0.5))
    done = prism(tmp_path, "one", "two")
    assert done.returncode == 2
    assert "one is ranking, two is quality" in done.stderr
    assert not (tmp_path / "comparison.html").exists()


@pytest.mark.parametrize("words", [("one", "./one"), ("one", "-o", "rows.jsonl")])
def test_words_that_make_no_sense(tmp_path: Path, words: tuple[str, ...]) -> None:
    written(tmp_path / "one", quality(0.5))
    assert prism(tmp_path, *words).returncode == 2


def test_an_unfinished_evaluation_names_the_command_that_finishes_it(tmp_path: Path) -> None:
    folder = written(tmp_path / "one", quality(0.5))
    Manifest("quality", {}, [], finished=False).write(manifest_path(folder / METRICS))
    done = prism(tmp_path, "one")
    assert done.returncode == 3
    assert "`prism eval quality … -o one`" in done.stderr


def test_no_evaluation_at_all(tmp_path: Path) -> None:
    done = prism(tmp_path, "nowhere")
    assert done.returncode == 3
    assert "no such file" in done.stderr


def test_values_of_queries_are_read_as_written(tmp_path: Path) -> None:
    write_per_query(tmp_path, "nDCG@10", {"a": {"m": [0.5, 1.0]}}, {"a": ["q 1", "ä"]})
    assert read_per_query(tmp_path) == {("a", "m"): {"q 1": 0.5, "ä": 1.0}}
    assert read_per_query(tmp_path / "none") == {}
