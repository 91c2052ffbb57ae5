"""Settings of `prism distill`."""

from typing import Self

from pydantic import Field, model_validator

from prism_cli.configs.base import StageConfig


class DistillConfig(StageConfig):
    """Who scores, how scores are calibrated, and who writes the texts."""

    teachers: tuple[str, ...] = Field(
        (),
        description="Who scores: provider/model of a reranker API, st:minilm, st:PATH, st:HUB_ID "
        "(a sentence-transformers bi-encoder or a cross-encoder), or source, the row's own label; "
        "the score is the mean over them.",
    )
    calibration_exponent: float | None = Field(
        None,
        gt=0,
        le=1000,
        allow_inf_nan=False,
        description="teacher_score = mean ** this, in (0, 1000]; by default what is known for "
        "exactly these teachers, else 1.0.",
    )
    calibrate: str | None = Field(
        None,
        min_length=1,
        description="Rows with verdicts and scores of these teachers, to fit the exponent on.",
    )
    generator: str | None = Field(
        None,
        min_length=1,
        description="Who writes contribution and evidence of rows with the verdict yes: "
        "provider/model of a chat model, hf:PATH, or extractive.",
    )
    min_fidelity: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Least share of the evidence's numbers, dates, names and quotations that "
        "stand in the document; below it another answer is asked for, three times at the most.",
    )
    max_sentences: int = Field(
        2, ge=1, le=50, description="Sentences of extractive evidence, from 1 to 50."
    )
    device: str = Field(
        "auto",
        min_length=1,
        description="Where local models compute: auto (CUDA if there), cpu, cuda, cuda:1.",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        twice = sorted({one for one in self.teachers if self.teachers.count(one) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} stands twice; each teacher scores once")
        if self.calibrate is not None and self.calibration_exponent is not None:
            raise ValueError("calibrate and calibration_exponent are both given; give one")
        if not self.teachers and (self.calibrate or self.calibration_exponent is not None):
            raise ValueError("a calibration is given, but no teacher (--teacher SPEC)")
        if self.generator is None and self.min_fidelity is not None:
            raise ValueError("min_fidelity is given, but no generator (--generator SPEC)")
        return self
