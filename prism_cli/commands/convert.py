"""`prism convert`: rows to and from the shapes of other tools."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from prism_cli.commands.field_names import check_inputs
from prism_cli.commands.options import Inputs
from prism_cli.commands.settings import with_settings
from prism_cli.commands.spreading import SpreadCommon
from prism_cli.configs.base import to_dict
from prism_cli.configs.convert import ConvertConfig

if TYPE_CHECKING:
    from prism_cli.stages.convert import ConvertStage

app = typer.Typer(
    add_completion=False,
    epilog="Example: prism convert kalm.jsonl -o pairs.jsonl --from kalm",
)


@app.command()
@with_settings(ConvertConfig, "convert")
def convert(
    inputs: Inputs,
    as_teacher: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The score is that of a teacher: teacher_scores[NAME], in [0, 1].",
            show_default=False,
        ),
    ] = None,
    sort_queries: Annotated[
        bool,
        typer.Option(
            "--sort-queries",
            help="Put the pair rows of a query together first, so that each is one group.",
        ),
    ] = False,
    *,
    given: dict[str, object],
    common: SpreadCommon,
) -> None:
    """Rewrite rows for another tool, or another tool's rows for prism.

    A pair that has two answers among the adjacent rows of its query (positive and negative, two
    grades, two verdicts) is left out with all its rows, counted and named; a repeated pair is
    written once. Grades go from -10 to 1000. A TREC run holds the reranker's order (rank, else
    logit, else score, else the greater document id first): equal scores are lowered by the least
    step of single precision, since trec_eval reads only scores.
    """
    from prism_cli.commands.row_run import run_row_stage
    from prism_cli.configs.load import load_config
    from prism_cli.engine.stage_spec import StageSpec
    from prism_cli.errors import UsageError
    from prism_cli.shards.by_query import input_sources
    from prism_cli.shards.reader import STDIN
    from prism_cli.stages.convert import ConvertStage

    if as_teacher is not None:
        if "score" in given:
            raise UsageError("--score and --as-teacher name the same field; give one of them")
        given["score"] = f"teacher_scores.{as_teacher}"
    config = load_config(
        ConvertConfig, "convert", recipe=common.recipe, flags=given, sets=common.sets
    )
    detects = config.from_shape == "prism" and "from_shape" not in given
    reader, writer = _reader_and_writer(config, detects)
    if writer.lines and common.output is None and STDIN not in inputs:
        example = "out" if writer.outputs else "out.trec"
        raise UsageError(f"--to {config.to_shape}: name the output with -o, such as -o {example}")
    if sort_queries:
        check_inputs(inputs, common.field_names, plain=reader.plain_lines)
    sources = input_sources(
        inputs, common.field_names, sort_queries=sort_queries, plain=reader.plain_lines
    )
    run_row_stage(
        ConvertStage(reader, writer),
        sources,
        common,
        config,
        dependencies=reader.files,
        spec=StageSpec.of(convert_stage, config, detects),
    )


def convert_stage(config: ConvertConfig, detects: bool) -> "ConvertStage":
    """Return the stage; arguments as for `_reader_and_writer`."""
    from prism_cli.stages.convert import ConvertStage

    return ConvertStage(*_reader_and_writer(config, detects))


def _reader_and_writer(config: ConvertConfig, detects: bool) -> tuple[Any, Any]:
    """Return the shapes to read and to write.

    Args:
        detects: whether the shape of the rows is told by their fields.
    """
    from prism_cli.commands import wiring

    settings = to_dict(config, exclude={"from_shape", "to_shape", "seed"})
    shape = None if detects else config.from_shape
    reader = wiring.shape_reader(shape, keep_pairs=True, **settings)
    return reader, wiring.shape_writer(config.to_shape, **settings)
