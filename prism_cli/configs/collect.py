"""Settings of `prism collect`."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Interval

from prism_cli.configs.base import Option, StageConfig
from prism_cli.configs.shared import Bm25MemoryGb

CORPUS, CANDIDATES = "Documents and queries", "Candidates and negatives"
DATASET, WEB = "Data sets", "Web search"


@dataclass(frozen=True, kw_only=True)
class CollectConfig(StageConfig):
    """Sources, candidates and negatives of pairs."""

    split: Annotated[str, Option("Split of BEIR folders and data sets.")] = "train"
    first_stage: Annotated[
        str,
        Option(
            "bm25, st:MODEL, or a TREC run ({dataset}: the set's name).",
            panel=CANDIDATES,
        ),
    ] = "bm25"
    bm25_memory_gb: Bm25MemoryGb = None
    candidates: Annotated[
        int | None,
        Interval(ge=1, le=10_000),
        Option(
            "Documents per query where no judgements are given.",
            default="20",
            panel=CANDIDATES,
        ),
    ] = None
    negatives: Annotated[
        int,
        Interval(ge=0, le=1000),
        Option("Hard negatives per query of a BEIR folder.", panel=CANDIDATES),
    ] = 3
    from_rank: Annotated[
        int,
        Ge(1),
        Option("First rank of hard negatives, not counting relevant documents.", panel=CANDIDATES),
    ] = 1
    to_rank: Annotated[
        int,
        Interval(ge=1, le=10_000),
        Option("Last rank of hard negatives, inclusive.", panel=CANDIDATES),
    ] = 20
    random_negatives: Annotated[
        int,
        Interval(ge=0, le=1000),
        Option("Negatives per query drawn from the whole corpus.", panel=CANDIDATES),
    ] = 0
    positive_grade: Annotated[int, Ge(1), Option("Lowest grade of a positive.", hidden=True)] = 1
    from_shape: Annotated[
        str | None,
        Option(
            "Shape of the rows, as in `prism convert`.",
            names=("--from",),
            metavar="SHAPE",
            default="detected row by row",
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
            "Documents: a folder of .md, .txt, .pdf; a table of doc_id, title, document; a BEIR "
            "folder. With a TREC run: its texts.",
            panel=CORPUS,
        ),
    ] = None
    queries: Annotated[
        str | None,
        Option(
            "Queries for --corpus: lines of a .txt, or a table with query. With a TREC run: "
            "queries.jsonl, or lines of id, tab, text.",
            panel=CORPUS,
        ),
    ] = None
    qrels: Annotated[
        str | None, Option("Judgements that label the pairs of a TREC run.", panel=CORPUS)
    ] = None
    source: Annotated[str | None, Option("Value of `source` for rows that have none.")] = None
    dataset: Annotated[
        str | None,
        Option(
            "A hub id, a folder of save_to_disk, or Parquet, CSV, JSON, Arrow: file, glob or "
            "folder. With -o DIR/ one output per file.",
            panel=DATASET,
        ),
    ] = None
    dataset_config: Annotated[str | None, Option("Configuration on the hub.", panel=DATASET)] = None
    revision: Annotated[str | None, Option("Commit or tag on the hub.", panel=DATASET)] = None
    web: Annotated[
        str | None,
        Option("Search for the rows' queries: exa, tavily or PROVIDER/MODEL.", panel=WEB),
    ] = None
    results: Annotated[int, Interval(ge=1, le=100), Option("Pages per query.", panel=WEB)] = 10
    min_characters: Annotated[
        int, Ge(0), Option("Shortest page that is kept, in characters.", panel=WEB)
    ] = 200

    def __post_init__(self) -> None:
        if self.from_rank > self.to_rank:
            raise ValueError(f"from_rank {self.from_rank} lies behind to_rank {self.to_rank}")
