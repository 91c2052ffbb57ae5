"""Settings of `prism collect`."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Interval

from prism_cli.configs.base import Option, StageConfig
from prism_cli.configs.shared import Qrels


@dataclass(frozen=True, kw_only=True)
class CollectConfig(StageConfig):
    """Sources, candidates and negatives of pairs."""

    split: Annotated[str, Option("Split of BEIR folders and data sets.")] = "train"
    first_stage: Annotated[
        str,
        Option(
            "Ranks candidates and hard negatives: bm25, st:MODEL, or a TREC run ({dataset} is "
            "replaced by the name)."
        ),
    ] = "bm25"
    candidates: Annotated[
        int | None,
        Interval(ge=1, le=10_000),
        Option(
            "Documents per query of --queries, or of a BEIR folder without judgements.",
            default="20",
        ),
    ] = None
    negatives: Annotated[
        int, Interval(ge=0, le=1000), Option("Hard negatives per query of a BEIR folder.")
    ] = 3
    from_rank: Annotated[
        int, Ge(1), Option("First rank of hard negatives, among documents that are not relevant.")
    ] = 1
    to_rank: Annotated[
        int, Interval(ge=1, le=10_000), Option("Last rank of hard negatives, inclusive.")
    ] = 20
    random_negatives: Annotated[
        int, Interval(ge=0, le=1000), Option("Negatives per query drawn from the whole corpus.")
    ] = 0
    positive_grade: Annotated[int, Ge(1), Option("Lowest grade of a positive.", hidden=True)] = 1
    from_shape: Annotated[
        str | None,
        Option(
            "Shape of the rows, as `prism convert` names them; by default detected from their "
            "fields, row by row.",
            names=("--from",),
            metavar="SHAPE",
        ),
    ] = None
    score: Annotated[
        str | None,
        Option(
            "Field for the scores that come with the rows.", hidden=True, default="source_score"
        ),
    ] = None
    corpus: Annotated[
        str | None,
        Option(
            "Documents to find candidates in: a folder of .md, .txt, .pdf, or CSV, JSONL, Parquet "
            "with doc_id, title, document, or a BEIR folder. With a TREC run: its texts."
        ),
    ] = None
    queries: Annotated[
        str | None,
        Option(
            "Queries for --corpus: .txt with one per line, or CSV, JSONL, Parquet with query. "
            "With a TREC run: queries.jsonl, or lines of id, tab, text."
        ),
    ] = None
    qrels: Qrels = None
    source: Annotated[str | None, Option("Value of `source` for rows that have none.")] = None
    dataset: Annotated[
        str | None,
        Option(
            "A data set of the hub, of save_to_disk, or Parquet, CSV, JSON, Arrow files: a file, "
            "pattern or folder. With a directory as -o each file is an output of its own."
        ),
    ] = None
    dataset_config: Annotated[str | None, Option("Configuration of that data set on the hub.")] = (
        None
    )
    revision: Annotated[str | None, Option("Commit or tag of that data set on the hub.")] = None
    web: Annotated[
        str | None,
        Option("Search the web for the rows' queries: exa, tavily or PROVIDER/MODEL."),
    ] = None
    results: Annotated[
        int, Interval(ge=1, le=100), Option("Pages per query that --web requests.")
    ] = 10
    min_characters: Annotated[
        int, Ge(0), Option("Shortest text of a page that is kept, in characters.")
    ] = 200

    def __post_init__(self) -> None:
        if self.from_rank > self.to_rank:
            raise ValueError(f"from_rank {self.from_rank} lies behind to_rank {self.to_rank}")
