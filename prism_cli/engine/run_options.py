"""Options of a run of a row stage."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from prism_cli.engine.rejects import DEFAULT_MAX_REJECTS

IfChanged = Literal["refuse", "redo"]


@dataclass(frozen=True)
class RunOptions:
    """Options of a run; of these `config`, `fields` and `limit` also decide the output.

    Attributes:
        output: file or directory; None for the default path; Path("-") for standard output.
        max_rejects: share of rows, 0 to 1, above which the exit code is 4.
        config: the resolved config; a changed one is refused unless `overwrite`.
        dependencies: other files that decide the rows (corpus, qrels).
        fields: contract name -> name in the input.
        accept_lost_replies: run even if the ledger lacks replies that were paid for.
        retry_final: ask requests again that were finally refused before this run.
        max_cost: US dollars.
        batch: send requests as batch files to models that take them.
        part: (index of this process, number of processes); each processes different outputs.
        shared: other processes work on the same outputs.
        shard_attempts: killed attempts in a row after which an output is left as it is; None for
            any number.
        again: identity of the command, for the marks of a run with `overwrite` over several
            outputs; set by `plan_run`.
        if_changed: "redo" makes outputs again whose input or config changed; "refuse" keeps them.
    """

    output: Path | None = None
    limit: int | None = None
    overwrite: bool = False
    fresh: bool = False
    accept_lost_replies: bool = False
    max_rejects: float = DEFAULT_MAX_REJECTS
    fields: Mapping[str, str] = field(default_factory=dict)
    accept_pending: bool = False
    max_seconds: float | None = None
    max_cost: float | None = None
    retry_final: bool = False
    batch: bool = False
    part: tuple[int, int] = (0, 1)
    shared: bool = False
    shard_attempts: int | None = None
    again: str = ""
    if_changed: IfChanged = "refuse"
    quiet: bool = False
    config: Mapping[str, Any] = field(default_factory=dict)
    dependencies: Sequence[Path] = ()

    @property
    def settings(self) -> dict[str, Any]:
        """Settings that decide the rows, besides inputs and dependencies."""
        return {**self.config, "limit": self.limit, "fields": dict(self.fields)}
