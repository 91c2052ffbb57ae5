"""The quickstart's commands on fewer rows: every command with real models."""

import re
import shlex
import tomllib
from pathlib import Path

import orjson
import pytest

from prism_cli.bundled import SAMPLES
from prism_cli.exporting import comparison_pairs
from prism_cli.quickstart.results import panel as said_of_panel
from prism_cli.quickstart.steps import Step, prepare_folder, run_steps
from tests.door import prism

SMALLER = {
    r"--limit 300": "--limit 24",
    r"--limit 60": "--limit 6",
    r"--size 640": "--size 28",
    r"--dev-queries \d+": "--dev-queries 2 --set dev_share=0.3",
    r"--size tiny": "--size tiny --max-steps 2 --set log_steps=1 --set rows_per_step=4",
    r"--limit 50": "--limit 2",
    r"--top-k 10 ": "--top-k 2 ",
    r"--max-tokens 512": "--max-tokens 256",
    r"--max-new-tokens \d+": "--max-new-tokens 12 --limit 1",
}


def small_steps() -> list[Step]:
    steps = tomllib.loads((SAMPLES / "pipeline.toml").read_text(encoding="utf-8"))["step"]
    lines = "\n".join(step["run"] for step in steps)
    for pattern, replacement in SMALLER.items():
        lines, changed = re.subn(pattern, replacement, lines)
        assert changed, pattern
    return [Step("", line) for line in lines.splitlines()]


def in_own_process(step: Step) -> bool:
    """Whether a step starts a new interpreter, as `prism quickstart` does; one loads no model."""
    return step.run.split()[1] in ("collect", "rerank")


def rows(path: Path) -> list[dict[str, object]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.figures
def test_rows_go_through_every_stage_to_a_measured_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "demo"
    prepare_folder(folder)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(comparison_pairs, "_QUERIES", 2)  # of 16
    for step in small_steps():
        if in_own_process(step):
            run_steps(folder, [step])
        else:
            done = prism(*shlex.split(step.run)[1:])
            assert done.returncode == 0, (step.run, done.stderr)

    trained = rows(folder / "data" / "train.jsonl")
    assert {row["verdict"] for row in trained} == {"yes", "no"}
    assert all(
        row["evidence"] in f"{row['document']}" for row in trained if row["verdict"] == "yes"
    )
    log = rows(folder / "runs" / "tiny" / "log.jsonl")
    assert [line["step"] for line in log if "loss" in line] == [1, 2]
    assert (folder / "runs" / "tiny" / "curves.svg").is_file()
    styles = {row["query_style"] for row in rows(folder / "keywords.jsonl")}
    assert styles == {"keyword", "original"}
    panel = rows(folder / "panel.jsonl")
    assert [list(row["votes"]) for row in panel] == [["source", "st:minilm", "hf:smollm2"]] * 6  # type: ignore[call-overload]
    metrics = orjson.loads((folder / "labels" / "metrics.json").read_bytes())
    assert "too few rows to tell" in said_of_panel(metrics)
    (first, *_) = rows(folder / "reranked.jsonl")
    scores = [result["relevance_score"] for result in first["results"]]  # type: ignore[attr-defined]
    assert len(scores) == 5
    assert scores == sorted(scores, reverse=True)
    metrics = orjson.loads((folder / "eval" / "metrics.json").read_bytes())
    measured = ["bm25", "hf:smollm2", "hf:prism-tiny", "hf:prism-tiny fused", "runs/tiny"]
    assert list(metrics["ranking"]["corpus-test"]) == measured

    rerun = prism(
        "train", "data/train.jsonl", "-o", "runs/tiny", "--size", "tiny", "--model", "base",
        "--set", "learning_rate=3e-4", "--dev", "data/dev.jsonl",
    )  # fmt: skip
    assert rerun.returncode == 2, rerun.stderr
    assert "max_steps: was 2, is not set" in rerun.stderr
