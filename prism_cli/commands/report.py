"""`prism report`: one finished evaluation rendered again, or several of a kind side by side."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prism_cli.wording import wrapped

if TYPE_CHECKING:
    from prism_cli.reporting.arms import Finished
    from prism_cli.reporting.page import Page

app = typer.Typer(
    add_completion=False,
    epilog="Example: prism report runs/eval/plain runs/eval/rewritten -o ablation.html",
)
_BEGUN_BY = {
    "eval": "prism eval",
    "quality": "prism eval quality",
    "labels": "prism eval labels",
    "answers": "prism eval answers",
}
"""Stage of a manifest -> the command that finishes it."""


@app.command()
def report(
    folders: Annotated[
        list[str],
        typer.Argument(
            metavar="[ARM=]DIR…",
            help="Folders of finished evaluations; those of one ARM are averaged.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="HTML file; default report.html in the only DIR, else comparison.html here.",
            show_default=False,
        ),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="The comparison as one JSON object on standard output.")
    ] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No summary.")] = False,
) -> None:
    """Render a finished evaluation, or compare several of one kind with the first.

    To compare settings (rewritten queries, objectives, …), evaluate both and pass both folders.
    With several seeds, name the arm of each: plain=runs/eval/plain-0 plain=runs/eval/plain-1 ….
    An arm is the mean of its folders, query by query.
    """
    from prism_cli.errors import UsageError
    from prism_cli.evaluation.metrics_file import REPORT
    from prism_cli.reporting.comparison import compare
    from prism_cli.reporting.comparison_page import page as comparison_page
    from prism_cli.reporting.html import render_page
    from prism_cli.shards.writer import whole_file
    from prism_cli.terminal import print_json

    if output is not None and output.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"-o {output}: expected a name that ends in .html")
    named = [_named(folder) for folder in folders]
    runs = [_finished(folder) for _, folder in named]
    kinds = {run.name: run.metrics["kind"] for run in runs}
    if len(set(kinds.values())) > 1:
        listed = ", ".join(f"{name} is of kind {kind}" for name, kind in kinds.items())
        raise UsageError(f"evaluations of one kind are compared with each other; {listed}")
    if len({folder.resolve() for _, folder in named}) < len(folders):
        raise UsageError("a folder is named twice; name each evaluation once")
    runs = _by_arm(named, runs)
    if len(runs) == 1 and len(folders) > 1:
        raise UsageError(f"one arm, {runs[0].name}; name a second one to compare it with")
    if len(runs) == 1:
        content: dict[str, Any] = dict(runs[0].metrics)
        page, path = _page_of(runs[0]), output or named[0][1] / REPORT
    else:
        content = compare(runs)
        provenance = {"command": ["prism", "report", *folders]}
        page = comparison_page(
            content, provenance | {run.name: run.metrics["provenance"] for run in runs}
        )
        path = output or Path("comparison.html")
    with whole_file(path, follow=True) as file:
        file.write(render_page(page))
    if json:
        print_json(content)
    elif not quiet and len(runs) > 1:
        _print_summary(content)
    if not quiet:
        print(f"wrote {path}", file=sys.stderr)


def _named(argument: str) -> tuple[str, Path]:
    """Return arm and folder of `[ARM=]DIR`; "" without an arm, as for a folder with = in it."""
    arm, equals, folder = argument.partition("=")
    if not (arm and equals and folder) or Path(argument).exists():
        return "", Path(argument)
    return arm, Path(folder)


def _by_arm(named: Sequence[tuple[str, Path]], runs: Sequence["Finished"]) -> list["Finished"]:
    """Return the runs with those of one arm averaged, in the order of their first mention.

    Raises:
        UsageError: an evaluation measured more than the arm's model.
    """
    from prism_cli.errors import UsageError
    from prism_cli.evaluation.row_sums import read_row_sums
    from prism_cli.reporting.arms import arm

    names = [name for name, _ in named]
    if len(runs) == 1:
        return list(runs)
    runs = [
        replace(run, row_sums=read_row_sums(folder, run.metrics["kind"]))
        for (_, folder), run in zip(named, runs, strict=True)
    ]
    if not any(names):
        return runs
    arms: dict[str, list[Finished]] = {}
    for name, run in zip(names, runs, strict=True):
        arms.setdefault(name or run.name, []).append(run)
    try:
        return [arm(name, members) for name, members in arms.items()]
    except ValueError as error:
        raise UsageError(str(error)) from None


def _finished(folder: Path) -> "Finished":
    """Return the evaluation in a folder, also if it lacks sets that could not be fetched.

    Raises:
        MissingDataError: there is none, or it is not finished or damaged.
    """
    from prism_cli.errors import MissingDataError
    from prism_cli.evaluation.metrics_file import METRICS, has_no_figures, read_metrics
    from prism_cli.evaluation.ranking.per_query import read_per_query
    from prism_cli.reporting.arms import Finished
    from prism_cli.shards.manifest import manifest_path, read_manifest

    path = folder / METRICS
    if folder.is_file():
        raise MissingDataError(
            f"{folder}: expected the folder of a finished evaluation, as -o named"
        )
    manifests = [
        manifest
        for file in (path, folder / "rows.jsonl")
        if (manifest := read_manifest(manifest_path(file))) is not None
    ]
    metrics = read_metrics(path) if path.exists() or not manifests else None
    finished = metrics is not None and all(
        manifest["finished"] or _waits_for_sets(metrics, manifest) for manifest in manifests
    )
    if metrics is None or not finished:
        command = _BEGUN_BY.get(manifests[0]["stage"], "prism eval")
        raise MissingDataError(
            f"{folder}: this evaluation is not finished; `{command} … -o {folder}`, typed as it "
            "was begun, goes on and finishes it"
        )
    if has_no_figures(metrics):
        raise MissingDataError(
            f"{folder}: this evaluation measured no row, so there is nothing to show; evaluate an "
            "input that holds rows"
        )
    return Finished(str(folder), metrics, read_per_query(folder))


def _waits_for_sets(metrics: dict[str, Any], manifest: dict[str, Any]) -> bool:
    """Return whether the requested sets were measured except missing ones, with the settings of
    the manifest, not by an earlier attempt with other settings or sets."""
    return bool(
        metrics.get("missing_sets") and metrics["provenance"]["config"] == manifest["config"]
    )


def _page_of(run: "Finished") -> "Page":
    from prism_cli.reporting import answers, labels, quality, ranking

    pages = {
        "ranking": ranking.page,
        "quality": quality.page,
        "labels": labels.page,
        "answers": answers.page,
    }
    return pages[run.metrics["kind"]](run.metrics)


def _print_summary(comparison: dict[str, Any]) -> None:
    """Print key figures, differences and warnings."""
    from prism_cli.commands.tables import print_table
    from prism_cli.reporting.comparison import key_figures
    from prism_cli.reporting.comparison_page import (
        figure_name,
        shown_spread,
        signed,
        spread_table,
        tested_name,
    )

    kind = comparison["kind"]
    rows = [
        {"figure": figure_name(entry, kind)}
        | ({} if kind == "answers" else {"of": entry["group"] or kind})
        | {
            column["name"]: value
            for column, value in zip(comparison["columns"], entry["values"], strict=True)
        }
        | {
            f"change, {column['name']}": signed(change, 4)
            for column, change in zip(comparison["columns"], entry["differences"], strict=True)
            if column["against"] is not None
        }
        for entry in key_figures(comparison)
    ]
    if rows:
        print_table("side by side", rows)
    tests = [
        {
            "set" if kind == "ranking" else "figure": tested_name(entry, kind),
            "system": comparison["columns"][entry["column"]]["name"],
            "against": comparison["columns"][entry["against"]]["name"],
            "difference": signed(entry["difference"], 4),
            "p": entry["p"],
            "after Holm": entry["p_holm"],
        }
        for entry in comparison["tests"]
    ]
    if tests:
        print_table("paired tests", tests)
    if spread := shown_spread(comparison):
        head, values = spread_table(spread, kind)
        print_table("runs of each arm", [dict(zip(head, row, strict=True)) for row in values])
    if comparison["differs"]:
        print(wrapped(f"differs: {', '.join(comparison['differs'])}", sys.stderr), file=sys.stderr)
    for warning in comparison["warnings"]:
        print(wrapped(f"prism: warning: {warning}", sys.stderr), file=sys.stderr)
