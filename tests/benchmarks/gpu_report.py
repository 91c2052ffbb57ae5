"""The report of gpu_check: JSON, and Markdown for RESULTS.md."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks.gpu_worker import OUT_OF_MEMORY, Outcome, Task

Row = dict[str, Any]
COMMAND = "python -m tests.benchmarks.gpu_check"


class Report:
    """The outcomes so far, in two files of a folder.

    Attributes:
        failed: names of checks that failed, and of parts that ended in an error.
    """

    def __init__(self, folder: Path, tiny: bool) -> None:
        self._folder, self._tiny = folder, tiny
        self._card: Row = {}
        self._rows: dict[str, list[Row]] = {}
        self._missing: list[Row] = []
        self.failed: list[str] = []

    def skip(self, task: Task, reason: str) -> None:
        """Add a part that was not run."""
        self._missing.append({"part": task.name, "reason": reason})
        self._write()

    def add(self, task: Task, outcome: Outcome) -> None:
        """Add what became of a part."""
        if outcome.error:
            self._missing.append({"part": task.name, "reason": outcome.error})
            if outcome.error != OUT_OF_MEMORY:
                self.failed.append(task.name)
        elif isinstance(outcome.value, str):
            self._missing.append({"part": task.name, "reason": outcome.value})
        elif task.kind == "card":
            self._card = outcome.value
        else:
            rows = [asdict(one) if is_dataclass(one) else one for one in outcome.value]  # type: ignore[arg-type]
            self._rows.setdefault(task.kind, []).extend(map(self._with_shares, rows))
            self.failed += [row["name"] for row in rows if not row.get("passed", True)]
        self._write()

    def _with_shares(self, row: Row) -> Row:
        if "flops" in row and self._card:
            row["share_of_measured_peak"] = row["flops"] / self._card["measured_peak"]
            if known := self._card["known_peak"]:
                row["share_of_known_peak"] = row["flops"] / known
        return row

    def _write(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        content = {
            **self._card, "tiny": self._tiny, "failed": self.failed, "missing": self._missing,
            **self._rows,
        }  # fmt: skip
        (self._folder / "gpu-check.json").write_text(json.dumps(content, indent=2) + "\n")
        (self._folder / "gpu-check.md").write_text(self.markdown())

    def markdown(self) -> str:
        """Return the section for RESULTS.md."""
        parts = [self._heading()]
        for kind, (title, columns) in _TABLES.items():
            if rows := self._rows.get(kind):
                parts.append(f"{title}\n\n{_table(columns, rows)}")
        if self._missing:
            columns = {"not measured": _text("part"), "why": _text("reason")}
            parts.append(_table(columns, self._missing))
        return "\n\n".join(parts) + "\n"

    def _heading(self) -> str:
        card = self._card
        if not card:
            return "## GPU"
        versions = ", ".join(f"{name} {found}" for name, found in card["versions"].items())
        known = f", {card['known_peak'] / 1e12:.0f} by its data sheet" if card["known_peak"] else ""
        return (
            f"## {card['card']}, {card['date']}\n\n`{COMMAND}`, random weights"
            f"{' of tiny shapes' if self._tiny else ''}. {versions}. "
            f"A large matrix product reached {card['measured_peak'] / 1e12:.3g} TFLOP/s{known}."
        )


Column = Callable[[Row], str]


def _text(name: str) -> Column:
    return lambda row: str(row.get(name, ""))


def _number(name: str) -> Column:
    return lambda row: f"{row[name]:,.3g}" if row[name] < 100 else f"{row[name]:,.0f}"


def _ratio(name: str) -> Column:
    return lambda row: f"{row[name]:.2f} ×"


def _shares(row: Row) -> str:
    shares = [row.get("share_of_measured_peak"), row.get("share_of_known_peak")]
    return ", ".join(f"{share:.1%}" for share in shares if share is not None)


def _yes(name: str) -> Column:
    return lambda row: "yes" if row[name] else "no"


_TABLES: dict[str, tuple[str, dict[str, Column]]] = {
    "checks": (
        "Checks against the CPU in float32, one row at a time:",
        {
            "check": _text("name"),
            "bound": _text("bound"),
            "found": _text("found"),
            "": lambda row: "passed" if row["passed"] else "**FAILED**",
        },
    ),
    "scoring": (
        "Scoring, 20 documents a query; beside a padded batch of 32, as sentence-transformers has:",
        {
            "model": _text("model"),
            "attention": _text("attention"),
            "tokens of a document": _text("document_tokens"),
            "pairs/s": _number("pairs_per_second"),
            "tokens/s": _number("tokens_per_second"),
            "share of the peak, measured and published": _shares,
            "padded pairs/s": _number("padded_pairs_per_second"),
            "ratio": _ratio("ratio"),
            "largest difference of logits": _number("largest_difference"),
        },
    ),
    "vllm": (
        "Scoring by vLLM with prefix caching, the same shapes:",
        {
            "model": _text("model"),
            "tokens of a document": _text("document_tokens"),
            "pairs/s": _number("pairs_per_second"),
        },
    ),
    "evidence": (
        "Texts written together, scoring included, beside `generate` one by one:",
        {
            "model": _text("model"),
            "texts": _text("texts"),
            "drafts": _yes("drafts"),
            "tokens/s": _number("tokens_per_second"),
            "tokens of a text and pass": _number("tokens_per_pass"),
            "one by one": _number("loop_tokens_per_second"),
            "ratio": _ratio("ratio"),
        },
    ),
    "training": (
        "Training by the recipe 2b; recomputed activations do not count as work:",
        {
            "model": _text("model"),
            "method": _text("method"),
            "attention": _text("attention"),
            "checkpointing": _yes("checkpointing"),
            "packed": _yes("packed"),
            "rows/s": _number("rows_per_second"),
            "tokens/s": _number("tokens_per_second"),
            "share of the peak, measured and published": _shares,
            "peak memory, GiB": _number("peak_memory_gib"),
        },
    ),
}


def _table(columns: dict[str, Column], rows: Sequence[Row]) -> str:
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    lines += [f"| {' | '.join(cell(row) for cell in columns.values())} |" for row in rows]
    return "\n".join(lines)
