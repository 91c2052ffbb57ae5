"""`prism collect`: pair rows from judged corpora, rows with documents, data sets and the web."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prism_cli.commands.options import Corpus, Paid, Qrels, Queries, with_common

if TYPE_CHECKING:
    from prism_cli.adapters.datasets.hub import DatasetRows
    from prism_cli.configs.collect import CollectConfig
    from prism_cli.shards.reader import Source
    from prism_cli.stages.hard_negatives import MinedQueries

app = typer.Typer(
    add_completion=False,
    epilog="Example: prism collect data/scifact -o pairs.jsonl --negatives 4 --limit 500. "
    "Queries from instructions: prism collect synthesize --help",
)


@app.command()
@with_common
def collect(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            help="BEIR folders, or JSONL files, globs, directories, - with rows of "
            "{query, pos, neg}, {query, documents}, the author's or of pairs; or a TREC run. "
            "`web` before files of queries: as --web exa.",
            show_default=False,
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            help="Split of BEIR folders and data sets; default train.", show_default=False
        ),
    ] = None,
    negatives: Annotated[
        int | None,
        typer.Option(
            min=0, help="Hard negatives a query of a BEIR folder; default 3.", show_default=False
        ),
    ] = None,
    from_rank: Annotated[
        int | None,
        typer.Option(min=1, help="First rank that they come from; default 1.", show_default=False),
    ] = None,
    to_rank: Annotated[
        int | None,
        typer.Option(min=1, help="Last rank that they come from; default 20.", show_default=False),
    ] = None,
    random_negatives: Annotated[
        int | None,
        typer.Option(
            min=0, help="Negatives a query by lot from the corpus; default 0.", show_default=False
        ),
    ] = None,
    first_stage: Annotated[
        str | None,
        typer.Option(
            help="Ranks hard negatives: bm25 (default), or a TREC run.", show_default=False
        ),
    ] = None,
    from_shape: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="SHAPE",
            help="Shape of the rows, as `prism convert` names them; else told by their fields.",
            show_default=False,
        ),
    ] = None,
    as_teacher: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Scores in the rows are a teacher's: teacher_scores[NAME], not source_score.",
            show_default=False,
        ),
    ] = None,
    corpus: Corpus = None,
    queries: Queries = None,
    qrels: Qrels = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            help="A data set of the hub, of save_to_disk, or Parquet, CSV, Arrow, JSON files.",
            show_default=False,
        ),
    ] = None,
    dataset_config: Annotated[
        str | None,
        typer.Option(help="Configuration of that data set on the hub.", show_default=False),
    ] = None,
    revision: Annotated[
        str | None,
        typer.Option(help="Commit or tag of that data set on the hub.", show_default=False),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(help="Value of `source` for rows that have none.", show_default=False),
    ] = None,
    web: Annotated[
        str | None,
        typer.Option(
            help="Search the web for the rows' queries: exa, tavily or PROVIDER/MODEL.",
            show_default=False,
        ),
    ] = None,
    results: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=100,
            help="Pages a query that --web asks for; default 10.",
            show_default=False,
        ),
    ] = None,
    min_characters: Annotated[
        int | None,
        typer.Option(
            min=0, help="Shortest text of a page that is kept; default 200.", show_default=False
        ),
    ] = None,
    *,
    common: Paid,
) -> None:
    """Make pair rows. With --limit N: of the first N queries or rows of each output.

    A pair that has two answers among the adjacent rows of its query is left out with all its rows,
    counted and named; a repeated pair is written once.
    """
    from prism_cli.commands import wiring
    from prism_cli.commands.row_run import run_row_stage
    from prism_cli.configs.collect import CollectConfig
    from prism_cli.configs.load import load_config
    from prism_cli.errors import UsageError
    from prism_cli.stages.collect import CollectStage

    if common.reuse:
        raise UsageError("--reuse: collect takes nothing from other rows; leave it out")
    word = inputs is not None and inputs[:1] == ["web"] and not Path("web").exists()
    inputs = (inputs or [])[word:]
    flags = {
        "split": split,
        "negatives": negatives,
        "from_rank": from_rank,
        "to_rank": to_rank,
        "random_negatives": random_negatives,
        "first_stage": first_stage,
        "from_shape": from_shape,
        "score": None if as_teacher is None else f"teacher_scores.{as_teacher}",
        "corpus": corpus,
        "queries": queries,
        "qrels": qrels,
        "dataset": dataset,
        "dataset_config": dataset_config,
        "revision": revision,
        "source": source,
        "web": web,
        "results": results,
        "min_characters": min_characters,
        "seed": common.seed,
    }
    config = load_config(
        CollectConfig, "collect", recipe=common.recipe, flags=flags, sets=common.sets
    )
    if word and config.web is None:
        config = config.model_copy(update={"web": "exa"})
    if config.web is not None:
        _collect_web(config.web, inputs, common, config)
        return
    reader = wiring.shape_reader(
        config.from_shape,
        score=config.score,
        corpus=config.corpus,
        queries=config.queries,
        qrels=config.qrels,
    )
    found: list[object] = []
    dependencies = list(reader.files)
    for one in inputs:
        if _is_beir(one):
            mined, files = _mined(one, config)
            found.append(mined)
            dependencies += files
        else:
            found.append(one)
    if rows := _dataset(config):
        found.append(rows)
        dependencies += rows.files
    if not found:
        raise UsageError("nothing to collect from: name BEIR folders, JSONL files or a --dataset")
    run_row_stage(
        CollectStage(reader, config.source),
        found,  # type: ignore[arg-type]
        common,
        config,
        dependencies=dependencies,
    )


def _collect_web(spec: str, inputs: list[str], common: Paid, config: "CollectConfig") -> None:
    from prism_cli.commands import paid_wiring
    from prism_cli.commands.row_run import run_row_stage
    from prism_cli.errors import UsageError
    from prism_cli.stages.collect_web import CollectWebStage

    for one in filter(_is_beir, inputs):
        raise UsageError(
            f"{one}: a web search takes rows with a query; give {one}/queries.jsonl with "
            "--field query_id=_id --field query=text"
        )
    if config.from_shape is not None:
        raise UsageError("--from: a web search takes the field query of any row; use --field")
    rows = _dataset(config)
    found: list[str | Source] = [*inputs, *([rows] if rows else [])]
    if not found:
        raise UsageError("nothing to search for: name JSONL files of queries, or a --dataset")
    search = paid_wiring.searcher(spec, config.results, paid_wiring.catalog(common))
    source = config.source or f"web:{search.spec.partition('/')[0]}"
    run_row_stage(
        CollectWebStage(search, source, config.min_characters),
        found,
        common,
        config,
        dependencies=rows.files if rows else [],
    )


def _dataset(config: "CollectConfig") -> "DatasetRows | None":
    if config.dataset is None:
        return None
    from prism_cli.adapters.datasets.hub import DatasetRows

    return DatasetRows(
        config.dataset, config.split, config=config.dataset_config, revision=config.revision
    )


def _is_beir(given: str) -> bool:
    folder = Path(given)
    return any((folder / name).is_file() for name in ("corpus.jsonl", "corpus.jsonl.gz"))


def _mined(given: str, config: "CollectConfig") -> tuple["MinedQueries", list[Path]]:
    from prism_cli.adapters.datasets.beir import BeirSet
    from prism_cli.commands.wiring import first_stage
    from prism_cli.stages.hard_negatives import MinedQueries, Mining

    data: BeirSet = BeirSet(Path(given))
    files = data.files(config.split)
    mining = Mining(
        config.split,
        config.negatives,
        config.from_rank,
        config.to_rank,
        config.random_negatives,
        config.positive_grade,
        config.seed,
    )
    return MinedQueries(data, first_stage(config.first_stage, data), mining, _warn), files


def _warn(line: str) -> None:
    import sys

    print(f"prism: warning: {line}", file=sys.stderr, flush=True)
