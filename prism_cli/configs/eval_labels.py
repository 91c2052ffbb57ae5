"""Settings of `prism eval labels`."""

from pydantic import Field

from prism_cli.configs.base import StageConfig


class EvalLabelsConfig(StageConfig):
    """What is exported besides figures."""

    review: int = Field(
        100, ge=0, description="Rows for review: those where teacher and panel disagree most."
    )
