"""Correctness and speed of prism on one GPU, in at most 8 minutes, with random weights.

    python -m tests.benchmarks.gpu_check [-o gpu-check] [--minutes 8] [--device cuda] [--only NAME…]

Checks compare every pass with transformers' own on the CPU: shared prefixes, tails, the layers of
hybrids, texts with drafts, packed and long training rows with their gradients. Figures are of
Qwen3.5-0.8B, Qwen3.5-2B and Qwen3-4B in their published shapes: scoring beside a padded batch and
beside vLLM, evidence beside a batch-1 loop, training by method. Shares are of the bfloat16 peak
that a large matrix product reached here, and of the card's data sheet.

A check that fails makes the exit code 1. What no longer fits into the time is skipped, and what
does not fit into the card's memory is left out; the report says both. It is rewritten after each
part: DIR/gpu-check.json and DIR/gpu-check.md, a section for RESULTS.md. --tiny runs small shapes in
this process, on a CPU in seconds.
"""

import argparse
import platform
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tests.benchmarks.gpu_report import Report
from tests.benchmarks.gpu_worker import Outcome, Task, Worker, perform

FAMILIES = ("qwen3_5", "qwen3", "llama")
_VARIANTS = {"sharded": " FSDP 2", "packed": " padded", "attn": " varlen"}
_PACKAGES = ("transformers", "flash-linear-attention", "causal-conv1d", "flash-attn", "vllm")


def main(words: Sequence[str] | None = None) -> int:
    """Run it; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-o", "--output", type=Path, default=Path("gpu-check"))
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--only", nargs="+", help="parts whose name begins so")
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args(words)
    ends = time.monotonic() + 60 * options.minutes
    report = Report(options.output, bool(options.tiny))
    worker = Worker()

    def run(task: Task, limit: float) -> Outcome:
        return perform(task) if options.tiny else worker.run(task, limit)

    try:
        for task in planned(options.device, tiny=options.tiny):
            if options.only and not any(task.name.startswith(name) for name in options.only):
                continue
            _measure(task, run, ends, report)
            if task.kind == "card" and report.failed:
                break  # no such device
    finally:
        worker.close()
    print(report.markdown())
    for name in report.failed:
        print(f"failed: {name}", file=sys.stderr)
    return 1 if report.failed else 0


def planned(device: str, *, tiny: bool) -> list[Task]:
    """Return all parts, the most important first."""
    shared = {"device": device, "tiny": tiny}

    def part(title: str, kind: str, place: str, seconds: float, **more: Any) -> Task:
        module, function = f"tests.benchmarks.{place}".rsplit(".", 1)
        alone = "sharded" in more
        return Task(title, kind, module, function, shared | more, seconds, alone)

    def trained(model: str, method: str, recompute: bool, seconds: float, **more: Any) -> Task:
        title = f"training {model} {method}{' checkpointed' if recompute else ''}"
        title += "".join(words for key, words in _VARIANTS.items() if key in more)
        return part(
            title, "training", "gpu_training.training", seconds,
            name=model, method=method, recompute=recompute, **more,
        )  # fmt: skip

    def scored(model: str, seconds: float, **more: Any) -> Task:
        title = f"scoring {model}{' varlen' if more else ''}"
        return part(title, "scoring", "gpu_inference.scoring", seconds, name=model, **more)

    def written(model: str, seconds: float) -> Task:
        return part(f"evidence {model}", "evidence", "gpu_inference.evidence", seconds, name=model)

    checks = [
        part(f"checks {family}", "checks", "gpu_checks.check_family", 30, family=family)
        for family in FAMILIES[: 2 if tiny else None]
    ]
    first = [part("card", "card", "gpu_check.card", 10), *checks]
    rest = [
        scored("Qwen3.5-2B", 30),
        scored("Qwen3-4B", 40),
        scored("Qwen3-4B", 40, attn="varlen"),
        trained("Qwen3.5-2B", "lora", True, 25),
        trained("Qwen3.5-2B", "lora", False, 25),
        trained("Qwen3.5-2B", "lora", True, 25, attn="varlen"),
        written("Qwen3.5-2B", 30),
        written("Qwen3-4B", 40),
        trained("Qwen3.5-2B", "full", True, 30),
        part("vLLM Qwen3-4B", "vllm", "gpu_inference.vllm", 150, name="Qwen3-4B"),
        trained("Qwen3.5-0.8B", "lora", True, 25, sharded=True),
        trained("Qwen3-4B", "lora", True, 30),
        trained("Qwen3.5-2B", "lora", True, 25, packed=False),
        trained("Qwen3.5-2B", "full", False, 30),
        scored("Qwen3.5-2B", 30, attn="varlen"),
        trained("Qwen3-4B", "lora", True, 30, attn="varlen"),
        scored("Qwen3.5-0.8B", 20),
        trained("Qwen3-4B", "lora", False, 30),
        trained("Qwen3.5-0.8B", "full", False, 25),
    ]
    if tiny:  # one of each kind; FSDP needs a GPU, or is told that it has several
        names = {"scoring Qwen3.5-2B", "evidence Qwen3-4B", "training Qwen3.5-2B lora checkpointed"}
        names |= {"training Qwen3-4B lora", "vLLM Qwen3-4B"}
        rest = [task for task in rest if task.name in names]
    return first + rest


def card(device: str, tiny: bool) -> dict[str, Any]:
    """Return the name of the card, its peaks in FLOP/s, and versions."""
    import torch

    from tests.benchmarks.gpu_models import known_peak, measured_peak

    place = torch.device(device)
    name = platform.processor() or platform.machine()
    memory = 0
    if place.type == "cuda":
        properties = torch.cuda.get_device_properties(place)
        name, memory = properties.name, properties.total_memory
    versions = {"torch": torch.__version__, "CUDA": str(torch.version.cuda)}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "-"
    return {
        "card": name,
        "memory_gib": memory / 2**30,
        "date": datetime.now(UTC).date().isoformat(),
        "versions": versions,
        "measured_peak": measured_peak(place),
        "known_peak": known_peak(name),
    }


def _measure(
    task: Task, run: Callable[[Task, float], Outcome], ends: float, report: Report
) -> None:
    """Run a part if there is time for it, and add it to the report."""
    left = ends - time.monotonic()
    if left < task.seconds:
        report.skip(task, f"no time: takes about {task.seconds:.0f} s, {max(left, 0):.0f} s left")
        return
    print(f"{task.name} …", file=sys.stderr, flush=True)
    started = time.monotonic()
    outcome = run(task, min(left, 60 + 3 * task.seconds))
    outcome.seconds = time.monotonic() - started
    if outcome.trace:
        print(outcome.trace, file=sys.stderr, flush=True)
    report.add(task, outcome)


if __name__ == "__main__":
    sys.exit(main())
