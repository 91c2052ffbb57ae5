"""Settings of `prism eval quality`."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from prism_cli.configs.base import BeforeValidation, Option, StageConfig
from prism_cli.configs.shared import Device, MaxSentences, as_list

Baseline = Literal["document", "lead", "extractive"]


def _as_baselines(value: object) -> object:
    if isinstance(value, str):
        value = [] if value == "none" else [name.strip() for name in value.split(",")]
    return list(dict.fromkeys(value)) if isinstance(value, list) else value


@dataclass(frozen=True, kw_only=True)
class EvalQualityConfig(StageConfig):
    """Whose texts are measured, and against what."""

    texts: Annotated[
        Literal["auto", "predicted", "labels"],
        Option("Whose texts; auto: the prediction where a row has one, else the label."),
    ] = "auto"
    gold: Annotated[
        list[str],
        BeforeValidation(as_list),
        Option(
            'People\'s marks, JSONL: {"query_id", "doc_id" (optional), "answers": [...], '
            '"rationales": ["sentence", ...], "answerable": true or false}; also answers.jsonl '
            "and impossible.jsonl beside a BEIR folder; repeatable."
        ),
    ] = field(default_factory=list)
    baselines: Annotated[
        list[Baseline] | None,
        BeforeValidation(_as_baselines),
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
        bool, Option("Let a judge rate that labelled the rows; the report says so.")
    ] = False
    max_sentences: Annotated[
        MaxSentences, Option("Sentences of the extractive baseline.", hidden=True)
    ] = 2
    device: Device = "auto"

    @property
    def chosen_baselines(self) -> tuple[str, ...]:
        """Baselines that are measured."""
        if self.baselines is not None:
            return tuple(self.baselines)
        return ("document", "lead", "extractive") if self.gold else ()
