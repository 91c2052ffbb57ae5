"""Settings of `prism relabel`."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Interval, Len

from prism_cli.configs.base import BeforeValidation, Option, StageConfig
from prism_cli.configs.shared import as_list, refuse_repeats
from prism_cli.domain.defaults import LARGEST_LEARNED_PANEL

PAPER_PANEL = (
    "deepseek/deepseek-chat",
    "bailian/qwen3.5-397b-a17b",
    "openrouter/google/gemini-3-flash-preview",
    "openrouter/anthropic/claude-haiku-4.5",
    "openrouter/openai/gpt-5.4-mini",
)
"""The paper's five judges in price order (arXiv 2604.23734)."""


@dataclass(frozen=True, kw_only=True)
class RelabelConfig(StageConfig):
    """Panel of judges and its vote."""

    judges: Annotated[
        tuple[str, ...],
        BeforeValidation(as_list),
        Len(1),
        Option(
            "Judge of the panel: provider/model; source: the row's own label (source:2: yes from "
            "grade 2); in this process hf:PATH (a chat model, with a chat template), st:PATH, "
            "st:PATH:THRESHOLD. Repeat it for a panel, cheapest first.",
            names=("--judge",),
            default="the paper's five judges",
        ),
    ] = PAPER_PANEL
    add_judges: Annotated[
        tuple[str, ...],
        BeforeValidation(as_list),
        Option(
            "Judge that joins the panel of rows that are labelled already; the others are not "
            "asked again.",
            names=("--add-judge",),
        ),
    ] = ()
    vote: Annotated[
        Literal["majority", "soft"],
        Option(
            "majority: more than half of the panel's size, stopped as soon as it is reached or "
            "out of reach. soft: all judges, by the mean of their probabilities."
        ),
    ] = "majority"
    stop: Annotated[
        Literal["settled", "posterior"],
        Option(
            "settled: when further votes cannot change the verdict. posterior: when another "
            "verdict is less likely than --risk, by the judges' votes on audit rows; next is "
            "the judge of the lowest expected cost of a settled verdict.",
            added=True,
        ),
    ] = "settled"
    risk: Annotated[
        float,
        Interval(gt=0, lt=0.5),
        Option(
            "Accepted chance of a verdict other than the full panel's.",
            added=True,
        ),
    ] = 0.01
    prior: Annotated[
        Literal["none", "teacher"],
        Option(
            "teacher: its score is a vote, calibrated on audit rows.",
            added=True,
        ),
    ] = "none"
    audit_from: Annotated[
        tuple[str, ...],
        BeforeValidation(as_list),
        Option(
            "Earlier output whose audit rows --stop posterior uses, too; repeatable.",
            metavar="ROWS",
            added=True,
        ),
    ] = ()
    rubric: Annotated[
        str | None, Option("Text file with another rubric for chat models.", metavar="PATH")
    ] = None
    pack_questions: Annotated[
        Literal["auto"] | Annotated[int, Ge(1)],
        Option(
            "Documents of a query that share a call to a decision endpoint; auto: as many as it "
            "takes. It changes the answers: tests/benchmarks/packed_decisions.py measures by how "
            "much.",
            hidden=True,
        ),
    ] = 1
    audit: Annotated[
        float,
        Interval(ge=0, le=1),
        Option("Random share of rows on which every judge of a larger panel votes."),
    ] = 0.02

    def __post_init__(self) -> None:
        panel = (*self.judges, *self.add_judges)
        refuse_repeats(panel, "each judge has one vote")
        if self.stop == "posterior":
            self._check_posterior(len(panel))

    def _check_posterior(self, size: int) -> None:
        """Raise ValueError where the posterior rule does not fit the other settings."""
        if not 2 <= size <= LARGEST_LEARNED_PANEL:
            raise ValueError(
                f"--stop posterior: takes 2 to {LARGEST_LEARNED_PANEL} judges, not {size}"
            )
        if self.vote == "soft":
            raise ValueError(
                "--stop posterior: --vote soft asks every judge, so there is nothing to stop"
            )
        if not self.audit:
            raise ValueError("--stop posterior: learns from audit rows, so --audit must be above 0")
