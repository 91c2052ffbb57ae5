"""`prism ledger`: count, export, merge and repair the cached replies of paid APIs."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prism_cli.commands.options import check_new_file
from prism_cli.engine.rejects import DEFAULT_MAX_REJECTS
from prism_cli.files.names import typed_path
from prism_cli.wording import counted, label

if TYPE_CHECKING:
    from prism_cli.shards.ledger_file import LedgerFile

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Statistics, export, merge and repair of the stored paid replies.",
    epilog="Example: prism ledger export -o replies.jsonl.zst",
)
LedgerPath = Annotated[
    Path | None,
    typer.Argument(
        parser=typed_path,
        metavar="PATH",
        help="A ledger file, an output, or a folder of outputs; default the project's ledger.",
        show_default=False,
    ),
]
_FILES = 3
"""Most ledgers of local models that a message names."""
Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]


@app.command()
def stats(path: LedgerPath = None, json: Json = False) -> None:
    """Replies, refusals, tokens and cost by stage and model, and what each output cost."""
    from prism_cli.terminal import print_json

    file = _ledger(path)
    models, outputs = file.models(), file.spent()
    if json:
        size = file.path.stat().st_size
        content = {"path": str(file.path), "bytes": size, "models": models, "outputs": outputs}
        print_json(content)
        return
    print(f"{file.path}: {file.path.stat().st_size:,} bytes")
    if not models:
        print("no replies yet")
    _print_table("replies", models)
    _print_table("spent by output, in all its attempts", outputs)


@app.command()
def export(
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            parser=typed_path,
            metavar="PATH",
            help="New JSONL file (.gz, .zst), or - for stdout.",
        ),
    ],
    path: LedgerPath = None,
    stage: Annotated[str | None, typer.Option(help="Only this stage's replies.")] = None,
    model: Annotated[str | None, typer.Option(help="Only this model's replies.")] = None,
    since: Annotated[
        str | None, typer.Option(help="Only replies from this date (UTC) on: 2026-01-31.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
) -> None:
    """Write one JSON object a reply, for `prism ledger merge` on another machine."""
    from prism_cli.shards.writer import whole_file

    entries = _ledger(path).entries(stage=stage, model=model, since_ms=_milliseconds(since))
    if str(output) == "-":
        for entry in entries:
            sys.stdout.buffer.write(entry.line)
        return
    check_new_file(output, "replies.jsonl", overwrite=overwrite)
    count = 0
    with whole_file(output, follow=True) as part:
        for entry in entries:
            part.write(entry.line)
            count += 1
    print(f"wrote {counted(count, 'reply', 'replies')} to {output}", file=sys.stderr)


@app.command()
def merge(
    files: Annotated[
        list[str], typer.Argument(help="Exports (JSONL, .gz, .zst) and ledger files.")
    ],
    into: Annotated[
        Path | None,
        typer.Option(
            parser=typed_path,
            metavar="PATH",
            help="A ledger file, an output, or a folder; default the project's ledger.",
            show_default=False,
        ),
    ] = None,
    max_rejects: Annotated[
        float, typer.Option(min=0, max=1, help="Share of bad lines above which the exit code is 4.")
    ] = DEFAULT_MAX_REJECTS,
    json: Json = False,
) -> None:
    """Add replies from elsewhere. A reply that is here already stays; nothing counts as spent."""
    from prism_cli.engine.merge import merge_ledgers
    from prism_cli.terminal import print_json

    done = merge_ledgers(files, _target(into), max_rejects=max_rejects)
    merged = done.merged
    print(
        f"{done.into}: {counted(merged.new, 'reply', 'replies')} new, {merged.known:,} "
        f"known, {merged.conflicts:,} in conflict with one that was here and stayed, "
        f"{done.rejected:,} rejected",
        file=sys.stderr,
    )
    if done.rejects:
        print(f"set aside in {done.rejects}", file=sys.stderr)
    if json:
        print_json(done.to_json())
    if done.exit_code:
        raise typer.Exit(done.exit_code)


@app.command()
def repair(path: LedgerPath = None, json: Json = False) -> None:
    """Copy what a damaged ledger still holds to a new one; the damaged file is kept beside it."""
    from prism_cli.shards.ledger_repair import repair_ledger
    from prism_cli.terminal import print_json

    done = repair_ledger(_target(path))
    refused = counted(done.refusals, "refusal")
    held = f"{counted(done.replies, 'reply', 'replies')} ({refused}), which cost {done.usd:.4f} USD"
    if done.aside is None:
        print(f"{done.path}: nothing is damaged: {held}", file=sys.stderr)
    else:
        print(
            f"{done.path}: {held}, could be read; {done.lost:,} that could be seen could not. "
            f"Its outputs count {counted(done.asked, 'reply', 'replies')} asked. The damaged file "
            f"is {done.aside}",
            file=sys.stderr,
        )
        print(
            "what is missing is asked, and paid, again; --reuse OUT takes what outputs hold",
            file=sys.stderr,
        )
    if json:
        print_json(done.to_json())


def _ledger(path: Path | None) -> "LedgerFile":
    """Return the ledger that `path` names.

    Raises:
        MissingDataError: there is none.
    """
    from prism_cli.errors import MissingDataError
    from prism_cli.shards.ledger_file import LedgerFile, is_ledger_file
    from prism_cli.shards.local_ledger import local_ledgers
    from prism_cli.shards.state import ledger_path, ledgers_near, states_near

    if path is None:
        ledgers = [file for file in [ledger_path(None)] if file.is_file()]
    else:
        ledgers = [path] if is_ledger_file(path) else ledgers_near(path)
    if not ledgers:
        local = local_ledgers(states_near(path) if path else [ledger_path(None).parent])
        more = len(local) - _FILES
        hint = "Name a ledger file, an output, or the folder of an output"
        if local:
            hint = (
                "Replies of local models are in a ledger for each output; name its file: "
                f"{', '.join(map(str, local[:_FILES]))}{f' and {more:,} more' * (more > 0)}"
            )
        raise MissingDataError(
            f"{path or ledger_path(None)}: no ledger here; one begins with the first reply of a "
            f"provider. {hint}"
        )
    return LedgerFile(ledgers[0])


def _target(into: Path | None) -> Path:
    """Return the ledger file that --into names, which may not exist yet."""
    from prism_cli.shards.ledger_file import is_ledger_file
    from prism_cli.shards.state import LEDGER_NAME, ledgers_near, state_directory

    if into is None:
        return state_directory(None) / LEDGER_NAME
    if is_ledger_file(into) or into.suffix in (".sqlite", ".db"):
        return into
    near = ledgers_near(into)
    output = into if into.suffix and not into.is_dir() else into / "output"
    return near[0] if near else state_directory(output) / LEDGER_NAME


def _milliseconds(since: str | None) -> int:
    from datetime import UTC, datetime

    from prism_cli.errors import UsageError

    if since is None:
        return 0
    try:
        moment = datetime.fromisoformat(since)
    except ValueError:
        raise UsageError(f"--since {since}: expected a date such as 2026-01-31") from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000)


def _print_table(title: str, rows: Sequence[dict[str, Any]]) -> None:
    from prism_cli.commands.tables import print_table

    if rows:
        print_table(title, [{label(key): row[key] for key in row} for row in rows])
