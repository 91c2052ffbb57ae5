"""Report of a worker on one shard."""

from dataclasses import dataclass, field
from typing import Any

from prism_cli.engine.summary import RunSummary
from prism_cli.errors import PrismError


@dataclass
class ShardReport:
    """Result of the work on one shard; can be pickled.

    Attributes:
        name: the job's name.
        summary: counts, usage and files of this shard alone.
        counted: figures of the stage, as `RowStage.take_counted` returns them.
        error: why the shard was left as it is; None if it is finished, now or before, or has
            pending rows.
    """

    name: str
    summary: RunSummary
    counted: dict[str, Any] = field(default_factory=dict)
    error: PrismError | OSError | None = None

    @property
    def worked(self) -> bool:
        """True if the rows were processed, not found finished."""
        return self.error is None and not self.summary.finished_before
