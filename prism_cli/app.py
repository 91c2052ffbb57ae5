"""Entry point: dispatches commands; turns errors into messages and exit codes (only here)."""

import errno
import importlib
import inspect
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from traceback import walk_tb
from types import FrameType

import typer
from typer import _click as click  # typer vendors click; the package click may be absent
from typer.core import TyperCommand, TyperGroup

from prism_cli.commands.help_end import help_end, shorten_types
from prism_cli.commands.option_checks import check_values, is_text
from prism_cli.errors import (
    InterruptedRunError,
    MissingPackageError,
    PrismError,
    StorageError,
    UsageError,
    stdout_refused,
)
from prism_cli.reporting.sanitize import escape_invisible
from prism_cli.terminal import Log, accept_all_characters, leave
from prism_cli.version import __version__
from prism_cli.wording import expected, most_similar, wrapped

# Word -> module of prism_cli.commands, and what the command does.
COMMANDS = {
    "quickstart": ("quickstart", "The whole pipeline on bundled text, on a laptop, in minutes."),
    "rerank": ("rerank", "Score documents for queries; say yes or no, and why."),
    "collect": ("collect", "Pairs from corpora, rows, runs, data sets, the web; queries."),
    "rewrite-queries": ("rewrite_queries", "Keyword-style queries, for a share of them."),
    "distill": ("distill", "Add teacher scores, and contribution and evidence for yes."),
    "eval": ("eval_ranking", "nDCG and other measures on BEIR folders, with paired tests."),
    "show": ("show", "Reranked rows as people read them, with cited sentences marked."),
    "report": ("report", "Render finished evaluations, or compare them side by side."),
    "sample": ("sample", "A score-balanced, length-capped subset."),
    "relabel": ("relabel", "A panel of judges says yes or no to every row."),
    "split": ("split", "Train and dev, clear of near-duplicates and evaluation sets."),
    "shard": ("shard", "Shards of about N rows each, which never cut a query."),
    "train": ("train", "Train a reranker on pointwise and sft objectives."),
    "export": ("export", "A folder that sentence-transformers, transformers and vLLM load."),
    "doctor": ("doctor", "Test the key and the answer of each judge."),
    "serve": ("serve", "Answer rerank requests over HTTP, for the clients of other services."),
    "mcp": ("mcp", "Give an agent the tool that reads documents for a question."),
    "convert": ("convert", "Rows to and from the shapes of other tools."),
    "status": ("status", "State of a run: rows, cost, time left; also while it works."),
    "ledger": ("ledger", "Statistics, export, merge and repair of the stored paid replies."),
    "schema": ("schema", "The settings of a stage as JSON Schema."),
    "recipes": ("recipes", "List, show, copy and check the shipped settings."),
    "help": ("help", "Read about a topic: rows, models, providers, settings and more."),
}
# Two words that form one command: `eval quality` always (a folder of that name needs `./`),
# `collect synthesize` unless a file or folder of that name exists.
SECOND_WORDS = {
    ("collect", "synthesize"): "synthesize",
    ("eval", "quality"): "eval_quality",
    ("eval", "answers"): "eval_answers",
    ("eval", "labels"): "eval_labels",
}
# Groups of `prism --help`, in the pipeline's order.
GROUPS = {
    "Start here": ("quickstart", "help"),
    "Curate data": (
        "collect",
        "rewrite-queries",
        "distill",
        "sample",
        "relabel",
        "split",
        "shard",
    ),
    "Train and use": ("train", "rerank", "serve", "mcp", "show"),
    "Measure": ("eval", "report"),
    "Export and convert": ("export", "convert"),
    "Settings and state": ("recipes", "schema", "status", "doctor", "ledger"),
}
SHORT = {"help", "show", "report", "recipes", "schema", "status", "doctor", "ledger"}
"""Commands that finish at once: their lines need no date."""
_ENVIRONMENT = {
    errno.EACCES, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EISDIR, errno.ELOOP, errno.EMFILE,
    errno.ENAMETOOLONG, errno.ENFILE, errno.ENOSPC, errno.ENOTDIR, errno.EPERM, errno.EROFS,
}  # fmt: skip
"""errno values of errors that the machine causes, not prism."""


class PipelineGroup(TyperGroup):
    """Loads a command's module when the command is run, which keeps `prism --help` fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return all command names, in the pipeline's order."""
        grouped = [word for words in GROUPS.values() for word in words if word in COMMANDS]
        return grouped + [word for word in COMMANDS if word not in grouped]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command with its help line alone, for listings."""
        if cmd_name not in COMMANDS:
            return None
        panel = next((name for name, words in GROUPS.items() if cmd_name in words), None)
        _, summary = COMMANDS[cmd_name]
        return TyperCommand(cmd_name, help=summary, short_help=summary, rich_help_panel=panel)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the first word or two name, with its module loaded."""
        word, rest = args[0], args[1:]
        if word not in COMMANDS:
            near = most_similar(word, COMMANDS)
            ctx.fail(f"No such command {word!r}." + (f" Did you mean {near!r}?" if near else ""))
        name = COMMANDS[word][0]
        second = SECOND_WORDS.get((word, rest[0])) if rest else None
        if second and (word == "eval" or not os.path.exists(rest[0])):
            name, word, rest = second, f"{word} {rest[0]}", rest[1:]
        module = importlib.import_module(f"prism_cli.commands.{name}")
        command = typer.main.get_command(module.app)
        command.name = word
        if not command.epilog:  # of a single command, typer keeps it on the group
            command.epilog = typer.main.get_group(module.app).epilog
        command.epilog = help_end(word, command.epilog)
        for each in (command, *getattr(command, "commands", {}).values()):
            each.help = _paragraphs(each.help or "")
            check_values(each)
            shorten_types(each)
        return word, command, rest


def _paragraphs(text: str) -> str:
    """Return a docstring with each paragraph on one line, for the terminal to wrap."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


app = typer.Typer(
    cls=PipelineGroup,
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Topics:  prism help\n\n"
    "Example: prism rerank pairs.jsonl -o reranked.jsonl --model hf:prism-tiny",
)


def _version(requested: bool) -> None:
    if requested:
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
    """Train and use rerankers that explain their verdicts; every stage reads and writes JSONL."""
    if traceback:
        os.environ["PRISM_TRACEBACK"] = "1"


def main() -> None:
    """Run `prism` and exit with its exit code."""
    _replace_closed_streams()
    accept_all_characters()
    words = sys.argv[1:]
    log = _log(words)
    if log is None:
        leave(_flushed(_run(words)))
    with _terminated_as_interrupted():
        try:
            log.begin()
            code = _run(words, plain=True)
        except BrokenPipeError:
            code = 141
        try:
            log.end(code)
        except OSError:
            code = code or 141
    leave(_flushed(code))


def _replace_closed_streams() -> None:
    """Use the null device where standard input, output or error is closed, as some services start
    programs: a file or socket opened later would get its number."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115


def _log(words: Sequence[str]) -> Log | None:
    """Return a log for a long command whose standard error is no terminal; None for others."""
    shown = {"-h", "--help", "--version"} & set(words)
    command = next((word for word in words if not word.startswith("-")), "")
    if shown or command not in COMMANDS.keys() - SHORT or sys.stderr.isatty():
        return None
    rest = words[words.index(command) + 1 :]
    if rest and (command, rest[0]) in SECOND_WORDS:
        command = f"{command} {rest[0]}"
    quiet = any(word == "--quiet" or re.fullmatch("-[qv]*q[qv]*", word) for word in words)
    return Log(command, words, quiet=quiet)


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Raise InterruptedRunError at SIGTERM, unless a command installs a handler of its own."""

    def on_signal(number: int, _frame: FrameType | None) -> None:
        raise InterruptedRunError(number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, on_signal)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _run(words: Sequence[str], *, plain: bool = False) -> int:
    """Run a command; print its error, if any, and return its exit code.

    Args:
        plain: print usage errors on one line, for a log.
    """
    code = 0
    try:
        for word in words:
            if not is_text(word) and not os.path.isfile(word):
                raise UsageError(f"{word!r}: is not {sys.getfilesystemencoding()}; rename the file")
        # Not `app()`: typer exits with 1 if a pipe is closed.
        command = typer.main.get_command(app)
        with command.make_context("prism", list(words)) as context:
            command.invoke(context)
        sys.stdout.flush()
    except typer.Exit as leave:
        code = leave.exit_code
    except click.ClickException as error:
        code = error.exit_code
        error.message = expected(error.message)
        _name_dashed_file(error, words)
        if plain:
            _print_error(error.format_message(), code)
        else:
            with suppress(OSError):
                error.show()
    except SystemExit as end:  # rich leaves so where a pipe is closed
        if not isinstance(end.__context__, BrokenPipeError):
            raise
        code = 141
    except (typer.Abort, KeyboardInterrupt):
        code = _print_error("stopped", 130)
    except BrokenPipeError:
        code = 141
    except PrismError as error:
        code = _print_error(str(error), error.exit_code)
    except Exception as error:
        code = _unexpected(error)
    return code


def _name_dashed_file(error: click.ClickException, words: Sequence[str]) -> None:
    """Explain how to give a file whose name looks like an unknown option."""
    dashed = next((word for word in words if word.startswith("-") and os.path.exists(word)), None)
    if dashed and isinstance(error, click.exceptions.NoSuchOption):
        error.message += f"; the file {dashed} is given as ./{dashed}"


def _flushed(code: int) -> int:
    """Flush standard output and error; return the exit code, without a second error of a pipe."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            code = code or 141
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            code = code or _print_error(str(stdout_refused(error)), StorageError.exit_code)
    return code


def _print_error(message: str, code: int) -> int:
    with suppress(OSError):  # the exit code stands where nobody reads the message
        print(wrapped(escape_invisible(f"prism: error: {message}"), sys.stderr), file=sys.stderr)
    return code


def _of_stdout(error: OSError) -> bool:
    """Return whether a print failed: commands write their files by other modules."""
    *_, (frame, _) = walk_tb(error.__traceback__)
    module = frame.f_globals.get("__name__", "")
    printing = (__name__, "prism_cli.commands.", "typer.", "rich.")
    return error.filename is None and module.startswith(printing)


def _unexpected(error: Exception) -> int:
    if os.environ.get("PRISM_TRACEBACK"):
        import traceback

        traceback.print_exception(error)
    if isinstance(error, OSError) and error.errno in _ENVIRONMENT:
        error = stdout_refused(error) if _of_stdout(error) else error
        return _print_error(str(error), StorageError.exit_code)
    if isinstance(error, ModuleNotFoundError) and error.name:
        package = error.name.partition(".")[0]
        if package != "prism_cli":
            return _print_error(
                str(MissingPackageError(package, "local")), MissingPackageError.exit_code
            )
    return _print_error(
        f"unexpected {type(error).__name__}: {error}. This is a bug of prism; "
        "`prism --traceback COMMAND …` shows where",
        1,
    )


if __name__ == "__main__":
    main()
