"""`prism collect`: pair rows from judged corpora, rows with documents, data sets and the web."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prism_cli.commands.beir_folders import is_beir, lacks_judgements
from prism_cli.commands.collect_candidates import collect_candidates
from prism_cli.commands.options import Paid
from prism_cli.commands.settings import with_settings
from prism_cli.commands.unused_options import check_unused
from prism_cli.configs.collect import CollectConfig
from prism_cli.reporting.sanitize import escape_invisible

if TYPE_CHECKING:
    from prism_cli.shards.reader import Source
    from prism_cli.stages.hard_negatives import MinedQueries

OF_HUB = ("dataset_config", "revision")
"""Settings that choose in a --dataset of the hub."""

app = typer.Typer(
    add_completion=False,
    epilog="Example: prism collect data/scifact -o pairs.jsonl --negatives 4 --limit 500. "
    "Queries from instructions: prism collect synthesize --help",
)


@app.command()
@with_settings(CollectConfig, "collect")
def collect(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            help="BEIR folders; files, globs, directories or - of rows with {query, pos, neg}, "
            "{query, documents}, the author's or of pairs; a TREC run with --from trec-run. "
            "`collect web FILES`: `collect FILES --web exa`.",
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
    *,
    given: dict[str, object],
    common: Paid,
) -> None:
    """Make pair rows. With --limit N: of the first N queries or rows of each output.

    A pair that has two answers among the adjacent rows of its query is left out with all its rows,
    counted and named; a repeated pair is written once.
    """
    from prism_cli.configs.load import load_config
    from prism_cli.errors import UsageError

    if common.reuse:
        raise UsageError("--reuse: collect takes nothing from other rows; leave it out")
    word = inputs is not None and inputs[:1] == ["web"] and not Path("web").exists()
    inputs = (inputs or [])[word:]
    if as_teacher is not None:
        given["score"] = f"teacher_scores.{as_teacher}"
    config = load_config(
        CollectConfig, "collect", recipe=common.recipe, flags=given, sets=common.sets
    )
    if config.dataset is None:
        check_unused(
            OF_HUB,
            config,
            given,
            common.sets,
            refusal="chooses in a data set of the hub, but none is named; give --dataset ORG/NAME, "
            "or leave it out",
            note="no --dataset is named",
        )
    if word and config.web is None:
        config = replace(config, web="exa")
    if config.web is not None:
        _collect_web(config.web, inputs, common, config)
        return
    corpora = [name for name in inputs if lacks_judgements(name)]
    if not inputs and config.corpus and not (config.dataset or config.from_shape):
        corpora = [config.corpus]
    if corpora:
        if len(inputs) > 1 or config.dataset:
            raise UsageError(f"{corpora[0]}: has no judgements; collect it by itself")
        collect_candidates(corpora[0], config.queries, common, config, given)
        return
    if "candidates" in given:
        raise UsageError(
            "--candidates: goes with --corpus and --queries, or a BEIR folder without judgements"
        )
    _collect_judged(inputs, common, config)


def _collect_judged(inputs: list[str], common: Paid, config: CollectConfig) -> None:
    from prism_cli.commands import wiring
    from prism_cli.commands.row_run import run_row_stage
    from prism_cli.errors import UsageError
    from prism_cli.stages.collect import CollectStage

    reader = wiring.shape_reader(
        config.from_shape,
        score=config.score,
        corpus=config.corpus,
        queries=config.queries,
        qrels=config.qrels,
    )
    sources: list[object] = []
    dependencies = list(reader.files)
    mined: list[MinedQueries] = []
    for name in inputs:
        if is_beir(name):
            queries, files = _mined(name, config, common.output)
            mined.append(queries)
            sources.append(queries)
            dependencies += files
        else:
            sources.append(name)
    rows = _dataset(config)
    sources += rows
    dependencies += _files_of(rows)
    if not sources:
        raise UsageError(
            "nothing to collect from: name BEIR folders, files of rows, a --dataset, or a --corpus "
            "with --queries"
        )
    run_row_stage(
        CollectStage(reader, config.source),
        sources,  # type: ignore[arg-type]
        common,
        config,
        dependencies=dependencies,
        closing=lambda: [line for queries in mined if (line := queries.shortage)],
    )


def _collect_web(spec: str, inputs: list[str], common: Paid, config: CollectConfig) -> None:
    from prism_cli.commands import paid_wiring
    from prism_cli.commands.row_run import run_row_stage
    from prism_cli.errors import UsageError
    from prism_cli.stages.collect_web import CollectWebStage

    for folder in filter(is_beir, inputs):
        raise UsageError(
            f"{folder}: a web search takes rows with a query; give {folder}/queries.jsonl with "
            "--field query_id=_id --field query=text"
        )
    if config.from_shape is not None:
        raise UsageError("--from: a web search takes the field query of any row; use --field")
    rows = _dataset(config)
    sources: list[str | Source] = [*inputs, *rows]
    if not sources:
        raise UsageError("nothing to search for: name JSONL files of queries, or a --dataset")
    search = paid_wiring.searcher(spec, config.results, paid_wiring.catalog(common))
    source = config.source or f"web:{search.spec.partition('/')[0]}"
    run_row_stage(
        CollectWebStage(search, source, config.min_characters),
        sources,
        common,
        config,
        dependencies=_files_of(rows),
    )


def _dataset(config: CollectConfig) -> "list[str | Source]":
    """Return the files of a local data set, or the data set as one source; [] if none is named."""
    if config.dataset is None:
        return []
    from prism_cli.adapters.datasets.files import data_files
    from prism_cli.adapters.datasets.hub import DatasetRows, is_saved
    from prism_cli.errors import UsageError

    place = Path(config.dataset)
    files = [] if is_saved(place) else data_files(config.dataset, config.split, _warn)
    if (config.dataset_config or config.revision) and (files or place.exists()):
        raise UsageError(
            f"--dataset-config, --revision: choose among data sets of the hub, and {place} is a "
            "local one; leave them out, and name the folder or files to read"
        )
    if files:
        return list(map(str, files))
    return [
        DatasetRows(
            config.dataset, config.split, config=config.dataset_config, revision=config.revision
        )
    ]


def _files_of(sources: "list[str | Source]") -> list[Path]:
    """Return the files of data sets that are sources; named files are inputs themselves."""
    from prism_cli.adapters.datasets.hub import DatasetRows

    return [path for source in sources if isinstance(source, DatasetRows) for path in source.files]


def _mined(
    folder: str, config: CollectConfig, output: Path | None
) -> tuple["MinedQueries", list[Path]]:
    from prism_cli.adapters.datasets.beir import BeirSet
    from prism_cli.commands.wiring import first_stage
    from prism_cli.stages.hard_negatives import MinedQueries, Mining

    data: BeirSet = BeirSet(Path(folder))
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
    ranker = first_stage(
        config.first_stage, data.texts, data.name, output, bm25_memory_gb=config.bm25_memory_gb
    )
    return MinedQueries(data, ranker, mining, _warn), files


def _warn(line: str) -> None:
    import sys

    print(escape_invisible(f"prism: warning: {line}"), file=sys.stderr, flush=True)
