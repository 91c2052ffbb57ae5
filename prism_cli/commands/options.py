"""Options that commands share, and the decorator that gives them to a command."""

import functools
import inspect
import sys
from collections.abc import Callable, Sequence
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import typer

from prism_cli.engine.rejects import DEFAULT_MAX_REJECTS
from prism_cli.files.names import is_folder, typed_path
from prism_cli.files.urls import is_url, local_name, staged_path

PANEL, RERUN_PANEL, PAID_PANEL = "Common options", "Stopping and continuing", "Paid requests"

Inputs = Annotated[
    list[str],
    typer.Argument(
        help="Files of rows (JSONL, CSV, TSV, Parquet, JSON; .gz, .zst too), globs, directories, "
        "s3://BUCKET/KEY (topic storage), or - for JSONL on standard input.",
        show_default=False,
    ),
]

MOST_ROWS = 2**63 - 1
"""Settings are kept as JSON, whose integers have 64 bits."""


def panel_option(*names: str, help: str, panel: str = PANEL, **more: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=panel, show_default=False, **more)


def output_path(name: str) -> Path:
    """Return the path of an output, which may be an object in a store."""
    if is_url(name):
        from prism_cli.shards.state import state_directory

        return staged_path(name, state_directory(None))
    return typed_path(local_name(name))


Recipe = Annotated[
    str | None, panel_option("--recipe", help="Shipped recipe or TOML file with settings.")
]
Sets = Annotated[list[str], panel_option("--set", help="One setting, as KEY=VALUE; repeatable.")]

_rerun_option = functools.partial(panel_option, panel=RERUN_PANEL)
_paid_option = functools.partial(panel_option, panel=PAID_PANEL)


def output_option(help: str) -> Any:
    return panel_option("-o", "--output", parser=output_path, metavar="PATH", help=help)


EvaluationFolder = Annotated[
    Path | None, output_option("Folder of metrics.json and report.html; default in runs/eval.")
]


@dataclass
class Common:
    """Shared options of a command."""

    output: Annotated[
        Path | None,
        output_option("Output file, or directory (slash at the end); default beside the input."),
    ] = None
    recipe: Recipe = None
    sets: Sets = field(default_factory=list)
    limit: Annotated[
        int | None,
        panel_option(
            "--limit",
            min=1,
            callback=lambda limit: limit and min(limit, MOST_ROWS),
            help="Only the first N rows of each output.",
        ),
    ] = None
    seed: Annotated[
        int | None, panel_option("--seed", help="Seed of random choices; default 0.")
    ] = None
    overwrite: Annotated[
        bool,
        _rerun_option("--overwrite", help="Replace an output of other settings; keeps replies."),
    ] = False
    if_changed: Annotated[
        Literal["refuse", "redo"],
        _rerun_option(
            "--if-changed",
            metavar="WORD",
            help="An output whose input or settings changed: refuse (default) leaves it, exit code "
            "2; redo makes it again. Grown inputs continue.",
        ),
    ] = "refuse"
    fresh: Annotated[bool, _rerun_option("--fresh", help="Ignore replies in the ledger.")] = False
    accept_lost_replies: Annotated[
        bool,
        _rerun_option(
            "--accept-lost-replies",
            help="Continue without paid replies that the ledger lacks; pays again.",
        ),
    ] = False
    max_rejects: Annotated[
        float,
        _rerun_option(
            "--max-rejects", min=0, max=1, help="Share of bad rows above which the exit code is 4."
        ),
    ] = DEFAULT_MAX_REJECTS
    max_seconds: Annotated[
        float | None,
        _rerun_option(
            "--max-seconds", min=0, help="Stop cleanly after N seconds, with exit code 7."
        ),
    ] = None
    fields: Annotated[
        list[str],
        panel_option("--field", help="Other field name: document=passage; repeatable."),
    ] = field(default_factory=list)
    accept_pending: Annotated[
        bool,
        _rerun_option("--accept-pending", help="Publish without rows that got no reply."),
    ] = False
    json: Annotated[bool, panel_option("--json", help="Summary as JSON on standard output.")] = (
        False
    )
    quiet: Annotated[bool, panel_option("-q", "--quiet", help="No progress and no summary.")] = (
        False
    )
    verbose: Annotated[bool, panel_option("-v", "--verbose", help="Say more.")] = False

    @property
    def field_names(self) -> dict[str, str]:
        """--field as contract name -> name in the input.

        Raises:
            UsageError: not NAME=NAME, no field that prism knows, or one twice.
        """
        from prism_cli.commands.field_names import parsed_fields

        return parsed_fields(self.fields)


@dataclass
class Paid(Common):
    """Shared options of a command that may send paid requests."""

    provider_file: Annotated[
        str | None,
        _paid_option("--provider-file", help="TOML file of further providers."),
    ] = None
    dry_run: Annotated[
        bool,
        _paid_option(
            "--dry-run", help="Estimate calls, tokens, cost and time; ask and write nothing."
        ),
    ] = False
    max_cost: Annotated[
        float | None,
        _paid_option(
            "--max-cost", min=0, help="Stop cleanly before N US dollars, with exit code 7."
        ),
    ] = None
    batch: Annotated[
        bool,
        _paid_option(
            "--batch",
            help="Batch files where a provider takes them: half price, within a day.",
        ),
    ] = False
    concurrency: Annotated[
        int | None,
        _paid_option("--concurrency", min=1, max=1000, help="Calls in flight per provider."),
    ] = None
    reuse: Annotated[
        list[str],
        _paid_option(
            "--reuse",
            help="Rows with votes, scores and texts paid for already; repeatable.",
        ),
    ] = field(default_factory=list)
    retry_final: Annotated[
        bool,
        _paid_option("--retry-final", help="Repeat requests refused for good."),
    ] = False


@dataclass
class EvalCommon(Common):
    """Shared options of an evaluation."""

    output: EvaluationFolder = None


@dataclass
class EvalPaid(Paid):
    """Shared options of an evaluation that may send paid requests."""

    output: EvaluationFolder = None


def with_common(command: Callable[..., None]) -> Callable[..., None]:
    """Add the shared options to `command`, whose parameter `common` (Common or Paid) then carries
    them."""
    cls: type[Common] = get_type_hints(command, include_extras=True)["common"]
    hints = get_type_hints(cls, include_extras=True)
    shared = [
        inspect.Parameter(
            option.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=option.default if option.default is not MISSING else [],
            annotation=hints[option.name],
        )
        for option in fields(cls)
    ]
    signature = inspect.signature(command, eval_str=True)
    own = [option for name, option in signature.parameters.items() if name != "common"]

    @functools.wraps(command)
    def wrapped(**values: Any) -> None:
        common = cls(**{option.name: values.pop(option.name) for option in fields(cls)})
        from prism_cli.shards.reader import listed_once

        with listed_once():
            command(**values, common=common)

    return with_parameters(wrapped, [*own, *shared])


def with_parameters(
    command: Callable[..., None], parameters: Sequence[inspect.Parameter]
) -> Callable[..., None]:
    """Give a wrapped command the signature that typer reads: these parameters, by name only."""
    by_name = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]
    command.__signature__ = inspect.Signature(by_name)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in by_name}
    del command.__wrapped__  # type: ignore[attr-defined]
    return command


def evaluation_folder(output: Path | None, inputs: list[str], kind: str) -> Path:
    """Return the folder of an evaluation of rows; runs/eval/NAMES-KIND without -o.

    Raises:
        UsageError: as `check_folder_name`.
    """
    from prism_cli.evaluation.metrics_file import default_folder

    if output is not None:
        check_folder_name(output)
        return output
    folder = default_folder(
        "+".join(Path(name).name.partition(".")[0] or "stdin" for name in inputs), 100
    )
    return folder.with_name(f"{folder.name}-{kind}")


def check_folder_name(output: Path) -> None:
    """Refuse an -o that cannot be the folder of an evaluation.

    Raises:
        UsageError: it is a file, or "-".
    """
    from prism_cli.errors import UsageError

    if str(output) == "-" or output.is_file():
        raise UsageError(f"-o {output}: expected a folder, for metrics.json and report.html")


def check_new_file(path: Path, example: str, *, overwrite: bool | None = None) -> None:
    """Refuse a path at which no new file can be written.

    Args:
        example: name of such a file, for the message.
        overwrite: whether the command may replace a file; None if it has no such option.

    Raises:
        UsageError: the path is that of a folder, or a file exists and is not to be replaced.
    """
    from prism_cli.errors import UsageError

    if is_folder(path):
        raise UsageError(f"{path}: is a folder; name a file, such as {path / example}")
    if path.exists() and not overwrite:
        option = "" if overwrite is None else ", or give --overwrite"
        raise UsageError(f"{path}: exists already; name a new file{option}")


def print_report_path(metrics: Path, *, finished_before: bool) -> None:
    """Print, on standard error, the files that an evaluation wrote."""
    done = f"{metrics}: finished before, nothing to do" if finished_before else f"wrote {metrics}"
    print(done, file=sys.stderr)
    print(f"open in a browser: {metrics.with_name('report.html')}", file=sys.stderr, flush=True)
