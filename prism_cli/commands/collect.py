"""`prism collect`: pair rows from judged corpora, rows with documents, data sets and the web."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prism_cli.commands.collect_candidates import (
    collect_candidates,
    is_beir,
    lacks_judgements,
)
from prism_cli.commands.options import Paid, Qrels, with_common
from prism_cli.reporting.visible import spelled

if TYPE_CHECKING:
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
            help="Ranks candidates and hard negatives: bm25 (default), st:MODEL, or a TREC run.",
            show_default=False,
        ),
    ] = None,
    candidates: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Documents a question of --queries, or of a BEIR folder without judgements; "
            "default 20.",
            show_default=False,
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
    corpus: Annotated[
        str | None,
        typer.Option(
            help="Documents to find candidates in: a folder of .md, .txt, .pdf, or CSV, JSONL, "
            "Parquet with doc_id, title, document, or a BEIR folder. Of a TREC run: the texts.",
            show_default=False,
        ),
    ] = None,
    queries: Annotated[
        str | None,
        typer.Option(
            help="Questions for --corpus: .txt with one a line, or CSV, JSONL, Parquet with query. "
            "Of a TREC run: queries.jsonl, or lines of id, tab, text.",
            show_default=False,
        ),
    ] = None,
    qrels: Qrels = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            help="A data set of the hub, of save_to_disk, or Parquet, CSV, JSON, Arrow files: a "
            "file, pattern or folder. With a directory as -o each file is an output of its own.",
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
        "candidates": candidates,
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
    corpora = [one for one in inputs if lacks_judgements(one)]
    if not inputs and config.corpus and not (config.dataset or config.from_shape):
        corpora = [config.corpus]
    if corpora:
        if len(inputs) > 1 or config.dataset:
            raise UsageError(f"{corpora[0]}: has no judgements; collect it by itself")
        collect_candidates(corpora[0], config.queries, common, config, flags)
        return
    if candidates is not None:
        raise UsageError(
            "--candidates: goes with --corpus and --queries, or a BEIR folder without judgements"
        )
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
        if is_beir(one):
            mined, files = _mined(one, config, common.output)
            found.append(mined)
            dependencies += files
        else:
            found.append(one)
    rows = _dataset(config)
    found += rows
    dependencies += _files_of(rows)
    if not found:
        raise UsageError(
            "nothing to collect from: name BEIR folders, files of rows, a --dataset, or a --corpus "
            "with --queries"
        )
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

    for one in filter(is_beir, inputs):
        raise UsageError(
            f"{one}: a web search takes rows with a query; give {one}/queries.jsonl with "
            "--field query_id=_id --field query=text"
        )
    if config.from_shape is not None:
        raise UsageError("--from: a web search takes the field query of any row; use --field")
    rows = _dataset(config)
    found: list[str | Source] = [*inputs, *rows]
    if not found:
        raise UsageError("nothing to search for: name JSONL files of queries, or a --dataset")
    search = paid_wiring.searcher(spec, config.results, paid_wiring.catalog(common))
    source = config.source or f"web:{search.spec.partition('/')[0]}"
    run_row_stage(
        CollectWebStage(search, source, config.min_characters),
        found,
        common,
        config,
        dependencies=_files_of(rows),
    )


def _dataset(config: "CollectConfig") -> "list[str | Source]":
    """The files of a local data set, or the data set as one source; [] where none is named."""
    if config.dataset is None:
        return []
    from prism_cli.adapters.datasets.files import data_files
    from prism_cli.adapters.datasets.hub import DatasetRows, is_saved

    files = [] if is_saved(Path(config.dataset)) else data_files(config.dataset, config.split)
    if files:
        return list(map(str, files))
    return [
        DatasetRows(
            config.dataset, config.split, config=config.dataset_config, revision=config.revision
        )
    ]


def _files_of(found: "list[str | Source]") -> list[Path]:
    """The files behind a data set that is one source; files by name are inputs of their own."""
    from prism_cli.adapters.datasets.hub import DatasetRows

    return [path for one in found if isinstance(one, DatasetRows) for path in one.files]


def _mined(
    given: str, config: "CollectConfig", output: Path | None
) -> tuple["MinedQueries", list[Path]]:
    from prism_cli.adapters.datasets.beir import BeirSet
    from prism_cli.commands.wiring import first_stage
    from prism_cli.stages.hard_negatives import MinedQueries, Mining

    data: BeirSet = BeirSet(Path(given))
    files = [*data.files(config.split), *filter(None, [data.marks_file])]
    mining = Mining(
        config.split,
        config.negatives,
        config.from_rank,
        config.to_rank,
        config.random_negatives,
        config.positive_grade,
        config.seed,
    )
    ranker = first_stage(config.first_stage, data.texts, data.name, output)
    return MinedQueries(data, ranker, mining, _warn), files


def _warn(line: str) -> None:
    import sys

    print(spelled(f"prism: warning: {line}"), file=sys.stderr, flush=True)
