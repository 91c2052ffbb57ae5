"""Settings of `prism eval labels`."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge

from prism_cli.configs.base import Option, StageConfig


@dataclass(frozen=True, kw_only=True)
class EvalLabelsConfig(StageConfig):
    """Rows exported beside the figures."""

    review: Annotated[
        int, Ge(0), Option("Rows for review: those where teacher and panel disagree most.")
    ] = 100
