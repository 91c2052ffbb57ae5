"""Settings of `prism convert`."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Interval

from prism_cli.configs.base import Option, StageConfig
from prism_cli.configs.shared import Corpus, PositiveGrade, Qrels, Queries

SHAPES = "prism, flagembedding (kalm), author, st-pairs, st-triplets, st-scores, cohere, trec-run"


@dataclass(frozen=True, kw_only=True)
class ConvertConfig(StageConfig):
    """Shapes of input and output."""

    from_shape: Annotated[
        str,
        Option(
            f"Shape of the input: {SHAPES} or trec-qrels. Without it, rows of kalm and cohere are "
            "detected by their fields.",
            names=("--from",),
            metavar="SHAPE",
        ),
    ] = "prism"
    to_shape: Annotated[
        str,
        Option(
            "Shape of the output: the same names, or beir: a folder (-o DIR) of corpus.jsonl, "
            "queries.jsonl and qrels/test.tsv, which prism eval reads.",
            names=("--to",),
            metavar="SHAPE",
        ),
    ] = "prism"
    score: Annotated[
        str | None,
        Option(
            "Field of pair rows that holds a shape's score: source_score, teacher_score, score, "
            "logit or teacher_scores.NAME.",
            metavar="FIELD",
            default="by the shape",
        ),
    ] = None
    positive_grade: PositiveGrade = 1
    negatives: Annotated[
        int, Interval(ge=1, le=1000), Option("Negatives in one row of st-triplets.")
    ] = 1
    corpus: Corpus = None
    queries: Queries = None
    qrels: Qrels = None
    tag: Annotated[str, Option("Name of the run in a TREC run.")] = "prism"
