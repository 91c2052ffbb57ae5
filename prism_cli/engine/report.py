"""Summary of a run as a few lines on stderr."""

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from prism_cli.errors import REJECTS_EXIT_CODE
from prism_cli.reporting.sanitize import escape_line
from prism_cli.wording import counted, label, listed, value, wrapped

if TYPE_CHECKING:
    from prism_cli.engine.summary import RunSummary

_REJECTS = ".rejects.jsonl"
_NAMES = 5
"""Most files with rejected rows that one line lists."""
_FILES = 20
"""Most outputs in one folder that are listed."""
FigureLines = Mapping[str, Sequence[str]]
"""Lines that replace the plain ones of a figure, by its name."""


FIELDS_LEFT_OUT = "fields left out"
"""Figure whose names are fields of rows."""


def print_summary(
    summary: "RunSummary", *, verbose: bool = False, figure_lines: FigureLines | None = None
) -> None:
    """Print outputs, counts, cost and the stage's figures."""
    for line in summary_lines(summary, verbose=verbose, figure_lines=figure_lines):
        print(wrapped(escape_line(line), sys.stderr), file=sys.stderr)


def summary_lines(
    summary: "RunSummary", *, verbose: bool = False, figure_lines: FigureLines | None = None
) -> list[str]:
    """Return the lines that `print_summary` prints."""
    counts, usage = summary.counts, summary.usage
    reported_apart = {_output_of(rejects) for rejects in summary.rejects_before}
    lines = [
        f"{out}: finished before, nothing to do"
        for out in _by_folder([out for out in summary.finished_before if out not in reported_apart])
    ]
    if summary.exit_code != REJECTS_EXIT_CODE:
        lines += _first(_rejects_before(summary), "finished before with rejected rows")
    lines += _first(
        [
            f"{out}: its input {source} no longer exists; it was left as it is"
            for out, source in summary.inputs_gone
        ],
        "outputs whose input no longer exists",
    )
    if summary.by_others:
        worked = counted(len(summary.outputs) + len(summary.unpublished), "output")
        lines.append(f"{worked} worked by this process, {summary.by_others:,} by others meanwhile")
    if not summary.outputs and not summary.unpublished and summary.finished_before:
        return lines
    parts = [f"{counted(counts.rows, 'row')} in", f"{counted(counts.written, 'row')} out"]
    parts += [f"{count:,} dropped ({reason})" for reason, count in counts.dropped.items()]
    if counts.rejected:
        parts.append(f"{counts.rejected:,} rejected")
    if counts.pending:
        parts.append(f"{counts.pending:,} pending")
    if counts.blank:
        parts.append(f"{counted(counts.blank, 'blank line')} skipped")
    lines.append(f"{summary.stage}: {', '.join(parts)}, in {summary.seconds:.1f} s")
    if not counts.rows:
        lines.append("the input holds no rows")
    if usage.asked or usage.from_ledger:
        cost = f", {usage.usd:.4f} USD" if usage.usd else ""
        lines.append(
            f"replies: {usage.asked:,} asked, {usage.from_ledger:,} from the ledger, "
            f"{usage.shared:,} shared{cost}"
        )
    if summary.spent["asked"] > usage.asked:
        cost = f", {summary.spent['usd']:.4f} USD" if summary.spent["usd"] else ""
        lines.append(f"with earlier attempts: {summary.spent['asked']:,} asked{cost}")
    lines += _figure_lines(summary.figures, figure_lines or {})
    lines += [f"rejected {place}: {reason}" for reason, place in summary.reject_examples.items()]
    for reason, count in summary.pending_reasons.items():
        lines.append(f"pending: {counted(count, 'row')}: {reason}")
    lines += [
        f"not published, rows are pending: {out}; the same command asks for these alone, "
        "--accept-pending writes the others without them"
        for out in _by_folder(summary.unpublished)
    ]
    lines += [f"wrote {out}" for out in _by_folder(summary.outputs)]
    lines += _first([f"set aside in {side}" for side in summary.side_files], "files of rows")
    if verbose:
        lines.append(f"exit code {summary.exit_code}")
    return lines


def _by_folder(paths: Sequence[str]) -> list[str]:
    """Return the paths; of many in one folder, the folder and their number."""
    folders: dict[str, list[str]] = {}
    for path in paths:
        folders.setdefault(os.path.dirname(path), []).append(path)
    return [
        name
        for folder, files in folders.items()
        for name in (files if len(files) <= _FILES else [f"{folder or '.'} ({len(files):,} files)"])
    ]


def _first(lines: list[str], noun: str) -> list[str]:
    """Return the first of many lines, and how many more there are."""
    more = len(lines) - _FILES
    return [*lines[:_FILES], f"and {more:,} more {noun} (--json has all)"] if more > 0 else lines


def rejects_lines(summary: "RunSummary") -> list[str]:
    """Return the reason for exit code 4; empty for another code."""
    if summary.exit_code != REJECTS_EXIT_CODE:
        return []
    counts = summary.counts
    lines = _first(_rejects_before(summary), "finished before with rejected rows")
    if counts.rejected:
        files = [side for side in summary.side_files if side.endswith(_REJECTS)]
        names = ", ".join(files[:_NAMES] + ["…"] * bool(files[_NAMES:]))
        see = f" (see {names})" if names else ""
        lines.append(f"{counts.rejected:,} of {counted(counts.rows, 'row')} rejected{see}")
    if len(lines) > 1:
        rejected = counts.rejected + summary.rejected_before
        rows = counts.rows + summary.rows_before
        lines.append(f"together {rejected:,} of {counted(rows, 'row')} rejected")
    limit = f"--max-rejects {summary.max_rejects:g}"
    lines[-1] += f"; more than {limit}: exit code {REJECTS_EXIT_CODE}"
    return lines


def _rejects_before(summary: "RunSummary") -> list[str]:
    """Return a line for each output that was finished before with rejected rows."""
    return [
        f"{_output_of(rejects)}: finished before, with {rejected:,} of {counted(rows, 'row')} "
        f"rejected (see {rejects})"
        for rejects, (rejected, rows) in summary.rejects_before.items()
    ]


def _output_of(rejects: str) -> str:
    return rejects.removesuffix(_REJECTS)


def _figure_lines(figures: dict[str, Any], figure_lines: FigureLines) -> list[str]:
    lines: list[str] = []
    for name, figure in figures.items():
        if figure == {}:
            continue
        if name in figure_lines:
            lines += figure_lines[name]
        elif isinstance(figure, list) and figure and isinstance(figure[0], dict):
            lines += [f"{label(name)}:", *_table_lines(figure)]
        elif isinstance(figure, dict):
            lines.append(f"{label(name)}: {listed(figure, fields=name == FIELDS_LEFT_OUT)}")
        else:
            lines.append(f"{label(name)}: {value(figure)}")
    return lines


def _table_lines(rows: list[dict[str, Any]]) -> list[str]:
    """Return aligned columns, or names and values by row if the terminal is too narrow."""
    columns = list(rows[0])
    table = [[value(row.get(column)) for column in columns] for row in rows]
    heads = [label(column) for column in columns]
    widths = [max(map(len, column)) for column in zip(heads, *table, strict=True)]
    if sys.stderr.isatty() and sum(widths) + 2 * len(widths) > shutil.get_terminal_size().columns:
        return [f"  {listed(row)}" for row in rows]
    padded = [
        (cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
        for cells in [heads, *table]
    ]
    return [f"  {'  '.join(cells)}" for cells in padded]
