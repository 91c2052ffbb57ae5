"""`prism sample`: a score-balanced, length-capped subset of scored rows."""

from typing import Annotated

import typer

from prism_cli.commands.options import Common, Inputs, with_common

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

    Rows without teacher_score are dropped and counted.
    """
    from prism_cli.commands.row_run import run_row_stage
    from prism_cli.configs.load import load_config
    from prism_cli.configs.sample import SampleConfig
    from prism_cli.stages.sample import SampleStage

    flags = {
        "size": size,
        "bins": bins,
        "max_document_words": max_document_words,
        "web_sources": web_source or None,
        "seed": common.seed,
    }
    config = load_config(
        SampleConfig, "sample", recipe=common.recipe, flags=flags, sets=common.sets
    )
    stage = SampleStage(
        config.size,
        bins=config.bins,
        max_document_words=config.max_document_words,
        web_sources=config.web_sources,
        seed=config.seed,
    )
    run_row_stage(stage, inputs, common, config)
