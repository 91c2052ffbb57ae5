"""`prism status`: the state of runs, finished or in progress. Only reads files."""

import platform
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prism_cli.commands.options import output_path
from prism_cli.reporting.sanitize import escape_invisible
from prism_cli.wording import counted, duration, label, rate, value, wrapped

if TYPE_CHECKING:
    from orjson import Fragment

    from prism_cli.engine.status import Found, RunStatus
    from prism_cli.engine.status_sums import StatusSums

_INPUTS = 3
"""Maximum number of changed inputs listed per output."""
_CHANGED = "finished, with inputs that changed since"
_HEADINGS = ("running", "hung", "stopped", "pending", "refused", "given up", _CHANGED)
"""Headings of outputs that are not simply finished or not yet begun, in order."""
_LISTED = 20
"""Most outputs of which each has a line, and most lines under a heading."""

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
    from prism_cli.engine.status import find_open_batches, find_outputs, read_statuses
    from prism_cli.engine.status_sums import StatusSums
    from prism_cli.terminal import print_json

    found, sums = find_outputs(paths), StatusSums()
    if json:
        outputs = _array(read_statuses(found), sums)
        boards = {id(folder): folder.board for folder, _ in found if folder.board}
        runs = [{**board, "shards": len(board["shards"])} for board in boards.values()]
        batches = find_open_batches(found)
        print_json(
            {"outputs": outputs, "together": sums.to_json(), "runs": runs, "batches": batches}
        )
        return
    special = {heading: list[str]() for heading in _HEADINGS}
    lines: list[str] = []
    for status in read_statuses(found):
        sums.add(status)
        if len(found) == 1:
            lines += _lines(status)
        elif len(found) <= _LISTED:
            lines.append(_line(status))
        else:
            _sort_in(status, special)
    if len(found) > 1:
        lines += _sums(sums) + ([] if sums.processes else _at_start(found))
    for heading, items in special.items():
        lines += [f"{heading}:"] * bool(items) + items[:_LISTED]
        if (more := len(items) - _LISTED) > 0:
            lines.append(f"  and {more:,} more (--json has all)")
    for line in [*lines, *map(_batch, find_open_batches(found))]:
        print(wrapped(escape_invisible(line), sys.stdout))


def _array(statuses: "Iterable[RunStatus]", sums: "StatusSums") -> "Fragment":
    """Add the outputs to the sums; return their JSON, which takes less memory than the objects."""
    import orjson

    array = bytearray(b"[")
    for status in statuses:
        sums.add(status)
        array += orjson.dumps(status.to_json(), option=orjson.OPT_NON_STR_KEYS) + b","
    return orjson.Fragment(bytes(array).removesuffix(b",") + b"]")


def _sort_in(status: "RunStatus", special: dict[str, list[str]]) -> None:
    """Add the line of an output that is not simply finished or not yet begun under its heading."""
    if status.inputs_changed:
        heading = _CHANGED
    elif status.state in ("finished", "never started"):
        return
    else:
        heading = status.state
    lines = special[heading]
    lines.append(f"  {_line(status, short=True)}" if len(lines) < _LISTED else "")


def _sums(sums: "StatusSums") -> list[str]:
    """Return the lines on all outputs together."""
    states = ", ".join(f"{count:,} {state}" for state, count in sums.states.most_common())
    parts = [f"together: {sums.outputs:,} outputs ({states})", *_counted(sums.counts)]
    parts += [*_cost(sums.usage), f"{sums.seconds:,.1f} s of work"]
    lines = [", ".join(parts)]
    if sums.processes:
        by = f" on {counted(len(sums.hosts), 'host')}" if len(sums.hosts) > 1 else ""
        speed = f"{rate(sums.rows_per_second, 'rows')} by " if sums.rows_per_second else ""
        working = counted(len(sums.processes), "process", "processes")
        now = [f"now: {speed}{working}{by}"]
        if sums.seconds_left is not None:
            now.append(f"about {duration(sums.seconds_left)} left for all")
        lines.append(", ".join(now))
    return lines


def _at_start(found: "Sequence[Found]") -> list[str]:
    """Return a line on the processes of runs that have not begun a shard, as far as it is known."""
    from prism_cli.engine.run_board import is_at_work

    boards = {id(folder): folder.board for folder, _ in found}.values()
    processes = [
        f"{process['pid']} on {process['host']}"
        for board in boards
        for process in board.get("processes", {}).values()
        if is_at_work(process)
    ]
    if not processes:
        return []
    more = f" and {len(processes) - _INPUTS:,} more" if len(processes) > _INPUTS else ""
    return [f"at their start, without a shard yet: {', '.join(processes[:_INPUTS])}{more}"]


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


def _line(status: "RunStatus", *, short: bool = False) -> str:
    """Return the line of an output; a short one stands under a heading that says its state."""
    name = Path(status.path).name if short else status.path
    parts = [name if short else f"{name}: {status.stage or 'run'} {status.state}"]
    if status.reason:
        parts[0] += f": {status.reason}"
    if status.state in ("running", "hung"):
        parts[0] += f" ({_place(status, always_host=short)})"
        parts += _since(status)
    if status.lost:
        parts.append(f"{counted(status.lost, 'attempt')} lost")
    if status.label and not short:
        parts.append(status.label)
    if status.learning:
        first, rows = (f"{status.learning[name]:,}" for name in ("through", "total"))
        of = f" (of {status.total:,})" if status.total else ""
        parts.append(f"audit rows first: {first} of {rows} through; no other row yet{of}")
    elif status.state == "running" and not status.through:
        parts.append("no row finished yet" + (f" (of {status.total:,})" if status.total else ""))
    elif status.state != "finished" and (status.total or status.through):
        of = f" of {status.total:,}" if status.total else ""
        rows = status.questions["nouns"][0] if status.questions else "rows"
        parts.append(f"{status.through:,}{of} {rows} through")
    if status.questions:
        of = f" of {status.questions['total']:,}" if status.questions["total"] else ""
        parts.append(f"{status.questions['answered']:,}{of} {status.questions['nouns'][1]}")
    if not (short and status.state == "running"):
        parts += _counted(status.counts)
    if status.answered:
        parts.append(f"{status.answered:,} more answered so far")
    if status.state == "running" and status.questions.get("per_second"):
        parts.append(f"{status.questions['per_second']:,.1f}/s")
    elif status.rows_per_second:
        parts.append(rate(status.rows_per_second, "rows"))
    if status.seconds_left is not None:
        left = status.seconds_left
        parts.append(f"{duration(left) if short else f'{left / 60:.1f} min'} left")
    parts += status.inputs_changed[:_INPUTS]
    if more := len(status.inputs_changed[_INPUTS:]):
        parts.append(f"and {more:,} more inputs changed or gone")
    if status.usage.get("usd"):
        parts.append(f"{status.usage['usd']:.4f} USD")
    return ", ".join(parts)


def _place(status: "RunStatus", *, always_host: bool) -> str:
    parts = [f"process {status.process}"] if status.process else []
    if status.host and (always_host or status.host != platform.node()):
        parts.append(f"on {status.host}")
    if status.worker:
        parts.append(f"as {status.worker}")
    return " ".join(parts)


def _since(status: "RunStatus") -> list[str]:
    if not status.since_ms:
        return []
    began = datetime.fromtimestamp(status.since_ms / 1000)
    today = began.date() == datetime.now().date()
    return [f"since {began:%H:%M}" if today else f"since {began:%Y-%m-%d %H:%M}"]


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


def _counted(counts: Mapping[str, object]) -> list[str]:
    parts = []
    for name in ("done", "dropped", "rejected", "pending"):
        value = counts.get(name, 0)
        count = sum(value.values()) if isinstance(value, dict) else value
        if isinstance(count, int) and count:
            parts.append(f"{count:,} {name}")
    return parts


def _cost(usage: Mapping[str, float]) -> list[str]:
    if not usage.get("asked"):
        return []
    asked = counted(int(usage["asked"]), "reply", "replies")
    parts = [f"{asked} asked", f"{usage.get('usd', 0.0):.4f} USD"]
    if usage.get("lost_calls"):
        parts.append(f"at most {usage['lost_calls']:,} calls without a reply that may be billed")
    return parts
