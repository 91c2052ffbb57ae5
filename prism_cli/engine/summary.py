"""What a run did, and the exit code that this gives."""

from dataclasses import asdict, dataclass, field
from typing import Any

from prism_cli.engine.answering import Tally
from prism_cli.engine.reasons import Reasons, RejectExamples
from prism_cli.engine.shard import Counts
from prism_cli.errors import LockedError, RefusedOutputsError

DEFAULT_MAX_REJECTS = 0.01


@dataclass
class RunSummary:
    """What a run did, over all its outputs.

    Attributes:
        refused: tells of the outputs that were left as they are; None where there are none.
        inputs_gone: outputs in the same folder whose input is there no more, with its name.
    """

    stage: str
    outputs: list[str] = field(default_factory=list)
    finished_before: list[str] = field(default_factory=list)
    unpublished: list[str] = field(default_factory=list)
    side_files: list[str] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)
    usage: Tally = field(default_factory=Tally)
    figures: dict[str, Any] = field(default_factory=dict)
    pending_reasons: Reasons = field(default_factory=Reasons)
    reject_examples: RejectExamples = field(default_factory=RejectExamples)
    seconds: float = 0.0
    max_rejects: float = DEFAULT_MAX_REJECTS
    accept_pending: bool = False
    rows_before: int = 0
    rejected_before: int = 0
    refused: RefusedOutputsError | None = None
    inputs_gone: list[tuple[str, str]] = field(default_factory=list)

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
            "usage": asdict(self.usage),
            "figures": self.figures,
            "pending_reasons": self.pending_reasons,
            "refused": str(self.refused) if self.refused else None,
            "inputs_gone": dict(self.inputs_gone),
            "reject_examples": self.reject_examples,
            "seconds": round(self.seconds, 3),
            "exit_code": self.exit_code,
        }
