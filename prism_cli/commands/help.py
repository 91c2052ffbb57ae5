"""`prism help`: the topics of the manual, which are Markdown files in `prism_cli/help`."""

import re
import sys
from typing import Annotated

import typer
from typer.core import TyperGroup

from prism_cli.bundled import HELP
from prism_cli.errors import UsageError
from prism_cli.wording import did_you_mean

MAX_WIDTH = 110
"""Columns of a topic on a wide terminal."""

app = typer.Typer(add_completion=False, epilog="Example: prism help rows; prism help eval quality")


def topics() -> dict[str, str]:
    """Name -> subject of each topic, from the heading of its file."""
    return {path.stem: _subject(path.read_text("utf-8")) for path in sorted(HELP.glob("*.md"))}


def _subject(text: str) -> str:
    """Return the subject in a first line such as "# rows: fields and file formats"."""
    return text.partition("\n")[0].partition(": ")[2]


@app.command("help")
def show_help(
    context: typer.Context,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TOPIC]", help="A topic, a command, or words to find in the topics."
        ),
    ] = None,
) -> None:
    """Show a topic of the manual, or the options of a command; without a word, list all topics.
    For any other word, list the topics that mention it.

    A terminal gets formatted text, a pipe or a file the plain Markdown.
    """
    name = " ".join(words or [])
    known = topics()
    root = context.find_root()
    if not name:
        width = max(map(len, known))
        for topic, subject in known.items():
            print(f"{topic:{width}}  {subject}")
        print("\nprism help TOPIC shows one; prism COMMAND --help shows the options of a command.")
    elif name in known:
        _show((HELP / f"{name}.md").read_text("utf-8"))
    elif (
        isinstance(root.command, TyperGroup)
        and words
        and words[0] in root.command.list_commands(root)
    ):
        word, command, _ = root.command.resolve_command(root, words)
        if command:
            command.make_context(word, ["--help"], parent=root)
    elif mentions := _mentions(name):
        print(f"{name}: no topic of this name; topics that mention it:\n")
        for topic, headings in mentions.items():
            print(f"prism help {topic}: {'; '.join(headings)}")
    else:
        hint = did_you_mean(name, known) or f"one of {', '.join(known)}"
        raise UsageError(f"{name}: no such help topic or command; {hint}")


def _mentions(words: str) -> dict[str, list[str]]:
    """Return the topics whose text has `words`, from the beginning of a word on, each with the
    headings of these places."""
    mentions: dict[str, list[str]] = {}
    pattern = re.compile(rf"(?<!\w){re.escape(words)}", re.IGNORECASE)
    for path in sorted(HELP.glob("*.md")):
        heading, code = "", False
        for line in path.read_text("utf-8").splitlines():
            code ^= line.startswith("```")
            if line.startswith("#") and not code:
                heading = line.lstrip("# ")
            headings = mentions.get(path.stem, [])
            if pattern.search(line) and heading not in headings:
                mentions[path.stem] = [*headings, heading]
    return mentions


def _show(text: str) -> None:
    """Print a topic: formatted on a terminal, else as it is."""
    if not sys.stdout.isatty():
        print(text, end="")
        return
    from rich.console import Console
    from rich.markdown import Markdown
    from rich.theme import Theme

    console = Console(theme=Theme({"markdown.code": "bold cyan"}))  # no black boxes on white
    console.width = min(console.width, MAX_WIDTH)
    console.print(Markdown(text, code_theme="ansi_dark", hyperlinks=False))
