"""Run the stage of an evaluation of rows, then publish and print its figures."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from prism_cli.commands.options import Paid, print_report_path

if TYPE_CHECKING:
    from prism_cli.configs.base import StageConfig
    from prism_cli.engine.stage import RowStage
    from prism_cli.engine.summary import RunSummary
    from prism_cli.evaluation.metrics_file import PublishedMetrics
    from prism_cli.evaluation.rows_evaluation import RowsOptions
    from prism_cli.shards.file_guard import FileGuard
    from prism_cli.shards.reader import Source

Options = TypeVar("Options", bound="RowsOptions")


def run_evaluation(
    stage: "RowStage",
    inputs: "Sequence[str | Source]",
    options: Options,
    guard: "FileGuard",
    evaluate: "Callable[[Options], PublishedMetrics]",
    print_figures: "Callable[[PublishedMetrics], None]",
    *,
    common: Paid,
    config: "StageConfig",
    gold: Sequence[str] = (),
    extra_config: Mapping[str, object] | None = None,
    explain: "Callable[[RunSummary], None]" = lambda summary: None,
) -> None:
    """Run the stage, then `evaluate`, and exit with the run's code unless that is 0.

    Args:
        guard: from `check_output`.
        print_figures: prints the figures as --json and --quiet want them.
        extra_config: what decides the rows besides config and inputs.
        explain: prints what rows lack, after the summary.
    """
    from prism_cli.commands.row_run import exit_with, print_reject_reasons, work_rows
    from prism_cli.engine.report import print_summary
    from prism_cli.errors import NothingMeasuredError
    from prism_cli.evaluation.rows_evaluation import ROWS
    from prism_cli.shards.file_guard import LEDGER_ADVICE
    from prism_cli.shards.reader import find_shards, local_paths

    rows = replace(common, output=options.output / ROWS)
    dependencies = local_paths(find_shards(gold))
    summary = work_rows(
        stage, inputs, rows, config, dependencies=dependencies, extra_config=extra_config
    )
    if summary is None:
        return
    if not common.quiet:
        print_summary(summary, verbose=common.verbose)
    explain(summary)
    if not summary.unpublished:
        guard.check(LEDGER_ADVICE)
        updated = replace(options, overwrite=options.overwrite or bool(summary.outputs))
        try:
            figures = evaluate(updated)
        except NothingMeasuredError:
            print_reject_reasons(summary)
            raise
        print_figures(figures)
        if not common.quiet:
            print_report_path(figures.path, finished_before=figures.finished_before)
    exit_with(summary)
