"""`prism status`: the state of runs, finished or in progress. Only reads files."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prism_cli.commands.options import output_path
from prism_cli.reporting.sanitize import escape_invisible
from prism_cli.wording import counted, label, value

if TYPE_CHECKING:
    from prism_cli.engine.status import RunStatus

_INPUTS = 3
"""Maximum number of changed inputs listed per output."""

app = typer.Typer(
    add_completion=False,
    help="Report the state of a run: rows, cost, time left; also while it works.",
    epilog="Example: prism status data.relabel.jsonl",
)


@app.command()
def status(
    paths: Annotated[
        list[Path],
        typer.Argument(
            parser=output_path,
            metavar="PATHS",
            help="Outputs (also in the making), manifests, folders of shards, training runs, "
            "evaluations. Of an object in a store: as this machine knows it.",
            show_default=False,
        ),
    ],
    json: Annotated[
        bool, typer.Option("--json", help="One JSON object on standard output.")
    ] = False,
) -> None:
    """Read lock, manifest, progress and ledger of each output."""
    from prism_cli.engine.status import find_open_batches, read_statuses, sum_statuses
    from prism_cli.terminal import print_json

    statuses = read_statuses(paths)
    sums, batches = sum_statuses(statuses), find_open_batches(statuses)
    if json:
        outputs = [status.to_json() for status in statuses]
        print_json({"outputs": outputs, "together": sums, "batches": batches})
        return
    if len(statuses) == 1:
        print(escape_invisible("\n".join(_lines(statuses[0]))))
    else:
        print(escape_invisible("\n".join(map(_line, statuses))))
        states = ", ".join(f"{count} {state}" for state, count in sums["states"].items())
        parts = [f"together: {len(statuses)} outputs ({states})", *_counted(sums["counts"])]
        print(", ".join([*parts, *_cost(sums["usage"]), f"{sums['seconds']:,.1f} s of work"]))
    for batch in batches:
        print(escape_invisible(_batch(batch)))


def _lines(status: "RunStatus") -> list[str]:
    """Return the lines of one output."""
    lines = [_line(status)]
    attempts = counted(status.attempts, "attempt")
    lines.append(f"  {attempts}, {status.seconds:,.1f} s of work")
    if status.usage.get("asked") or status.usage.get("from_ledger"):
        tokens = (
            f"{status.usage['input_tokens']:,} tokens in, {status.usage['output_tokens']:,} out"
        )
        lines.append(f"  {', '.join([*_cost(status.usage), tokens])}")
    for reason, count in status.counts.get("dropped", {}).items():
        lines.append(f"  dropped: {counted(count, 'row')}: {reason}")
    for bad in status.reject_reasons:
        field = f"{bad['field']}: " if bad["field"] else ""
        lines.append(f"  rejected: {counted(bad['count'], 'row')}: {field}{bad['reason']}")
    for reason, count in status.pending_reasons.items():
        lines.append(f"  pending: {counted(count, 'row')}: {reason}")
    if status.training:
        line = status.training | status.training.get("timed", {})
        plain = [item for item in line.items() if not isinstance(item[1], dict)]
        lines.append(f"  {', '.join(_figure(*item) for item in plain)}")
    return lines


def _line(status: "RunStatus") -> str:
    parts = [f"{status.path}: {status.stage or 'run'} {status.state}"]
    if status.state == "running":
        parts[0] += f" (process {status.process})"
    if status.label:
        parts.append(status.label)
    if status.state != "finished" and (status.total or status.through):
        of = f" of {status.total:,}" if status.total else ""
        rows = status.questions["nouns"][0] if status.questions else "rows"
        parts.append(f"{status.through:,}{of} {rows} through")
    if status.questions:
        of = f" of {status.questions['total']:,}" if status.questions["total"] else ""
        parts.append(f"{status.questions['answered']:,}{of} {status.questions['nouns'][1]}")
    parts += _counted(status.counts)
    if status.answered:
        parts.append(f"{status.answered:,} more answered so far")
    if status.state == "running" and status.questions.get("per_second"):
        parts.append(f"{status.questions['per_second']:,.1f}/s")
    elif status.rows_per_second:
        parts.append(f"{status.rows_per_second:,.1f} rows/s")
    if status.seconds_left is not None:
        parts.append(f"{status.seconds_left / 60:.1f} min left")
    if status.state == "running" and not status.label:
        parts.append("at its start: no row is worked yet")
    parts += status.inputs_changed[:_INPUTS]
    if more := len(status.inputs_changed[_INPUTS:]):
        parts.append(f"and {more:,} more inputs changed or gone")
    if status.usage.get("usd"):
        parts.append(f"{status.usage['usd']:.4f} USD")
    return ", ".join(parts)


def _batch(batch: dict[str, Any]) -> str:
    sent = datetime.fromtimestamp(batch["created_ms"] / 1000).strftime("%Y-%m-%d %H:%M")
    name = batch["batch"] or "a batch that was being sent"
    parts = [f"{name}: {batch['questions']:,} questions to {batch['model']}", f"sent {sent}"]
    if batch["usd"]:
        parts.append(f"about {batch['usd']:.4f} USD")
    return ", ".join([*parts, batch["words"] or "not looked at yet"])


def _figure(name: str, content: object) -> str:
    if name == "peak_memory_bytes" and isinstance(content, int):
        return f"peak memory {content / 2**30:.2f} GiB"
    return f"{label(name)} {value(content)}"


def _counted(counts: dict[str, object]) -> list[str]:
    parts = []
    for name in ("done", "dropped", "rejected", "pending"):
        value = counts.get(name, 0)
        count = sum(value.values()) if isinstance(value, dict) else value
        if isinstance(count, int) and count:
            parts.append(f"{count:,} {name}")
    return parts


def _cost(usage: dict[str, float]) -> list[str]:
    if not usage.get("asked"):
        return []
    asked = counted(int(usage["asked"]), "reply", "replies")
    parts = [f"{asked} asked", f"{usage.get('usd', 0.0):.4f} USD"]
    if usage.get("lost_calls"):
        parts.append(f"{usage['lost_calls']:,} calls without a reply that may be billed")
    return parts
