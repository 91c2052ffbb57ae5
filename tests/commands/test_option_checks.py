"""Blank values, and names that are not UTF-8, are refused by every option and argument."""

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
    """Return every command by its name on the command line."""
    typed = {word: name for word, (name, _) in COMMANDS.items()}
    typed |= {" ".join(words): name for words, name in SECOND_WORDS.items()}
    by_words: dict[str, click.Command] = {}
    for words, name in typed.items():
        command = typer.main.get_command(importlib.import_module(f"prism_cli.commands.{name}").app)
        inner = getattr(command, "commands", {})
        by_words |= {f"{words} {sub}": inner[sub] for sub in inner} or {words: command}
    return by_words


def texts() -> list[tuple[str, str, list[str]]]:
    """Return each option and argument of free text: command, its name, and the words before ""."""
    wrong = []
    for typed, command in commands().items():
        arguments = [item for item in command.params if item.param_type_name == "argument"]
        for param in command.params:
            # A list is parsed from repeated texts; flags and numbers are no texts.
            kind = str(param.type_descriptor.annotation)  # type: ignore[attr-defined]
            if "str" not in kind and "Path" not in kind:
                continue
            if param in arguments:
                wrong.append((typed, "", ["x"] * arguments.index(param)))
            else:
                wrong.append((typed, param.opts[-1], ["x"] * len(arguments) + [param.opts[-1]]))
    return wrong


CASES = texts()


def test_options_that_take_paths_are_among_the_checked_ones() -> None:
    assert len(commands()) > 20
    named = {(typed, name) for typed, name, _ in CASES}
    for typed, name in (
        ("rerank", "--output"), ("relabel", "--provider-file"), ("train", "--recipe"),
        ("split", "--exclude-eval"), ("relabel", "--reuse"), ("collect", "--corpus"),
        ("report", ""), ("eval", ""), ("eval labels", ""), ("export", ""), ("ledger stats", ""),
        ("status", ""), ("recipes cp", ""), ("quickstart", ""),
    ):  # fmt: skip
        assert (typed, name) in named


@pytest.mark.parametrize(("typed", "name", "before"), CASES, ids=lambda case: str(case))
@pytest.mark.parametrize("blank", ["", " "])
def test_a_blank_value_is_refused_by_name(
    typed: str, name: str, before: list[str], blank: str
) -> None:
    command = typer.main.get_command(app)
    with (
        pytest.raises(
            UsageError, match=rf'expected a (number|path or another value), got "{blank}"'
        ) as caught,
        command.make_context("prism", [*typed.split(), *before, blank]) as context,
    ):
        command.invoke(context)
    assert name in str(caught.value)


def test_a_blank_number_is_refused_as_not_a_number() -> None:
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


def test_a_name_that_is_not_utf8_is_refused_except_for_inputs(tmp_path: Path) -> None:
    bad = os.fsdecode(os.fsencode(tmp_path) + b"/bad\xff.jsonl")
    Path(bad).write_bytes(b"{}")
    for words in (["relabel", "in.jsonl", "-o"], ["train", "--dev"], ["status"]):
        done = prism(*words, bad)
        assert done.returncode == 2
        assert "is not UTF-8; rename the file" in done.stderr
