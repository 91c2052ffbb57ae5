"""Settings of `prism sample`."""

from pydantic import Field

from prism_cli.configs.base import StageConfig


class SampleConfig(StageConfig):
    """How many rows of which score stay."""

    size: int | None = Field(
        None,
        ge=1,
        description="Rows wanted, in equal shares over bins of teacher_score; without it the "
        "paper's rule decides.",
    )
    bins: int = Field(
        10, ge=1, le=1000, description="Bins of teacher_score that a size is shared over."
    )
    max_document_words: int | None = Field(
        None,
        ge=1,
        description="Longer documents are dropped; a character of a script without blanks is one "
        "word.",
    )
    max_document_tokens: int = Field(
        4096, ge=0, description="Longer documents, title included, are cut; 0 for no limit."
    )
    max_pair_tokens: int = Field(
        8192,
        ge=0,
        description="Longer pairs, query and cut document together, are dropped; 0 for no limit.",
    )
    tokenizer: str = Field(
        "estimate",
        min_length=1,
        description="What counts tokens: estimate (from the characters), or a model spec whose "
        "tokenizer counts, such as hf:smollm2, a folder or a hub id.",
    )
    web_sources: tuple[str, ...] = Field(
        ("web:exa", "web:tavily"),
        description="Values of the field source that are web rows, for labelled : web = 2 : 3.",
    )
