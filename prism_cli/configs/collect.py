"""Settings of `prism collect`."""

from typing import Self

from pydantic import Field, model_validator

from prism_cli.configs.base import StageConfig


class CollectConfig(StageConfig):
    """Which pairs are made of what is there."""

    split: str = Field("train", min_length=1, description="Split of BEIR folders and data sets.")
    first_stage: str = Field(
        "bm25",
        min_length=1,
        description="Ranks candidates and hard negatives: bm25, st:MODEL, or a TREC run ({dataset} "
        "stands for the name).",
    )
    candidates: int | None = Field(
        None, ge=1, le=10_000, description="Documents a question without judgements; default 20."
    )
    negatives: int = Field(
        3, ge=0, le=1000, description="Hard negatives a query of a BEIR folder, from 0 to 1000."
    )
    from_rank: int = Field(
        1, ge=1, description="First rank, of the documents that are not relevant, to take from."
    )
    to_rank: int = Field(20, ge=1, le=10_000, description="Last rank to take from, inclusive.")
    random_negatives: int = Field(
        0, ge=0, le=1000, description="Negatives a query by lot from the whole corpus."
    )
    positive_grade: int = Field(1, ge=1, description="Lowest grade of a positive.")
    from_shape: str | None = Field(
        None,
        description="Shape of the input's rows; by default told by their fields, row by row.",
    )
    score: str | None = Field(
        None,
        min_length=1,
        description="Field for the scores that come with the rows; source_score by default.",
    )
    corpus: str | None = Field(
        None, description="Documents to find candidates in, or the texts behind TREC's ids."
    )
    queries: str | None = Field(
        None, description="Questions to find candidates for, or the queries behind TREC's ids."
    )
    qrels: str | None = Field(None, description="Judgements that give a run's source_label.")
    source: str | None = Field(
        None, description="Value of the field source where a row has none; a BEIR folder's name."
    )
    dataset: str | None = Field(
        None,
        description="A data set of the hub, a saved one, or Parquet, CSV, Arrow or JSON files.",
    )
    dataset_config: str | None = Field(None, description="Configuration of that data set.")
    revision: str | None = Field(None, description="Commit or tag of that data set on the hub.")

    web: str | None = Field(
        None,
        min_length=1,
        description="Search that finds pages for the rows' queries: exa, tavily or PROVIDER/MODEL.",
    )
    results: int = Field(10, ge=1, le=100, description="Pages a query that are asked for.")
    min_characters: int = Field(
        200, ge=0, description="Shortest text of a page that is kept, in characters."
    )

    @model_validator(mode="after")
    def _ranks_in_order(self) -> Self:
        if self.from_rank > self.to_rank:
            raise ValueError(f"from_rank {self.from_rank} lies behind to_rank {self.to_rank}")
        return self
