"""Terminal output of `prism eval`: the plan before, the tables after."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from prism_cli.commands.tables import interval_text, plain_console, show_table, stdout_console
from prism_cli.wording import counted

if TYPE_CHECKING:
    from rich.console import Console

    from prism_cli.configs.eval import EvalConfig
    from prism_cli.evaluation.metrics_file import PublishedMetrics

FIT_COLUMN = "to fit on"
"""Queries of another split, in the plan."""
_ONLY_IN_FILE = ("nDCG@5", "P@1", "R@5", "R@10")
"""Measures that the table has no room for."""


def print_plan(plan: list[dict[str, Any]], config: "EvalConfig") -> None:
    """Sets, pairs, download and hours, on stderr.

    Args:
        plan: set, queries, download, tokens (of a prompt, about), one each; with --fit-fusion also
            FIT_COLUMN.
    """
    from prism_cli.evaluation.ranking import estimate

    console = plain_console(stderr=True)
    fits = any(row.get(FIT_COLUMN) for row in plan)
    rows = [
        {
            "set": row["set"],
            "queries": row["queries"],
            **({FIT_COLUMN: row[FIT_COLUMN]} if fits else {}),
            "pairs at most": _queries(row) * config.top_k * len(config.models),
            "download": row["download"],
        }
        for row in plan
    ]
    show_table(console, rows)
    tokens = sum(_queries(row) * config.top_k * row["tokens"] for row in plan)
    pairs = sum(map(_queries, plan)) * config.top_k
    operations = 1.0
    if config.models:
        from prism_cli.modeling.loading import resolve_device, resolve_dtype

        device = resolve_device(config.device)
        operations = estimate.operations_per_second(device, resolve_dtype(config.dtype, device))
    for name in config.models:
        parameters = estimate.parameter_count(name)
        if parameters is None:
            duration = "time unknown (its name does not say its size)"
        else:
            hours = estimate.hours(1, tokens, parameters, operations)
            here = f"{hours:.1f} h" if hours >= 1 else f"{hours * 60:.0f} min"
            duration = f"about {here} here"
        many = f"{counted(pairs, 'pair')}, {counted(tokens, 'token')}"
        console.print(f"{name}: {many}: {duration}, if none is kept")


def _queries(row: Mapping[str, Any]) -> int:
    total: int = row["queries"] + row.get(FIT_COLUMN, 0)
    return total


def print_tables(summary: "PublishedMetrics") -> None:
    """Measures by set and system, then the paired tests, on stdout."""
    with stdout_console() as console:
        _print(console, summary.metrics)


def _print(console: "Console", metrics: Mapping[str, Any]) -> None:
    from prism_cli.reporting.figures import figures_of
    from prism_cli.reporting.fusion import (
        AGAINST_FIRST_STAGE,
        against_first_stage,
        few_queries,
        fitted_weights,
    )

    blocks: dict[str, dict[str, dict[str, Any]]] = {}
    for figure in figures_of(metrics):
        row = blocks.setdefault(figure.group, {}).setdefault(figure.system, {})
        if not row:
            interval = interval_text(figure) if figure.interval else ""
            row |= {"system": figure.system, figure.name: figure.value, "95 % interval": interval}
        elif figure.name not in _ONLY_IN_FILE:
            row[figure.name] = figure.value
    for group, systems in blocks.items():
        title = group
        if group in metrics["datasets"]:
            title += f" ({counted(metrics['datasets'][group]['queries'], 'query', 'queries')})"
        show_table(console, list(systems.values()), title=title)
    for name, value in metrics.get("paper", {}).get("nDCG@10", {}).items():
        console.print(f"the paper's, over the same candidates: {name}: nDCG@10 {value:.4f}")
    for row in metrics["statistics"]["comparisons"]:
        console.print(
            f"{row['dataset']}: {row['system']} against {row['baseline']}: {row['measure']} "
            f"{row['difference']:+.4f}, {row['win']} won, {row['tie']} tied, {row['loss']} lost, "
            f"p = {row['p']:.4g}, after Holm {row['p_holm']:.4g}"
        )
    if few := few_queries(metrics):
        console.print(few)
    if rows := against_first_stage(metrics):
        show_table(console, rows, title=AGAINST_FIRST_STAGE)
    for line in fitted_weights(metrics):
        console.print(line)
    if metrics["missing_sets"]:
        console.print(f"not measured, as they are missing: {', '.join(metrics['missing_sets'])}")
