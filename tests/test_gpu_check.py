"""`tests/benchmarks/gpu_check.py` with small shapes on the CPU, and its report of what fails."""

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from prism_cli.modeling import hybrid_pass
from tests.benchmarks import gpu_check, gpu_checks
from tests.benchmarks.gpu_report import Report
from tests.benchmarks.gpu_worker import OUT_OF_MEMORY, Task, Worker, perform

SHARED = {
    "scores of short documents, float32",
    "scores of long documents, float32",
    "scores, bfloat16",
    "texts token by token, float32",
    "training rows, float32",
    "training rows, float32, recomputed activations",
    "training rows, bfloat16",
    "training rows, adapters on bfloat16 weights",
}


def run_check(folder: Path, *words: str) -> tuple[int, dict[str, Any]]:
    code = gpu_check.main(["--tiny", "--device", "cpu", "-o", str(folder), *words])
    return code, json.loads((folder / "gpu-check.json").read_text())


def task(function: str, name: str = "part", kind: str = "scoring", **arguments: Any) -> Task:
    return Task(name, kind, __name__, function, arguments, 1.0)


@pytest.mark.slow
def test_every_check_passes_and_every_figure_is_positive(tmp_path: Path) -> None:
    code, report = run_check(tmp_path / "out")
    names = {check["name"] for check in report["checks"]}
    expected = {f"{family}: {name}" for family in ("qwen3", "qwen3_5") for name in SHARED}
    assert names == expected | {"qwen3: texts with drafts, float32"}
    assert all(check["passed"] for check in report["checks"])
    assert (code, report["failed"]) == (0, [])
    assert [one["part"] for one in report["missing"]] == ["vLLM Qwen3-4B"]
    for kind, figures in {
        "scoring": ("pairs_per_second", "tokens_per_second", "share_of_measured_peak"),
        "evidence": ("tokens_per_second", "loop_tokens_per_second", "ratio"),
        "training": ("rows_per_second", "share_of_measured_peak", "peak_memory_gib"),
    }.items():
        assert report[kind]
        assert all(row[figure] > 0 for row in report[kind] for figure in figures)
    assert all(row["largest_difference"] < 1e-4 for row in report["scoring"])
    assert all(row["last_loss"] < row["first_loss"] for row in report["training"])
    markdown = (tmp_path / "out" / "gpu-check.md").read_text()
    assert all(f"| {name} |" in markdown for name in names)
    assert "FAILED" not in markdown


def test_a_broken_pass_fails_the_run_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Padding decays the state of linear layers."""
    monkeypatch.setattr(
        hybrid_pass.HybridPass,
        "_skip_padding",
        lambda *_: torch.autograd.profiler.record_function(""),
    )
    monkeypatch.setattr(gpu_checks, "_training", lambda *_: ())
    code, report = run_check(tmp_path, "--only", "card", "checks qwen3_5")
    assert code == 1
    assert "qwen3_5: scores of short documents, float32" in report["failed"]
    assert "failed: qwen3_5: scores of short documents, float32" in capsys.readouterr().err
    assert "**FAILED**" in (tmp_path / "gpu-check.md").read_text()


@pytest.mark.parametrize(
    ("bound", "passed"), [(gpu_checks.FLOAT32, False), (gpu_checks.KERNELS, True)]
)
def test_kernels_may_exchange_tokens_as_near_as_their_logits_may_be(
    bound: float, passed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    replies = [SimpleNamespace(value={"text": "another"})]
    monkeypatch.setattr(gpu_checks, "_float32_bound", lambda *_: bound)
    monkeypatch.setattr(gpu_checks, "_difference", lambda *_: gpu_checks.KERNELS)
    monkeypatch.setattr(gpu_checks, "_replies", lambda *_: replies)
    forward = SimpleNamespace(supports_rollback=False, device="cuda")
    ours: Any = SimpleNamespace(_pass=forward, writer=SimpleNamespace())
    (check,) = gpu_checks._texts(None, ours, [("query", "document")])
    assert check.passed == passed


def test_parts_without_time_are_skipped_and_named(tmp_path: Path) -> None:
    code, report = run_check(tmp_path, "--minutes", "0")
    assert code == 0
    assert len(report["missing"]) == len(gpu_check.planned("cpu", tiny=True))
    assert "no time: takes about" in (tmp_path / "gpu-check.md").read_text()


def exhausted() -> None:
    raise torch.OutOfMemoryError("no memory for so much")


def test_running_out_of_memory_is_reported_and_fails_nothing(tmp_path: Path) -> None:
    report, part = Report(tmp_path, True), task("exhausted")
    report.add(part, perform(part))
    assert not report.failed
    assert f"| part | {OUT_OF_MEMORY} |" in report.markdown()


def test_a_measurement_that_ends_its_process_leaves_the_next_ones() -> None:
    worker = Worker()
    try:
        lost = worker.run(Task("lost", "scoring", "os", "_exit", {"status": 3}, 1.0), 60)
        found = worker.run(Task("found", "scoring", "os", "getpid", {}, 1.0), 60)
        slow = worker.run(Task("slow", "scoring", "time", "sleep", {"seconds": 60}, 1.0), 0.2)
    finally:
        worker.close()
    assert lost.error == "the process ended with 3"
    assert isinstance(found.value, int)
    assert found.value != os.getpid()
    assert slow.error
