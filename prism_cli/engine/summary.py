"""What a run did, and the exit code that this gives."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from prism_cli.engine.counts import Counts, UsageTotals
from prism_cli.engine.reasons import Reasons, RejectExamples
from prism_cli.errors import LockedError, RefusedOutputsError

DEFAULT_MAX_REJECTS = 0.01


@dataclass
class RunSummary:
    """What a run did, over all its outputs.

    Attributes:
        refused: tells of the outputs that were left as they are; None where there are none.
        rejects_before: rejected rows and all rows of outputs finished before, by the file of the
            rejected ones, where there are any.
        inputs_gone: outputs in the same folder whose input is there no more, with its name.
    """

    stage: str
    outputs: list[str] = field(default_factory=list)
    finished_before: list[str] = field(default_factory=list)
    unpublished: list[str] = field(default_factory=list)
    side_files: list[str] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)
    usage: UsageTotals = field(default_factory=UsageTotals)
    figures: dict[str, Any] = field(default_factory=dict)
    pending_reasons: Reasons = field(default_factory=Reasons)
    reject_examples: RejectExamples = field(default_factory=RejectExamples)
    seconds: float = 0.0
    max_rejects: float = DEFAULT_MAX_REJECTS
    accept_pending: bool = False
    rows_before: int = 0
    rejected_before: int = 0
    rejects_before: dict[str, tuple[int, int]] = field(default_factory=dict)
    refused: RefusedOutputsError | None = None
    inputs_gone: list[tuple[str, str]] = field(default_factory=list)

    def add_finished(self, outputs: Iterable[Path], rejects: Path, made: Mapping[str, Any]) -> None:
        """Outputs that were finished before, with the file of their rejected rows and their
        manifest."""
        rows, rejected = (made["counts"].get(name, 0) for name in ("rows", "rejected"))
        self.finished_before += map(str, outputs)
        self.rows_before += rows
        self.rejected_before += rejected
        if rejected:
            self.rejects_before[str(rejects)] = (rejected, rows)

    @property
    def exit_code(self) -> int:
        """2 or 3 where outputs were refused, 5 where rows are pending and nobody said that this is
        fine, 75 where other runs hold outputs, 4 where too many rows were rejected, now or when the
        outputs that were finished before were made."""
        refused = self.refused.exit_code if self.refused else 0
        if refused and refused != LockedError.exit_code:
            return refused
        if self.counts.pending and not self.accept_pending:
            return 5
        if refused:
            return refused
        rows = self.counts.rows + self.rows_before
        return 4 if self.counts.rejected + self.rejected_before > self.max_rejects * rows else 0

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "stage": self.stage,
            "outputs": self.outputs,
            "finished_before": self.finished_before,
            "unpublished": self.unpublished,
            "side_files": self.side_files,
            "counts": self.counts.as_dict(),
            "rows_before": self.rows_before,
            "rejected_before": self.rejected_before,
            "usage": asdict(self.usage),
            "figures": self.figures,
            "pending_reasons": self.pending_reasons,
            "refused": str(self.refused) if self.refused else None,
            "inputs_gone": dict(self.inputs_gone),
            "reject_examples": self.reject_examples,
            "seconds": round(self.seconds, 3),
            "exit_code": self.exit_code,
        }
