"""`prism rewrite-queries`: keyword-style queries."""

from typing import TYPE_CHECKING

import typer

from prism_cli.commands.options import Inputs, Paid
from prism_cli.commands.settings import with_settings
from prism_cli.commands.spreading import SpreadPaid
from prism_cli.configs.rewrite_queries import RewriteQueriesConfig

if TYPE_CHECKING:
    from prism_cli.stages.rewrite_queries import RewriteQueriesStage

app = typer.Typer(
    add_completion=False,
    epilog="Example: prism rewrite-queries pairs.jsonl -o keywords.jsonl "
    "--generator deepseek/deepseek-chat",
)


@app.command()
@with_settings(RewriteQueriesConfig, "rewrite-queries")
def rewrite_queries(inputs: Inputs, *, config: RewriteQueriesConfig, common: SpreadPaid) -> None:
    """Turn a share of the queries into keywords, all rows of a query alike.

    Queries over 40 tokens are left unchanged; a model may skip what keywords cannot express.
    """
    from prism_cli.commands.row_run import run_row_stage
    from prism_cli.engine.stage_spec import StageSpec
    from prism_cli.errors import UsageError

    if common.reuse:
        raise UsageError(
            "--reuse: keywords are not taken from files; rows that were rewritten before stay as "
            "they are, and replies in the ledger are not asked again"
        )
    spec = StageSpec.of(rewrite_stage, config, common)
    stage = rewrite_stage(config, common)
    extra_config = {"generator_hash": stage.generator.fingerprint}
    run_row_stage(stage, inputs, common, config, extra_config=extra_config, spec=spec)


def rewrite_stage(config: RewriteQueriesConfig, common: Paid) -> "RewriteQueriesStage":
    """Return the stage with its backend."""
    from prism_cli.commands import paid_wiring
    from prism_cli.domain.keywords import RewriteTask
    from prism_cli.stages.rewrite_queries import RewriteQueriesStage

    backend = paid_wiring.rewriter(
        config.generator, RewriteTask(), paid_wiring.catalog(common), device=config.device
    )
    return RewriteQueriesStage(
        backend,
        fraction=config.fraction,
        seed=config.seed,
        ablation=config.ablation,
        inherit_labels=config.inherit_labels,
    )
