"""The `prism` command lines that documentation and scripts show, and a parser for them."""

import contextlib
import re
import shlex
from pathlib import Path

import typer
from typer._click.exceptions import MissingParameter
from typer.core import TyperGroup

from prism_cli.app import app

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
TOPICS = sorted((ROOT / "prism_cli" / "help").glob("*.md"))
SCRIPTS = sorted(
    path for path in (ROOT / "recipes").rglob("*") if path.suffix in (".sh", ".sbatch")
)
_BLOCK = re.compile(r"^```(console|bash)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`(prism [^`…]+)`")
_PLACEHOLDER = re.compile(r"\b[A-Z]{2,}\b")
_OPERATORS = ("&&", "||", "|", ">", ">>", ";")


def commands_in(path: Path) -> list[str]:
    """Return every command line of a file that runs prism: its words from `prism` on.

    In Markdown these are lines of `console` and `bash` blocks, and code in running text.
    """
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".md":
        return commands_of_script(text)
    lines = []
    for kind, block in _BLOCK.findall(text):
        lines += re.findall(r"^\$ (.*)", block, re.MULTILINE) if kind == "console" else [block]
    inline = _INLINE.findall(" ".join(text.split()))
    lines += [line for line in inline if not _PLACEHOLDER.search(line)]
    return commands_of_script("\n".join(lines))


def commands_of_script(text: str) -> list[str]:
    """Return every command line of a shell script that runs prism."""
    commands = []
    text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text.replace("\\\n", " "))
    text = re.sub(r"\$\(\(.*?\)\)", "2", text)
    for line in text.splitlines():
        words = shlex.split(line, comments=True) if "prism" in line else []
        for start, word in enumerate(words):
            previous = words[start - 1] if start else "&&"
            run = word == "prism" and previous in (*_OPERATORS, "--", "exec")
            if run or (previous, word) == ("-m", "prism_cli"):
                commands.append(shlex.join(["prism", *_until_operator(words[start + 1 :])]))
    return commands


def _until_operator(words: list[str]) -> list[str]:
    return words[: min((words.index(word) for word in _OPERATORS if word in words), default=None)]


def parse(line: str) -> None:
    """Parse a command line as `prism` does, without running the command.

    Raises:
        typer._click.ClickException: no such command or option, or an invalid value. A missing
            argument is none: running text names commands without their files.
    """
    group = typer.main.get_command(app)
    context = typer.Context(group, info_name="prism")
    words = [word for word in shlex.split(line)[1:] if word not in ("-h", "--help")]
    while isinstance(group, TyperGroup) and words:
        name, command, words = group.resolve_command(context, words)
        assert command is not None
        with contextlib.suppress(MissingParameter):
            context = command.make_context(name, list(words), parent=context)
        group = command
