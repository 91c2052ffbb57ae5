"""`prism status`: how runs stand, from another terminal; nothing is disturbed."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prism_cli.reporting.sanitize import escape_invisible
from prism_cli.wording import counted, label, value

if TYPE_CHECKING:
    from prism_cli.engine.status import RunStatus

_INPUTS = 3
"""Changed inputs that are named of an output."""

app = typer.Typer(
    add_completion=False,
    help="Tell how a run stands: rows, cost, time left; also while it works.",
    epilog="Example: prism status data.relabel.jsonl",
)


@app.command()
def status(
    paths: Annotated[
        list[Path],
        typer.Argument(
            help="Outputs (also in the making), manifests, folders of shards, training runs, "
            "evaluations.",
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

    found = read_statuses(paths)
    sums, batches = sum_statuses(found), find_open_batches(found)
    if json:
        outputs = [one.to_json() for one in found]
        print_json({"outputs": outputs, "together": sums, "batches": batches})
        return
    if len(found) == 1:
        print(escape_invisible("\n".join(_lines(found[0]))))
    else:
        print(escape_invisible("\n".join(map(_line, found))))
        states = ", ".join(f"{count} {state}" for state, count in sums["states"].items())
        parts = [f"together: {len(found)} outputs ({states})", *_counted(sums["counts"])]
        print(", ".join([*parts, *_cost(sums["usage"]), f"{sums['seconds']:,.1f} s of work"]))
    for batch in batches:
        print(escape_invisible(_batch(batch)))


def _lines(one: "RunStatus") -> list[str]:
    """All there is to say of one output."""
    lines = [_line(one)]
    attempts = counted(one.attempts, "attempt")
    lines.append(f"  {attempts}, {one.seconds:,.1f} s of work")
    if one.usage.get("asked") or one.usage.get("from_ledger"):
        tokens = f"{one.usage['input_tokens']:,} tokens in, {one.usage['output_tokens']:,} out"
        lines.append(f"  {', '.join([*_cost(one.usage), tokens])}")
    for reason, count in one.counts.get("dropped", {}).items():
        lines.append(f"  dropped: {counted(count, 'row')}: {reason}")
    for bad in one.reject_reasons:
        place = f"{bad['field']}: " if bad["field"] else ""
        lines.append(f"  rejected: {counted(bad['count'], 'row')}: {place}{bad['reason']}")
    for reason, count in one.pending_reasons.items():
        lines.append(f"  pending: {counted(count, 'row')}: {reason}")
    if one.training:
        line = one.training | one.training.get("timed", {})
        plain = [one for one in line.items() if not isinstance(one[1], dict)]
        lines.append(f"  {', '.join(_figure(*one) for one in plain)}")
    return lines


def _line(one: "RunStatus") -> str:
    parts = [f"{one.path}: {one.stage or 'run'} {one.state}"]
    if one.state == "running":
        parts[0] += f" (process {one.process})"
    if one.label:
        parts.append(one.label)
    if one.state != "finished" and (one.total or one.through):
        of = f" of {one.total:,}" if one.total else ""
        rows = one.questions["nouns"][0] if one.questions else "rows"
        parts.append(f"{one.through:,}{of} {rows} through")
    if one.questions:
        of = f" of {one.questions['total']:,}" if one.questions["total"] else ""
        parts.append(f"{one.questions['answered']:,}{of} {one.questions['nouns'][1]}")
    parts += _counted(one.counts)
    if one.answered:
        parts.append(f"{one.answered:,} more answered so far")
    if one.state == "running" and one.questions.get("per_second"):
        parts.append(f"{one.questions['per_second']:,.1f}/s")
    elif one.rows_per_second:
        parts.append(f"{one.rows_per_second:,.1f} rows/s")
    if one.seconds_left is not None:
        parts.append(f"{one.seconds_left / 60:.1f} min left")
    if one.state == "running" and not one.label:
        parts.append("at its start: no row is worked yet")
    parts += one.inputs_changed[:_INPUTS]
    if more := len(one.inputs_changed[_INPUTS:]):
        parts.append(f"and {more:,} more inputs changed or gone")
    if one.usage.get("usd"):
        parts.append(f"{one.usage['usd']:.4f} USD")
    return ", ".join(parts)


def _batch(one: dict[str, Any]) -> str:
    sent = datetime.fromtimestamp(one["created_ms"] / 1000).strftime("%Y-%m-%d %H:%M")
    name = one["batch"] or "a batch that was being sent"
    parts = [f"{name}: {one['questions']:,} questions to {one['model']}", f"sent {sent}"]
    if one["usd"]:
        parts.append(f"about {one['usd']:.4f} USD")
    return ", ".join([*parts, one["words"] or "not looked at yet"])


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
