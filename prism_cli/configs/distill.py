"""Settings of `prism distill`."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Interval

from prism_cli.configs.base import BeforeValidation, Option, StageConfig
from prism_cli.configs.shared import Device, MaxSentences, as_list, refuse_repeats


@dataclass(frozen=True, kw_only=True)
class DistillConfig(StageConfig):
    """Teachers, calibration of their scores, and the generator of texts."""

    teachers: Annotated[
        tuple[str, ...],
        BeforeValidation(as_list),
        Option(
            "Teacher that scores: provider/model of a reranker API; st:minilm, st:PATH, st:HUB_ID "
            "(bi-encoder or cross-encoder); source, the row's own label as 1 or 0 (source:2: 1 "
            "from grade 2). Repeat it for the mean over several.",
            names=("--teacher",),
        ),
    ] = ()
    calibration_exponent: Annotated[
        float | None,
        Interval(gt=0, le=1000),
        Option(
            "Exponent x in (0, 1000]: a teacher_score is mean ** x.",
            default="what is known for exactly these teachers, else 1.0",
        ),
    ] = None
    calibrate: Annotated[
        str | None,
        Option(
            "Rows with verdicts and scores of these teachers: fit the exponent so that 0.5 "
            "separates yes from no best.",
            metavar="PATH",
        ),
    ] = None
    generator: Annotated[
        str | None,
        Option(
            "Generator of contribution and evidence for rows with the verdict yes: provider/model "
            "of a chat model, hf:PATH, extractive (the document's sentences closest to the query), "
            "or source (the corpus's own texts)."
        ),
    ] = None
    min_fidelity: Annotated[
        float | None,
        Interval(ge=0, le=1),
        Option(
            "Least share of the evidence's numbers, dates, names and quotations that the document "
            "must contain; below it another answer is requested, at most three times."
        ),
    ] = None
    max_sentences: MaxSentences = 2
    device: Device = "auto"

    def __post_init__(self) -> None:
        refuse_repeats(self.teachers, "each teacher scores once")
        if self.calibrate is not None and self.calibration_exponent is not None:
            raise ValueError("calibrate and calibration_exponent are both given; give one")
        if not self.teachers and (self.calibrate or self.calibration_exponent is not None):
            raise ValueError("a calibration is given, but no teacher (--teacher SPEC)")
        if self.generator is None and self.min_fidelity is not None:
            raise ValueError("min_fidelity is given, but no generator (--generator SPEC)")
