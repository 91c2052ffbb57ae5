"""Run the stage of a row command and print its summary."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from prism_cli.commands.field_names import check_inputs
from prism_cli.commands.options import Common, Paid
from prism_cli.configs.base import recorded
from prism_cli.reporting.sanitize import escape_invisible, escape_line
from prism_cli.terminal import print_json

if TYPE_CHECKING:
    from prism_cli.configs.base import StageConfig
    from prism_cli.engine.report import FigureLines
    from prism_cli.engine.stage import RowStage
    from prism_cli.engine.stage_spec import StageSpec
    from prism_cli.engine.summary import RunSummary
    from prism_cli.shards.reader import Source


def run_row_stage(
    stage: "RowStage",
    inputs: "Sequence[str | Source]",
    common: Common,
    config: "StageConfig",
    *,
    dependencies: Sequence[Path] = (),
    extra_config: Mapping[str, object] | None = None,
    extra_lines: "Callable[[RunSummary], FigureLines] | None" = None,
    closing: Callable[[], Sequence[str]] | None = None,
    spec: "StageSpec | None" = None,
) -> "RunSummary | None":
    """Run a stage, print its summary, and exit with its code unless that is 0; return the summary,
    or None after a dry run.

    Args:
        extra_config: values that affect the rows besides config and inputs, such as a prompt's
            hash; added to the config in the manifest.
        extra_lines: returns lines that replace the plain ones of a figure, by its name.
        closing: returns the last lines of the summary.
        spec: how other processes build the stage; None where it runs in this one alone.
    """
    from prism_cli.engine.report import print_summary

    summary = work_rows(
        stage,
        inputs,
        common,
        config,
        dependencies=dependencies,
        extra_config=extra_config,
        spec=spec,
    )
    if summary is None:
        return None
    figure_lines = extra_lines(summary) if extra_lines and summary.figures else None
    if not common.quiet:
        print_summary(summary, verbose=common.verbose, figure_lines=figure_lines)
        for line in closing() if closing else ():
            print(escape_invisible(line), file=sys.stderr)
    if common.json:
        rows_on_stdout = not (summary.outputs or summary.unpublished or summary.finished_before)
        print_json(summary.to_json(), to_stderr=rows_on_stdout)
    exit_with(summary)
    return summary


def exit_with(summary: "RunSummary") -> None:
    """Print refusals and rejected rows, and exit with the summary's code unless that is 0."""
    print_reject_reasons(summary)
    if summary.refused:
        print(escape_invisible(f"prism: error: {summary.refused}"), file=sys.stderr)
    if summary.exit_code:
        raise typer.Exit(summary.exit_code)


def print_reject_reasons(summary: "RunSummary") -> None:
    """Print the reasons of rejected rows if there are too many."""
    from prism_cli.engine.report import rejects_lines

    for line in rejects_lines(summary):
        print(escape_line(f"prism: {line}"), file=sys.stderr)


def work_rows(
    stage: "RowStage",
    inputs: "Sequence[str | Source]",
    common: Common,
    config: "StageConfig",
    *,
    dependencies: Sequence[Path] = (),
    extra_config: Mapping[str, object] | None = None,
    spec: "StageSpec | None" = None,
) -> "RunSummary | None":
    """Run a stage and return its summary, without printing it.

    With --dry-run print the forecast and return None.
    """
    from prism_cli.commands.spreading import SpreadOptions, spread_of
    from prism_cli.engine.runner import RunOptions, run_rows

    paid = common if isinstance(common, Paid) else Paid()
    spreading = common if isinstance(common, SpreadOptions) else SpreadOptions()
    shared = spreading.join or spreading.engine_on is not None
    check_inputs(
        inputs, common.field_names, plain=stage.plain_lines, documents=stage.takes_documents
    )

    options = RunOptions(
        output=common.output,
        limit=common.limit,
        overwrite=common.overwrite or common.fresh or paid.retry_final,
        fresh=common.fresh,
        accept_lost_replies=common.accept_lost_replies,
        max_rejects=common.max_rejects,
        fields=common.field_names,
        accept_pending=common.accept_pending,
        max_seconds=common.max_seconds,
        max_cost=paid.max_cost,
        retry_final=paid.retry_final,
        batch=paid.batch,
        part=(0, 1) if shared else _part(common.quiet),
        shared=shared,
        shard_attempts=spreading.shard_attempts if spreading.join else None,
        if_changed=common.if_changed,
        quiet=common.quiet,
        config=recorded(config) | dict(extra_config or {}),
        dependencies=dependencies,
    )
    if paid.dry_run:
        from prism_cli.commands.forecast_table import print_forecast
        from prism_cli.engine.forecast import forecast
        from prism_cli.engine.run_plan import plan_run

        print_forecast(forecast(plan_run(stage, inputs, options)), json=common.json)
        return None
    return run_rows(stage, inputs, options, spread_of(common, stage, spec, options))


def _part(quiet: bool) -> tuple[int, int]:
    """Return rank and number of the processes that torchrun or accelerate launch started."""
    rank = int(os.environ.get("RANK") or 0)
    size = int(os.environ.get("WORLD_SIZE") or 1)
    if size > 1 and not quiet:
        print(
            f"prism: process {rank + 1} of {size}: outputs {rank + 1}, {rank + 1 + size}, …",
            file=sys.stderr,
        )
    return rank, size
