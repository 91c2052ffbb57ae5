"""The shared options of all commands and their values."""

from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from prism_cli.commands.options import Common, Inputs, with_common
from prism_cli.errors import UsageError
from prism_cli.files.names import is_folder, typed_path
from tests.door import prism
from tests.factories import make_pairs, write_jsonl


def parsed(*words: str) -> tuple[list[str], Common, int]:
    app = typer.Typer(add_completion=False)
    calls: list[tuple[list[str], Common, int]] = []

    @app.command()
    @with_common
    def demo(
        inputs: Inputs,
        common: Common,
        own: Annotated[int, typer.Option(help="Own option.")] = 3,
    ) -> None:
        calls.append((inputs, common, own))

    result = CliRunner().invoke(app, [*words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return calls[0]


def test_without_options_all_are_defaults_and_lists_are_not_shared() -> None:
    _, first, value = parsed("in.jsonl")
    assert first == Common()
    assert value == 3
    first.sets.append("changed")
    assert parsed("in.jsonl")[1] == Common()


def test_every_option_is_passed_on() -> None:
    inputs, common, value = parsed(
        "a.jsonl", "b/*.jsonl", "-o", "out.jsonl", "--recipe", "tiny", "--set", "a.b=1",
        "--set", "c=x", "--limit", "5", "--seed", "9", "--overwrite", "--fresh",
        "--max-rejects", "0.5", "--max-seconds", "60", "--field", "document=passage",
        "--accept-pending", "--json", "-q", "-v", "--own", "4",
    )  # fmt: skip
    assert inputs == ["a.jsonl", "b/*.jsonl"]
    assert value == 4
    assert common == Common(
        output=Path("out.jsonl"), recipe="tiny", sets=["a.b=1", "c=x"], limit=5, seed=9,
        overwrite=True, fresh=True, max_rejects=0.5, max_seconds=60.0,
        fields=["document=passage"], accept_pending=True, json=True, quiet=True, verbose=True,
    )  # fmt: skip
    assert common.field_names == {"document": "passage"}


@pytest.mark.parametrize("item", ["document", "=passage", "document="])
def test_a_field_is_a_pair_of_names(item: str) -> None:
    with pytest.raises(UsageError, match="expected NAME=NAME"):
        _ = Common(fields=[item]).field_names


def test_a_trailing_slash_makes_a_folder_of_the_path_alone() -> None:
    folder = typed_path("new/")
    assert is_folder(folder)
    assert not is_folder(folder / "rows.jsonl")
    assert not is_folder(typed_path("new"))


def test_a_path_without_a_name_of_its_own_is_the_absolute_one(tmp_path: Path) -> None:
    """Locks are named after it; a link keeps its name."""
    link = tmp_path / "link"
    (tmp_path / "elsewhere" / "inner").mkdir(parents=True)
    link.symlink_to(tmp_path / "elsewhere" / "inner")
    for name in (".", "./", "link/../../.", str(tmp_path)):
        assert typed_path(name) == tmp_path
    assert typed_path("link/..") == tmp_path / "elsewhere", "as the system reads it"
    assert str(typed_path("link")) == "link"
    assert str(typed_path("../x")) == "../x"
    with pytest.raises(UsageError, match="/: is the root folder"):
        typed_path("/")


@pytest.mark.parametrize("output", ["gone", "gone/", "gone/new"])
@pytest.mark.parametrize("command", ["eval labels", "split --dev-queries 1", "shard"])
def test_a_link_to_a_folder_that_does_not_exist_is_refused(command: str, output: str) -> None:
    rows = [row | {"verdict": "no", "votes": {"a": "no", "b": "no"}} for row in make_pairs(6)]
    write_jsonl(Path("rows.jsonl"), rows)
    Path("gone").symlink_to("nowhere")
    done = prism(*command.split(), "rows.jsonl", "-q", "-o", output)
    assert done.returncode == 2, done.stderr
    assert "gone: is a link to a folder that does not exist, nowhere" in done.stderr
    assert not Path("nowhere").exists()


@pytest.mark.parametrize(
    "words",
    [
        "convert rows.jsonl -o loop",
        "convert rows.jsonl -o loop/new.jsonl",
        "convert rows.jsonl",
        "shard rows.jsonl -o loop",
        "quickstart loop --prepare",
        "ledger stats loop",
        "ledger merge rows.jsonl --into loop",
    ],
)
def test_an_output_whose_links_form_a_loop_is_refused(words: str) -> None:
    write_jsonl(Path("rows.jsonl"), make_pairs(1))
    Path("loop").symlink_to("rows.convert.jsonl")
    Path("rows.convert.jsonl").symlink_to("loop")
    done = prism(*words.split())
    assert done.returncode == 2, done.stderr
    assert "its symbolic links form a loop; nothing was done" in done.stderr


@pytest.mark.parametrize(
    "command",
    ["eval quality --texts labels", "eval labels", "split", "convert --to beir"],
    ids=["eval quality", "eval labels", "split", "convert"],
)
def test_a_command_that_writes_a_folder_takes_it_with_and_without_a_slash(
    command: str, tmp_path: Path
) -> None:
    rows = [row | {"verdict": "no", "votes": {"a": "no", "b": "no"}} for row in make_pairs(6)]
    write_jsonl(Path("rows.jsonl"), rows)
    names = []
    for output in ("with/new/", "without/new"):
        done = prism(*command.split(), "rows.jsonl", "-q", "-o", output)
        assert done.returncode == 0, done.stderr
        folder = tmp_path / output
        names.append({path.relative_to(folder) for path in folder.rglob("*") if path.is_file()})
    assert names[0] == names[1] != set()


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("train", "Run directory; default runs/ and the recipe's name."),
        *(
            (f"eval{kind}", "Folder of metrics.json and report.html; default in runs/eval.")
            for kind in ("", " quality", " labels", " answers")
        ),
        ("relabel", "Output file, or directory (slash at the end); default beside the input."),
        ("relabel", "hf:PATH (a chat model, with a chat template)"),
    ],
)
def test_help_says_what_an_option_takes(command: str, words: str) -> None:
    shown = " ".join(prism(*command.split(), "--help").stdout.replace("│", " ").split())
    assert words in shown
    assert shown.count(" --output -o ") == 1


@pytest.mark.parametrize("output", ["-", "rows.jsonl", "rows.jsonl/"])
@pytest.mark.parametrize("kind", ["quality", "labels"])
def test_an_evaluation_refuses_an_output_that_is_no_folder(kind: str, output: str) -> None:
    write_jsonl(Path("rows.jsonl"), make_pairs(2))
    done = prism("eval", kind, "rows.jsonl", "-o", output)
    assert done.returncode == 2
    assert f"-o {output.rstrip('/')}: expected a folder" in done.stderr
