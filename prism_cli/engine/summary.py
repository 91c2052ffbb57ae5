"""Summary of a run, and its exit code."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from prism_cli.engine.counts import Counts, UsageTotals
from prism_cli.engine.output_files import side_path
from prism_cli.engine.reasons import Reasons, RejectExamples
from prism_cli.engine.rejects import DEFAULT_MAX_REJECTS, too_many_rejects
from prism_cli.errors import REJECTS_EXIT_CODE, LockedError, ProviderError, RefusedOutputsError


@dataclass
class RunSummary:
    """Summary of a run over all its outputs.

    Attributes:
        usage: of this run.
        spent: asked and usd of all attempts at the outputs that this run worked on, as in their
            manifests and in `prism ledger stats`.
        refused: error that lists the outputs left as they are; None if there are none.
        rejects_before: (rejected rows, all rows) of outputs finished before, by file of rejects;
            only outputs with rejects.
        by_others: outputs that other processes finished while this run worked; they are in
            `finished_before`.
        inputs_gone: outputs in the same folder whose input no longer exists, with its name.
    """

    stage: str
    outputs: list[str] = field(default_factory=list)
    finished_before: list[str] = field(default_factory=list)
    unpublished: list[str] = field(default_factory=list)
    side_files: list[str] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)
    usage: UsageTotals = field(default_factory=UsageTotals)
    spent: Counter[str] = field(default_factory=Counter)
    figures: dict[str, Any] = field(default_factory=dict)
    pending_reasons: Reasons = field(default_factory=Reasons)
    reject_examples: RejectExamples = field(default_factory=RejectExamples)
    seconds: float = 0.0
    max_rejects: float = DEFAULT_MAX_REJECTS
    accept_pending: bool = False
    rows_before: int = 0
    rejected_before: int = 0
    by_others: int = 0
    rejects_before: dict[str, tuple[int, int]] = field(default_factory=dict)
    refused: RefusedOutputsError | None = None
    inputs_gone: list[tuple[str, str]] = field(default_factory=list)

    def add_finished(
        self, outputs: Iterable[Path], record_path: Path, manifest: Mapping[str, Any]
    ) -> None:
        """Add the outputs of a job that were finished before, with their manifest."""
        rows, rejected = (manifest["counts"].get(name, 0) for name in ("rows", "rejected"))
        self.finished_before += map(str, outputs)
        self.rows_before += rows
        self.rejected_before += rejected
        if rejected:
            self.rejects_before[str(side_path(record_path, "rejects"))] = (rejected, rows)

    def add(self, other: "RunSummary") -> None:
        """Add what became of another shard; its figures are the stage's business."""
        for name in ("outputs", "finished_before", "unpublished", "side_files"):
            getattr(self, name).extend(getattr(other, name))
        self.counts.add(other.counts)
        self.usage.add(other.usage)
        self.spent.update(other.spent)
        for reason, rows in other.pending_reasons.items():
            self.pending_reasons.add(reason, rows)
        self.reject_examples.add_all(other.reject_examples)
        self.rows_before += other.rows_before
        self.rejected_before += other.rejected_before
        self.rejects_before |= other.rejects_before

    @property
    def exit_code(self) -> int:
        """2 or 3 if outputs were refused, 5 if rows are pending without `accept_pending`, 75 if
        other runs hold outputs, 4 if too many rows were rejected, now or when outputs that were
        finished before were made."""
        refused = self.refused.exit_code if self.refused else 0
        if refused and refused != LockedError.exit_code:
            return refused
        if self.counts.pending and not self.accept_pending:
            return ProviderError.exit_code
        if refused:
            return refused
        rows = self.counts.rows + self.rows_before
        rejected = self.counts.rejected + self.rejected_before
        return REJECTS_EXIT_CODE if too_many_rejects(rejected, rows, self.max_rejects) else 0

    def to_json(self) -> dict[str, Any]:
        """Return the object of `--json`."""
        return {
            "stage": self.stage,
            "outputs": self.outputs,
            "finished_before": self.finished_before,
            "unpublished": self.unpublished,
            "side_files": self.side_files,
            "counts": self.counts.as_dict(),
            "rows_before": self.rows_before,
            "rejected_before": self.rejected_before,
            "by_others": self.by_others,
            "usage": asdict(self.usage),
            "spent": self.spent,
            "figures": self.figures,
            "pending_reasons": self.pending_reasons,
            "refused": str(self.refused) if self.refused else None,
            "inputs_gone": dict(self.inputs_gone),
            "reject_examples": self.reject_examples,
            "seconds": round(self.seconds, 3),
            "exit_code": self.exit_code,
        }
