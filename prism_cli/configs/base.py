"""What every stage's settings have in common."""

from pydantic import BaseModel, ConfigDict, Field


class StageConfig(BaseModel):
    """Frozen and strict, without empty texts; holds what decides a stage's result, so it guards
    resume."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, str_min_length=1)

    seed: int = Field(0, description="Seed of every choice by lot.")


class Section(BaseModel):
    """A table inside a stage's settings, such as [lora]."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)
