"""`prism rewrite-queries`: keyword-style queries."""

from typing import Annotated

import typer

from prism_cli.commands.options import Inputs, Paid, with_common

app = typer.Typer(
    add_completion=False,
    epilog="Example: prism rewrite-queries pairs.jsonl -o keywords.jsonl "
    "--generator deepseek/deepseek-chat",
)


@app.command()
@with_common
def rewrite_queries(
    inputs: Inputs,
    generator: Annotated[
        str | None,
        typer.Option(
            help="Who writes the keywords: provider/model, a chat model in this process "
            "(hf:PATH, hf:HUB_ID), or extractive: the query's own words, by rules, without a "
            "model.",
            show_default=False,
        ),
    ] = None,
    fraction: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Share of the queries, chosen by hash of seed and query; default 0.4.",
            show_default=False,
        ),
    ] = None,
    ablation: Annotated[
        bool,
        typer.Option(
            "--ablation", help="Also write the untouched twin of each rewritten row, behind it."
        ),
    ] = False,
    inherit_labels: Annotated[
        bool,
        typer.Option(
            "--inherit-labels",
            help="Rewritten rows keep scores, votes and texts made for the query before, and "
            "say so (labels_from).",
        ),
    ] = False,
    device: Annotated[
        str | None,
        typer.Option(
            help="Of a local model: auto (default), cpu, cuda, cuda:1.", show_default=False
        ),
    ] = None,
    *,
    common: Paid,
) -> None:
    """Turn a share of the queries into keywords, all rows of a query alike.

    Queries over 40 tokens are not asked for; a model may skip what keywords cannot say.
    """
    from prism_cli.commands import paid_wiring
    from prism_cli.commands.row_run import run_row_stage
    from prism_cli.configs.load import load_config
    from prism_cli.configs.rewrite_queries import RewriteQueriesConfig
    from prism_cli.domain.keywords import RewriteTask
    from prism_cli.errors import UsageError
    from prism_cli.stages.rewrite_queries import RewriteQueriesStage

    if common.reuse:
        raise UsageError(
            "--reuse: keywords are not taken from files; rows that were rewritten before stay as "
            "they are, and replies in the ledger are not asked again"
        )
    flags = {
        "generator": generator,
        "fraction": fraction,
        "ablation": ablation or None,
        "inherit_labels": inherit_labels or None,
        "device": device,
        "seed": common.seed,
    }
    config = load_config(
        RewriteQueriesConfig,
        "rewrite-queries",
        recipe=common.recipe,
        flags=flags,
        sets=common.sets,
    )
    task = RewriteTask()
    backend = paid_wiring.rewriter(
        config.generator, task, paid_wiring.catalog(common), device=config.device
    )
    stage = RewriteQueriesStage(
        backend,
        fraction=config.fraction,
        seed=config.seed,
        ablation=config.ablation,
        inherit_labels=config.inherit_labels,
    )
    run_row_stage(stage, inputs, common, config, identity={"generator_hash": backend.fingerprint})
