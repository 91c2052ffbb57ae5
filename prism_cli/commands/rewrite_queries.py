"""`prism rewrite-queries`: keyword-style queries."""

import typer

from prism_cli.commands.options import Inputs, Paid
from prism_cli.commands.settings import with_settings
from prism_cli.configs.rewrite_queries import RewriteQueriesConfig

app = typer.Typer(
    add_completion=False,
    epilog="Example: prism rewrite-queries pairs.jsonl -o keywords.jsonl "
    "--generator deepseek/deepseek-chat",
)


@app.command()
@with_settings(RewriteQueriesConfig, "rewrite-queries")
def rewrite_queries(inputs: Inputs, *, config: RewriteQueriesConfig, common: Paid) -> None:
    """Turn a share of the queries into keywords, all rows of a query alike.

    Queries over 40 tokens are left unchanged; a model may skip what keywords cannot express.
    """
    from prism_cli.commands import paid_wiring
    from prism_cli.commands.row_run import run_row_stage
    from prism_cli.domain.keywords import RewriteTask
    from prism_cli.errors import UsageError
    from prism_cli.stages.rewrite_queries import RewriteQueriesStage

    if common.reuse:
        raise UsageError(
            "--reuse: keywords are not taken from files; rows that were rewritten before stay as "
            "they are, and replies in the ledger are not asked again"
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
    run_row_stage(
        stage, inputs, common, config, extra_config={"generator_hash": backend.fingerprint}
    )
