"""Settings of `prism convert`."""

from pydantic import Field

from prism_cli.configs.base import StageConfig


class ConvertConfig(StageConfig):
    """Which shape comes in, and which goes out."""

    from_shape: str = Field("prism", min_length=1, description="Shape of the input.")
    to_shape: str = Field("prism", min_length=1, description="Shape of the output.")
    score: str | None = Field(
        None,
        min_length=1,
        description="Field of pair rows that holds a shape's score: source_score, teacher_score, "
        "score, logit or teacher_scores.NAME; by default the shape's own choice.",
    )
    positive_grade: int = Field(1, ge=1, description="Lowest source_label of a positive.")
    negatives: int = Field(1, ge=1, le=1000, description="Negatives in one row of st-triplets.")
    corpus: str | None = Field(
        None, description="Texts behind TREC's ids: a BEIR folder or a corpus.jsonl."
    )
    queries: str | None = Field(
        None, description="Queries behind TREC's ids: a queries.jsonl, or id, tab, text."
    )
    qrels: str | None = Field(None, description="Judgements that give a run's source_label.")
    tag: str = Field("prism", min_length=1, description="Names the run in a TREC run.")
