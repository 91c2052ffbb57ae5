"""Options made from settings: every visible setting has one, with its bounds and default."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest
import typer
from annotated_types import Ge, Interval
from typer.testing import CliRunner

from prism_cli.commands.options import Common, Inputs
from prism_cli.commands.settings import with_settings
from prism_cli.configs.base import Option, StageConfig, to_dict


@dataclass(frozen=True, kw_only=True)
class DemoConfig(StageConfig):
    names: Annotated[tuple[str, ...], Option("Names.", names=("--name",))] = ("a",)
    count: Annotated[int, Interval(ge=1, le=9), Option("How many.")] = 2
    way: Annotated[Literal["up", "down"], Option("Which way.")] = "up"
    loud: Annotated[bool, Option("Say more.")] = False
    text: Annotated[bool, Option("Texts.", names=("--text/--no-text",))] = True
    parts: Annotated[list[str] | None, Option("Parts.", comma_separated=True)] = None
    inner: Annotated[int, Ge(1), Option("Not an option.", hidden=True)] = 1


app = typer.Typer()
received: dict[str, Any] = {}


@app.command()
@with_settings(DemoConfig, "demo")
def resolved(inputs: Inputs, *, config: DemoConfig, common: Common) -> None:
    received.update(to_dict(config))


@app.command()
@with_settings(DemoConfig, "demo")
def typed(inputs: Inputs, *, given: dict[str, object], common: Common) -> None:
    received.update(given)


def run(command: str, *words: str) -> dict[str, Any]:
    received.clear()
    done = CliRunner().invoke(app, [command, "in.jsonl", *words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return dict(received)


def test_a_command_gets_the_resolved_settings() -> None:
    assert run("resolved") == {
        "seed": 0, "names": ["a"], "count": 2, "way": "up", "loud": False, "text": True,
        "parts": None, "inner": 1,
    }  # fmt: skip
    words = "--name x --name y --count 3 --way down --loud --no-text --seed 4 --set inner=7"
    assert run("resolved", *words.split()) == {
        "seed": 4, "names": ["x", "y"], "count": 3, "way": "down", "loud": True, "text": False,
        "parts": None, "inner": 7,
    }  # fmt: skip


def test_a_command_gets_only_what_was_typed() -> None:
    assert run("typed") == {}
    assert run("typed", "--no-text", "--parts", "a,b") == {"text": False, "parts": "a,b"}


def test_help_shows_bounds_defaults_and_choices() -> None:
    help_text = " ".join(CliRunner().invoke(app, ["resolved", "--help"]).output.split())
    for part in ("1<=x<=9", "How many. Default: 2.", "One of up, down. Default: up.", "--name"):
        assert part in help_text.replace("│ ", ""), part
    assert "--inner" not in help_text


@pytest.mark.parametrize(
    ("value", "expected"), [("0", "greater than or equal to 1"), ("x", "a valid integer")]
)
def test_a_value_out_of_bounds_is_refused(value: str, expected: str) -> None:
    done = CliRunner().invoke(app, ["resolved", "in.jsonl", "--count", value])
    assert done.exit_code == 2
    assert expected in " ".join(done.output.split())
