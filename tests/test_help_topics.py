"""`prism help`: its topics, the end of each command's `--help`, and the commands that are shown."""

import json
import os
import pty
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import get_args

import pytest
from typer._click.exceptions import ClickException
from typer.testing import CliRunner

from prism_cli.app import COMMANDS, SECOND_WORDS, app
from prism_cli.bundled import HELP
from prism_cli.commands.help_end import ROWS, TOPICS
from prism_cli.configs.load import key_paths
from prism_cli.configs.providers import Provider
from prism_cli.configs.stages import config_class
from prism_cli.rows.fields import BOOLEANS, FIELDS, INTEGERS
from tests.shown_commands import README, SCRIPTS, commands_in, parse
from tests.shown_commands import TOPICS as FILES

PRISM = str(Path(sys.executable).with_name("prism"))
NAMES = [path.stem for path in FILES]
PAGES = [README, *FILES]


def prism(*words: str) -> str:
    """Return the output of the command."""
    return CliRunner().invoke(app, words).stdout


def test_help_lists_every_topic_with_its_subject() -> None:
    listed = dict(re.findall(r"^(\S+)  +(\S.*)$", prism("help"), re.MULTILINE))
    assert len(NAMES) > 3
    assert list(listed)[: len(NAMES)] == NAMES
    assert all(listed[name] for name in NAMES)


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_a_topic_begins_with_its_name_and_fits_a_terminal(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert re.match(rf"# {path.stem}: \S", text)
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    long = [line for line in prose.splitlines() if len(line) > 110 and not line.startswith("|")]
    assert not long


def test_a_pipe_gets_a_topic_verbatim() -> None:
    for path in FILES:
        assert prism("help", path.stem) == path.read_text(encoding="utf-8")


def test_a_terminal_gets_a_topic_formatted() -> None:
    ours, theirs = pty.openpty()
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    done = subprocess.Popen([PRISM, "help", "engine"], stdout=theirs, env=env)
    os.close(theirs)
    output = b""
    try:
        while piece := os.read(ours, 65536):
            output += piece
    except OSError:  # Linux reports the end of a pseudo-terminal as EIO
        pass
    finally:
        os.close(ours)
    assert done.wait(timeout=60) == 0
    plain = re.sub(r"\x1b\[[0-9;]*m", "", output.decode())
    assert "\x1b[" in output.decode()
    assert "| code |" not in plain
    assert max(map(len, plain.splitlines())) <= 80


def test_an_unknown_topic_is_refused_with_the_nearest() -> None:
    done = subprocess.run([PRISM, "help", "enginee"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "enginee: no such help topic or command; did you mean engine?" in done.stderr


def test_words_that_name_no_topic_are_searched_in_the_topics() -> None:
    lines = prism("help", "WEB", "Search").splitlines()
    assert lines[0] == "WEB Search: no topic of this name; topics that mention it:"
    listed = dict(line.removeprefix("prism help ").split(": ", 1) for line in lines[2:])
    assert "prism collect" in listed["shapes"].split("; ")
    texts = {path.stem: path.read_text("utf-8").lower() for path in FILES}
    assert list(listed) == [name for name in NAMES if "web search" in texts[name]]


def test_a_search_finds_words_from_their_beginning_on() -> None:
    shown = prism("help", "fuse")
    assert "prism help models" in shown
    assert "prism help cluster" not in shown  # which has "refuse" alone


def test_help_of_a_command_is_its_options() -> None:
    assert "eval quality [OPTIONS]" in prism("help", "eval", "quality")
    assert "recipes [OPTIONS] COMMAND" in prism("help", "recipes")


def test_every_command_names_topics_that_exist() -> None:
    names = {*COMMANDS, *(" ".join(words) for words in SECOND_WORDS)}
    assert set(TOPICS) == names
    assert {topic for topics in TOPICS.values() for topic in topics} == set(NAMES)
    assert set(ROWS) <= names


def test_help_of_a_command_shows_rows_and_topics() -> None:
    for name, rows in ROWS.items():
        output = " ".join(prism(*name.split(), "--help").split())
        for row in rows:
            assert row in output, name
        assert f"Topics: {', '.join(TOPICS[name])} (prism help TOPIC)" in output


@pytest.mark.parametrize("command", ["collect", "distill", "relabel", "eval"])
def test_help_of_a_command_groups_options_in_at_most_125_lines(command: str) -> None:
    output = prism(*command.split(), "--help")
    for panel in ("Options", "Common options", "Stopping and continuing"):
        assert f"─ {panel} ─" in output, panel
    assert ("─ Paid requests ─" in output) == (command != "eval")
    assert "int range" not in output
    assert "[0<=x<=1]" in output
    assert output.count("\n") <= 125


def test_rows_in_help_are_json_apart_from_ellipses() -> None:
    commands = [
        row for rows in ROWS.values() for row in rows if row.startswith("{") and row[-1] == "}"
    ]
    assert len(commands) > 8
    for text in commands:
        for row in text.split(" and "):
            json.loads(row.replace("{…, ", "{").replace(", …}", "}").replace("{…}", "{}"))


def test_the_table_of_keys_lists_the_shipped_providers() -> None:
    shipped = tomllib.loads((README.parent / "recipes" / "providers.toml").read_text("utf-8"))
    table = (HELP / "providers.md").read_text("utf-8")
    rows = re.findall(r"^\| (`[^|]*) \| `([A-Z_]+)` \|", table, re.MULTILINE)
    keys_shown = {name: key for names, key in rows for name in re.findall(r"`([a-z-]+)`", names)}
    assert keys_shown == {name: entry["key_env"] for name, entry in shipped["providers"].items()}


def test_every_key_of_a_provider_file_is_explained() -> None:
    names = set(re.findall(r"`(\w+)`", (HELP / "providers.md").read_text("utf-8")))
    model = get_args(Provider.model_fields["models"].annotation)[1]
    keys = {*Provider.model_fields, *model.model_fields} - {"models"}
    assert len(keys) > 15
    assert keys <= names


def blocks(path: Path, kind: str) -> list[str]:
    pattern = rf"^```{kind}\n(.*?)^```"
    return re.findall(pattern, path.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def test_shown_settings_are_valid() -> None:
    examples = [tomllib.loads(block) for path in PAGES for block in blocks(path, "toml")]
    assert len(examples) >= 3
    for tables in examples:
        for provider in tables.pop("providers", {}).values():
            Provider.model_validate(provider)
        for stage, settings in tables.items():
            keys = key_paths(config_class("train" if stage == "defaults" else stage))
            assert settings.keys() <= set(keys)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_shown_rows_are_json_apart_from_ellipses(path: Path) -> None:
    for block in blocks(path, "json"):
        rest = re.sub(r", …(?=[]}])", "", block).replace("[…]", "[]").strip()
        while rest:
            row, end = json.JSONDecoder(strict=False).raw_decode(rest)
            assert isinstance(row, dict)
            rest = rest[end:].strip()


def test_fields_that_stages_write_are_in_the_table_of_fields() -> None:
    table = (HELP / "rows.md").read_text("utf-8")
    names = set(re.findall(r"`(\w+)`", table))
    of_pairs = set(FIELDS[: FIELDS.index("url") + 1]) | {*INTEGERS, *BOOLEANS}
    assert of_pairs - names - {"answerable"} == set()


@pytest.mark.parametrize("path", [*PAGES, *SCRIPTS], ids=lambda path: path.name)
def test_shown_commands_are_accepted_by_the_command_line(path: Path) -> None:
    lines = commands_in(path)
    assert lines or path.name == "gpu-check.sh"  # it runs a benchmark
    for line in lines:
        try:
            parse(line)
        except ClickException as error:
            pytest.fail(f"{path.name}: {line}: {error.format_message()}")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_and_topics_that_are_named_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (path.parent / target).exists(), target
    headings = {
        re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-")
        for line in re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= headings
    named = re.findall(r"`prism help ([a-z-]+)", text)
    assert set(named) <= {*NAMES, *COMMANDS}
