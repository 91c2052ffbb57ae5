"""Settings of `prism eval quality`."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge

from prism_cli.configs.base import BeforeValidation, Option, StageConfig
from prism_cli.configs.shared import Device, Gold, MaxSentences, Texts, as_names

Baseline = Literal["document", "lead", "extractive"]


@dataclass(frozen=True, kw_only=True)
class EvalQualityConfig(StageConfig):
    """Whose texts are measured, and against what."""

    texts: Texts = "auto"
    gold: Gold = field(default_factory=list)
    baselines: Annotated[
        list[Baseline] | None,
        BeforeValidation(as_names),
        Option(
            "What the evidence is compared with: document (all of it), lead (its first sentences "
            "at equal length), extractive (its sentences closest to the query); separated by "
            "commas, or none.",
            comma_separated=True,
            default="all three with --gold, none without",
        ),
    ] = None
    judge: Annotated[
        str | None,
        Option(
            "Model that rates contribution and evidence from 1 to 5 (six ratings) and reports "
            "severe inventions: provider/model, or hf:PATH in this process."
        ),
    ] = None
    allow_same_judge: Annotated[
        bool,
        Option("Let a judge rate that labelled the rows or wrote their texts; the report says so."),
    ] = False
    max_sentences: Annotated[
        MaxSentences, Option("Sentences of the extractive baseline.", hidden=True)
    ] = 2
    processes: Annotated[
        int | None,
        Ge(1),
        Option(
            "Processes that measure texts, for inputs of more than 2,048 rows; about 350 MB each.",
            default="one for each core, at most 16",
            recorded=False,
        ),
    ] = None
    device: Device = "auto"

    @property
    def chosen_baselines(self) -> tuple[str, ...]:
        """Baselines that are measured."""
        if self.baselines is not None:
            return tuple(self.baselines)
        return ("document", "lead", "extractive") if self.gold else ()
