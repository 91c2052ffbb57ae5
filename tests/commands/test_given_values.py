"""What no option and no argument takes: blank values, and names that are not UTF-8."""

import importlib
import os
from pathlib import Path

import pytest
import typer
from typer import _click as click

from prism_cli.app import COMMANDS, SECOND_WORDS, app
from prism_cli.errors import UsageError
from tests.door import prism


def commands() -> dict[str, click.Command]:
    """Every command by the words that it is typed with."""
    typed = {word: name for word, (name, _) in COMMANDS.items()}
    typed |= {" ".join(words): name for words, name in SECOND_WORDS.items()}
    found: dict[str, click.Command] = {}
    for words, name in typed.items():
        command = typer.main.get_command(importlib.import_module(f"prism_cli.commands.{name}").app)
        inner = getattr(command, "commands", {})
        found |= {f"{words} {one}": inner[one] for one in inner} or {words: command}
    return found


def texts() -> list[tuple[str, str, list[str]]]:
    """Each option and argument that takes any text: command, its name, and the words before ""."""
    found = []
    for typed, command in commands().items():
        arguments = [one for one in command.params if one.param_type_name == "argument"]
        for param in command.params:
            # A list is parsed from repeated texts; a flag takes no value, a number is no text.
            kind = str(param.type_descriptor.annotation)  # type: ignore[attr-defined]
            if "str" not in kind and "Path" not in kind:
                continue
            if param in arguments:
                found.append((typed, "", ["x"] * arguments.index(param)))
            else:
                found.append((typed, param.opts[-1], ["x"] * len(arguments) + [param.opts[-1]]))
    return found


CASES = texts()


def test_the_walk_reaches_the_options_that_take_paths() -> None:
    assert len(commands()) > 20
    named = {(typed, name) for typed, name, _ in CASES}
    for typed, name in (
        ("rerank", "--output"), ("relabel", "--provider-file"), ("train", "--recipe"),
        ("split", "--exclude-eval"), ("relabel", "--reuse"), ("collect", "--corpus"),
        ("report", ""), ("eval", ""), ("eval labels", ""), ("export", ""), ("ledger stats", ""),
        ("status", ""), ("recipes cp", ""), ("quickstart", ""),
    ):  # fmt: skip
        assert (typed, name) in named


@pytest.mark.parametrize(("typed", "name", "before"), CASES, ids=lambda one: str(one))
@pytest.mark.parametrize("blank", ["", " "])
def test_a_blank_value_is_refused_by_name(
    typed: str, name: str, before: list[str], blank: str
) -> None:
    command = typer.main.get_command(app)
    with (
        pytest.raises(
            UsageError, match=rf'expected a (number|path or another value), got "{blank}"'
        ) as told,
        command.make_context("prism", [*typed.split(), *before, blank]) as context,
    ):
        command.invoke(context)
    assert name in str(told.value)


def test_a_blank_number_is_asked_for_as_a_number() -> None:
    done = prism("split", "in.jsonl", "-o", "out", "--dev-queries", "")
    assert '--dev-queries: expected a number, got ""' in done.stderr


@pytest.mark.parametrize("setting", ["corpus=", "source=", 'dataset=""'])
def test_an_empty_setting_is_refused_by_its_name(setting: str) -> None:
    done = prism("collect", "in.jsonl", "-o", "out.jsonl", "--set", setting)
    assert done.returncode == 2
    assert f"command line: {setting.partition('=')[0]}: " in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["rerank", "in.jsonl", "-o", ""],
        ["rerank", "in.jsonl", "--output", " "],
        ["relabel", "in.jsonl", "--provider-file="],
    ],
)
def test_the_exit_code_is_2(words: list[str]) -> None:
    done = prism(*words)
    assert done.returncode == 2
    assert words[2].strip("=") in done.stderr
    assert "a shell variable that is not set?" in done.stderr


def test_a_name_that_is_not_utf8_is_refused_by_all_but_the_inputs(tmp_path: Path) -> None:
    bad = os.fsdecode(os.fsencode(tmp_path) + b"/bad\xff.jsonl")
    Path(bad).write_bytes(b"{}")
    for words in (["relabel", "in.jsonl", "-o"], ["train", "--dev"], ["status"]):
        done = prism(*words, bad)
        assert done.returncode == 2
        assert "is not UTF-8; rename the file" in done.stderr
