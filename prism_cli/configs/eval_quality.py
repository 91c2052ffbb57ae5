"""Settings of `prism eval quality`."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from prism_cli.configs.base import StageConfig

Baseline = Literal["document", "lead", "extractive"]


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _as_baselines(value: object) -> object:
    if isinstance(value, str):
        value = [] if value == "none" else [one.strip() for one in value.split(",")]
    return list(dict.fromkeys(value)) if isinstance(value, list) else value


class EvalQualityConfig(StageConfig):
    """Whose texts are measured, against what, beside what."""

    texts: Literal["auto", "predicted", "labels"] = Field(
        "auto",
        description="Whose texts: auto (the prediction where a row has one, else the label), "
        "predicted, labels.",
    )
    gold: Annotated[list[str], BeforeValidator(_as_list)] = Field(
        [], description="JSONL files of people's marks: answers, rationales, answerable."
    )
    baselines: Annotated[list[Baseline] | None, BeforeValidator(_as_baselines)] = Field(
        None,
        description="What else is shown in place of the evidence: some of document, lead, "
        "extractive, or none; by default all three with gold, none without.",
    )
    judge: str | None = Field(
        None,
        description="Model that rates contribution and evidence from 1 to 5: provider/model, or "
        "hf:PATH in this process; none by default.",
    )
    allow_same_judge: bool = Field(
        False, description="Let a judge rate that was of the panel that labelled the rows."
    )
    max_sentences: int = Field(
        2, ge=1, le=50, description="Sentences of the extractive baseline, from 1 to 50."
    )
    device: str = Field(
        "auto",
        min_length=1,
        description="Where models of this process compute: auto (CUDA if there), cpu, cuda.",
    )

    @property
    def chosen_baselines(self) -> tuple[str, ...]:
        """The baselines that are measured."""
        if self.baselines is not None:
            return tuple(self.baselines)
        return ("document", "lead", "extractive") if self.gold else ()
