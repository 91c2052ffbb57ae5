"""`prism relabel`: a panel of judges says yes or no to every row."""

from typing import Annotated

import typer

from prism_cli.commands.options import Common, Inputs, with_common

app = typer.Typer(
    add_completion=False,
    help="Have a panel of judges say yes or no to every row.",
    epilog="Example: prism relabel pairs.jsonl -o labelled.jsonl --judge source",
)


@app.command()
@with_common
def relabel(
    inputs: Inputs,
    judge: Annotated[
        list[str] | None,
        typer.Option(
            help="provider/model, or source: the row's own label (source:2: yes from grade 2); "
            "repeat it for a panel, cheapest first. Default: the paper's five judges.",
            show_default=False,
        ),
    ] = None,
    audit: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Share of rows on which every judge of a larger panel votes; default 0.02.",
            show_default=False,
        ),
    ] = None,
    *,
    common: Common,
) -> None:
    """Write votes, votes_cast, verdict (more than half of the panel's size) and agreement."""
    from prism_cli.commands import wiring
    from prism_cli.commands.row_run import run_row_stage
    from prism_cli.configs.load import load_config
    from prism_cli.configs.relabel import RelabelConfig
    from prism_cli.stages.relabel import RelabelStage

    flags = {"judges": judge or None, "audit": audit, "seed": common.seed}
    config = load_config(
        RelabelConfig, "relabel", recipe=common.recipe, flags=flags, sets=common.sets
    )
    judges = wiring.judges(config.judges)
    stage = RelabelStage(judges, audit=config.audit, seed=config.seed)
    run_row_stage(stage, inputs, common, config)
