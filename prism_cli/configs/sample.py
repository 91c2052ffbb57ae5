"""Settings of `prism sample`."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Interval

from prism_cli.configs.base import BeforeValidation, Option, StageConfig
from prism_cli.configs.shared import as_list


@dataclass(frozen=True, kw_only=True)
class SampleConfig(StageConfig):
    """Size, score bins and length caps of a sample."""

    size: Annotated[
        int | None,
        Ge(1),
        Option(
            "Rows wanted, in equal shares over bins of teacher_score. Without it the paper's rule: "
            "middle scores capped, per source, then labelled : web = 2 : 3."
        ),
    ] = None
    by: Annotated[
        Literal["score", "disagreement"],
        Option(
            "score: balanced by teacher_score. disagreement: the --size rows on which judge "
            "(votes), teacher (teacher_score) and student (score, by `prism rerank`) differ most; "
            "a row needs two of them.",
            added=True,
        ),
    ] = "score"
    bins: Annotated[
        int,
        Interval(ge=1, le=1000),
        Option("Bins of teacher_score over which --size is shared."),
    ] = 10
    max_document_words: Annotated[
        int | None,
        Ge(1),
        Option(
            "Drop documents over N words; a character of a script without spaces is one word.",
            metavar="N",
            default="no limit",
        ),
    ] = None
    max_document_tokens: Annotated[
        int,
        Ge(0),
        Option("Cut documents, title included, to N tokens; 0 for no limit.", metavar="N"),
    ] = 4096
    max_pair_tokens: Annotated[
        int,
        Ge(0),
        Option(
            "Drop pairs, query and cut document together, over N tokens; 0 for no limit.",
            metavar="N",
        ),
    ] = 8192
    tokenizer: Annotated[
        str,
        Option(
            "What counts tokens: estimate (from the characters), or a model whose tokenizer "
            "counts, such as hf:smollm2, a folder or a hub id.",
            metavar="SPEC",
        ),
    ] = "estimate"
    web_sources: Annotated[
        tuple[str, ...],
        BeforeValidation(as_list),
        Option(
            "A value of `source` that marks web rows, for labelled : web = 2 : 3; repeatable.",
            names=("--web-source",),
        ),
    ] = ("web:exa", "web:tavily")

    def __post_init__(self) -> None:
        if self.by == "disagreement" and self.size is None:
            raise ValueError("--by disagreement: needs --size, the number of rows to keep")
