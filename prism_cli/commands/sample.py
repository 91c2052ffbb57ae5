"""`prism sample`: a score-balanced, length-capped subset of scored rows."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prism_cli.commands.options import Common, Inputs, with_common

if TYPE_CHECKING:
    from prism_cli.engine.report import Drawn
    from prism_cli.engine.summary import RunSummary

app = typer.Typer(
    add_completion=False,
    help="Keep a score-balanced, length-capped subset.",
    epilog="Example: prism sample scored.jsonl -o sampled.jsonl --size 2000 "
    "--max-document-words 300",
)


@app.command()
@with_common
def sample(
    inputs: Inputs,
    size: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Rows wanted, in equal shares over bins of teacher_score. Without it the paper's "
            "rule: middle scores capped, a source at a time, then labelled : web = 2 : 3.",
            show_default=False,
        ),
    ] = None,
    bins: Annotated[
        int | None,
        typer.Option(
            min=1, help="Bins that --size is shared over; default 10.", show_default=False
        ),
    ] = None,
    max_document_tokens: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Cut documents to N tokens; default 4096, 0 for no limit.",
            metavar="N",
            show_default=False,
        ),
    ] = None,
    max_pair_tokens: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Drop pairs over N tokens; default 8192, 0 for no limit.",
            metavar="N",
            show_default=False,
        ),
    ] = None,
    tokenizer: Annotated[
        str | None,
        typer.Option(
            help="What counts tokens: estimate (from the characters; default), or a model whose "
            "tokenizer counts, such as hf:smollm2, a folder or a hub id.",
            metavar="SPEC",
            show_default=False,
        ),
    ] = None,
    max_document_words: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Drop documents over N words; default no limit.",
            metavar="N",
            show_default=False,
        ),
    ] = None,
    web_source: Annotated[
        list[str] | None,
        typer.Option(
            help="A value of `source` that is a web row; repeatable; default web:exa, web:tavily.",
            show_default=False,
        ),
    ] = None,
    *,
    common: Common,
) -> None:
    """Keep a score-balanced subset, chosen by hash of (seed, query_id, doc_id).

    Rows without teacher_score, and pairs that are too long, are dropped and counted. Scores before
    and after are drawn here, and in OUT.histogram.svg where matplotlib is installed.
    """
    from prism_cli.commands.row_run import run_row_stage
    from prism_cli.commands.wiring import token_cutter
    from prism_cli.configs.load import load_config
    from prism_cli.configs.sample import SampleConfig
    from prism_cli.domain.length_caps import LengthCaps
    from prism_cli.stages.sample import SampleStage

    flags = {
        "size": size,
        "bins": bins,
        "max_document_tokens": max_document_tokens,
        "max_pair_tokens": max_pair_tokens,
        "tokenizer": tokenizer,
        "max_document_words": max_document_words,
        "web_sources": web_source or None,
        "seed": common.seed,
    }
    config = load_config(
        SampleConfig, "sample", recipe=common.recipe, flags=flags, sets=common.sets
    )
    cutter, dependencies = token_cutter(config.tokenizer)
    stage = SampleStage(
        config.size,
        bins=config.bins,
        lengths=LengthCaps(
            cutter, config.max_document_tokens, config.max_pair_tokens, config.max_document_words
        ),
        web_sources=config.web_sources,
        seed=config.seed,
    )
    run_row_stage(
        stage,
        inputs,
        common,
        config,
        dependencies=dependencies,
        draw=lambda summary: _draw(summary, common.output),
    )


def _draw(summary: "RunSummary", output: Path | None) -> "Drawn":
    """The histogram's lines; its picture beside the output, where there is one."""
    from importlib.util import find_spec

    from prism_cli.commands.histogram import svg, terminal_lines
    from prism_cli.shards.writer import whole_file

    lines = terminal_lines(summary.figures, sys.stderr.encoding)
    if summary.outputs:
        # Of several outputs beside the folder that holds them.
        place = output if output and len(summary.outputs) > 1 else summary.outputs[0]
        picture = Path(f"{place}.histogram.svg")
        if find_spec("matplotlib"):
            with whole_file(picture) as file:
                file.write(svg(summary.figures))
            lines.append(f"drawn in {picture}")
        else:
            lines.append("no picture: matplotlib is not installed (pip install 'prism-cli[local]')")
    return {"histogram": lines, "histograms": ()}
