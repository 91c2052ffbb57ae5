"""Commands, files and links of the README."""

import re
from pathlib import Path

import pytest

from prism_cli.app import COMMANDS

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_command_is_shown_and_every_shown_command_exists() -> None:
    commands = re.findall(r"(?:`|^\$ |&& )prism ([a-z][a-z-]+)", TEXT, flags=re.MULTILINE)
    assert set(commands) == set(COMMANDS)


@pytest.mark.parametrize("name", ["quickstart", "test"])
def test_set_up_is_one_command(name: str) -> None:
    block = TEXT.partition(f"<!-- {name} -->")[2].partition(f"<!-- /{name} -->")[0]
    lines = [line for line in block.strip().splitlines() if not line.startswith("```")]
    assert len(lines) == 1
    assert "pip install -c constraints.txt" in lines[0]
    assert lines[0].endswith({"quickstart": "prism quickstart demo", "test": "pytest -n 2"}[name])


def test_every_help_topic_is_linked() -> None:
    topics = {path.name for path in (ROOT / "prism_cli" / "help").glob("*.md")}
    assert topics == set(re.findall(r"\]\(prism_cli/help/([a-z-]+\.md)\)", TEXT))


def test_the_readme_has_no_placeholders() -> None:
    assert "@@" not in TEXT


def test_files_and_folders_in_the_tree_exist() -> None:
    tree = TEXT.partition("## Files")[2]
    names = re.findall(r"^[├└]── (\S+)", tree, flags=re.MULTILINE)
    assert len(names) > 10
    assert all((ROOT / "prism_cli" / name).exists() for name in names)


def test_benchmarks_in_the_results_exist_and_take_the_shown_options() -> None:
    folder = ROOT / "tests" / "benchmarks"
    results = (folder / "RESULTS.md").read_text(encoding="utf-8")
    commands = re.findall(r"`python tests/benchmarks/(\w+\.py)([^`]*)`", results)
    assert len(commands) > 15
    for name, words in commands:
        script = (folder / name).read_text(encoding="utf-8")
        assert all(f'"{option}"' in script for option in re.findall(r"--[a-z0-9-]+", words)), name
