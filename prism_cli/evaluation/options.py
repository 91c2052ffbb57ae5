"""Settings that all evaluations share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions:
    """Settings of an evaluation.

    Attributes:
        output: the output folder.
        config: the resolved settings; a change is refused unless `overwrite`.
        command: as provenance names it.
        overwrite: replace another evaluation in the folder.
    """

    output: Path
    config: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    command: Sequence[str] = ()
    overwrite: bool = False
    quiet: bool = False
