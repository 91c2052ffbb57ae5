"""The door: commands by name, and errors as messages and exit codes (here and nowhere else)."""

import errno
import importlib
import os
import sys
from typing import Any

import click
import typer
from typer.core import TyperGroup

from prism_cli import __version__
from prism_cli.errors import MissingPackageError, PrismError, StorageError

# In the pipeline's order. Word -> module of prism_cli.commands and what the command does.
COMMANDS = {
    "quickstart": ("quickstart", "The whole pipeline on bundled text, on a laptop, in minutes."),
    "collect": ("collect", "Pairs from BEIR folders, {query, pos, neg} rows or data sets."),
    "distill": ("distill", "Teacher scores, or contribution and evidence, for each pair."),
    "sample": ("sample", "A score-balanced, length-capped subset."),
    "relabel": ("relabel", "A verdict for each pair by a panel of judges."),
    "split": ("split", "Train and dev rows that share no query and no near-duplicate."),
    "train": ("train", "Train a reranker on pointwise and text objectives."),
    "rerank": ("rerank", "Score, verdict, contribution and evidence for documents."),
    "eval": ("evaluate", "nDCG and friends on BEIR folders, with paired tests."),
    "recipes": ("recipes", "List, show, copy and check the shipped settings."),
}
_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}


class PipelineGroup(TyperGroup):
    """Loads a command's module when it is asked for, so that `--help` answers at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All words, in the pipeline's order."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> Any:
        """The click command behind a word."""
        if cmd_name not in COMMANDS:
            return None
        module_name, summary = COMMANDS[cmd_name]
        if _only_listing(ctx):
            return click.Command(cmd_name, help=summary, short_help=summary)
        module = importlib.import_module(f"prism_cli.commands.{module_name}")
        command = typer.main.get_command(module.app)
        command.name = cmd_name
        command.short_help = summary
        return command


def _only_listing(ctx: click.Context) -> bool:
    words = [word for word in sys.argv[1:] if not word.startswith("-")]
    return not words and ctx.parent is None


app = typer.Typer(
    cls=PipelineGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: prism rerank pairs.jsonl -o reranked.jsonl --model hf:smollm2",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"prism {__version__}")
        raise typer.Exit


@app.callback()
def prism(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version."
    ),
    traceback: bool = typer.Option(
        False, "--traceback", help="Show the traceback of an unexpected error."
    ),
) -> None:
    """Rerankers that say why: curate, distill, train, rerank and evaluate, over JSONL shards."""
    if traceback:
        os.environ["PRISM_TRACEBACK"] = "1"


def main() -> None:
    """Run `prism` and leave with its exit code."""
    try:
        result = app(standalone_mode=False)
        code = result if isinstance(result, int) else 0
        sys.stdout.flush()
    except click.exceptions.Exit as leave:
        code = leave.exit_code
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.exceptions.Abort, KeyboardInterrupt):
        code = _told("stopped", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # no second complaint
        code = 141
    except PrismError as error:
        code = _told(str(error), error.exit_code)
    except Exception as error:
        code = _unexpected(error)
    sys.exit(code)


def _told(message: str, code: int) -> int:
    print(f"prism: error: {message}", file=sys.stderr)
    return code


def _unexpected(error: Exception) -> int:
    if isinstance(error, OSError) and error.errno in _DISK:
        return _told(str(error), StorageError.exit_code)
    if isinstance(error, ModuleNotFoundError) and error.name:
        package = error.name.partition(".")[0]
        if package != "prism_cli":
            return _told(str(MissingPackageError(package, "local")), 3)
    if os.environ.get("PRISM_TRACEBACK"):
        import traceback

        traceback.print_exception(error)
    return _told(
        f"unexpected {type(error).__name__}: {error}. This is a bug of prism; "
        "`prism --traceback COMMAND …` shows where",
        1,
    )


if __name__ == "__main__":
    main()
