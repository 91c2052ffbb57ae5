"""What `prism eval` shows people: the plan before, the tables after."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from prism_cli.commands.tables import plain_console, stdout_console

if TYPE_CHECKING:
    from rich.console import Console

    from prism_cli.configs.eval import EvalConfig
    from prism_cli.evaluation.ranking.plan import EvalSummary

_ONLY_IN_FILE = ("nDCG@5", "P@1", "R@5", "R@10")
"""Measures that the table has no room for."""


def print_plan(plan: list[dict[str, Any]], config: "EvalConfig") -> None:
    """Sets, pairs, download and hours, on stderr.

    Args:
        plan: set, queries, download, tokens (of a prompt, about), one each.
    """
    from rich.table import Table

    from prism_cli.evaluation.ranking import estimate

    table = Table("set", "queries", "pairs at most", "download", box=None, pad_edge=False)
    for one in plan:
        table.add_row(
            one["set"],
            f"{one['queries']:,}",
            f"{one['queries'] * config.top_k * len(config.models):,}",
            one["download"],
        )
    console = plain_console(stderr=True)
    console.print(table)
    tokens = sum(one["queries"] * config.top_k * one["tokens"] for one in plan)
    pairs = sum(one["queries"] for one in plan) * config.top_k
    operations = estimate.operations_per_second() if config.models else 1.0
    for name in config.models:
        parameters = estimate.parameter_count(name)
        if parameters is None:
            told = "time unknown (its size cannot be told from its name)"
        else:
            hours = estimate.hours(1, tokens, parameters, operations)
            told = f"about {hours:.1f} h here" if hours >= 1 else f"about {hours * 60:.0f} min here"
        console.print(f"{name}: {pairs:,} pairs, {tokens:,} tokens: {told}, if none is kept")


def print_tables(summary: "EvalSummary") -> None:
    """Measures by set and system, then the paired tests, on stdout."""
    with stdout_console() as console:
        _print(console, summary.metrics)


def _print(console: "Console", metrics: Mapping[str, Any]) -> None:
    from rich.table import Table

    from prism_cli.reporting.ranking import average_name

    blocks = dict(metrics["ranking"])
    if "average" in metrics:
        blocks[average_name(metrics)] = metrics["average"]
    intervals = metrics["statistics"]["intervals"]
    for dataset, systems in blocks.items():
        measures = [name for name in next(iter(systems.values())) if name not in _ONLY_IN_FILE]
        title = dataset
        if dataset in metrics["datasets"]:
            title += f" ({metrics['datasets'][dataset]['queries']:,} queries)"
        table = Table("system", title=title, title_justify="left", box=None, pad_edge=False)
        table.add_column(measures[0], justify="right", no_wrap=True)
        table.add_column("95 % interval", justify="right", no_wrap=True)
        for measure in measures[1:]:
            table.add_column(measure, justify="right", no_wrap=True)
        for system, values in systems.items():
            span = intervals.get(dataset, {}).get(system, {}).get(measures[0])
            cells = [f"{values[measure]:.4f}" for measure in measures]
            told = f"{span[0]:.3f} to {span[1]:.3f}" if span else ""
            table.add_row(system, cells[0], told, *cells[1:])
        console.print(table)
    for name, value in metrics.get("paper", {}).get("nDCG@10", {}).items():
        console.print(f"the paper's, over the same candidates: {name}: nDCG@10 {value:.4f}")
    for one in metrics["statistics"]["comparisons"]:
        console.print(
            f"{one['dataset']}: {one['system']} against {one['baseline']}: {one['measure']} "
            f"{one['difference']:+.4f}, {one['win']} won, {one['tie']} tied, {one['loss']} lost, "
            f"p = {one['p']:.4g}, after Holm {one['p_holm']:.4g}"
        )
    if metrics["missing_sets"]:
        console.print(f"not measured, as they are missing: {', '.join(metrics['missing_sets'])}")
