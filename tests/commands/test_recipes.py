"""`prism recipes`, from `main` on."""

import json
import re
from pathlib import Path

import pytest

from prism_cli.configs.load import key_paths, load_config
from prism_cli.configs.recipes import shipped_files, shipped_recipes
from prism_cli.configs.stages import STAGES, config_class
from tests.door import prism


def test_ls_names_every_recipe_with_its_first_line() -> None:
    done = prism("recipes", "ls")
    assert done.returncode == 0
    listed = [line.split()[0] for line in done.stdout.splitlines()]
    assert listed == [*shipped_recipes(), *shipped_files()]
    assert {"pipeline.sh", "serve/nginx.conf", "serve/Dockerfile"} <= set(listed)
    assert len(listed) > 0
    assert all(len(line.split(maxsplit=1)[1]) > 10 for line in done.stdout.splitlines())


@pytest.mark.parametrize("name", sorted(shipped_recipes()))
def test_show_prints_a_recipe_byte_for_byte_and_it_is_good(name: str) -> None:
    path = shipped_recipes()[name]
    assert prism("recipes", "show", name).stdout == path.read_text()
    done = prism("recipes", "check", "--stage", path.parent.name, str(path))
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert "good" in done.stderr


@pytest.mark.parametrize("name", [name for name in shipped_recipes() if name.startswith("train/")])
def test_a_training_recipe_says_where_its_numbers_come_from(name: str) -> None:
    lines = shipped_recipes()[name].read_text().splitlines()
    header = [line for line in lines if line.startswith("#")]
    for key in ("learning_rate", "rows_per_step", "r"):
        (line,) = [line for line in lines if line.startswith(f"{key} = ")]
        comments = [line.partition("#")[2], *header]
        assert any("published" in comment for comment in comments), line


@pytest.mark.parametrize("stage", STAGES)
def test_show_all_is_a_recipe_of_the_defaults(stage: str, tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(prism("recipes", "show", stage, "--all").stdout)
    flags = {key: "hf:smollm2" for key in key_paths(config_class(stage)) if key == "generator"}
    resolved = load_config(config_class(stage), stage, recipe=str(mine), flags=flags)
    assert resolved == load_config(config_class(stage), stage, flags=flags)
    named = re.findall(r"^(?:# )?(\w+) =", mine.read_text(), re.MULTILINE)
    assert named == [key.rpartition(".")[2] for key in key_paths(config_class(stage))]


@pytest.mark.parametrize("stage", STAGES)
def test_schema_describes_every_key(stage: str) -> None:
    schema = json.loads(prism("schema", stage).stdout)
    tables = [schema, *schema.get("$defs", {}).values()]
    described = {
        key
        for table in tables
        for key, value in table["properties"].items()
        if "$ref" in value or value["description"]
    }
    assert described >= {key.rpartition(".")[2] for key in key_paths(config_class(stage))}
    assert not schema["additionalProperties"]


def test_cp_makes_a_copy_to_change_and_never_replaces_one(tmp_path: Path) -> None:
    name = next(iter(shipped_recipes()))
    mine = tmp_path / "sub" / "mine.toml"
    assert prism("recipes", "cp", name, str(mine)).returncode == 0  # makes the folder
    assert mine.read_bytes() == shipped_recipes()[name].read_bytes()
    unit = tmp_path / "prism@.service"
    assert prism("recipes", "cp", "serve/prism@.service", str(unit)).returncode == 0
    assert unit.read_bytes() == shipped_files()["serve/prism@.service"].read_bytes()
    rerun = prism("recipes", "cp", name, str(mine))
    assert rerun.returncode == 2
    assert "exists already" in rerun.stderr
    folder = prism("recipes", "cp", name, f"{tmp_path}/new/")
    assert folder.returncode == 2
    assert f"{tmp_path}/new: is a folder; name a file" in folder.stderr


def test_cp_copies_a_folder_of_scripts_and_never_into_an_existing_one(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    assert prism("recipes", "cp", "ablations", str(mine)).returncode == 0
    names = {name for name in shipped_files() if name.startswith("ablations/")}
    assert {f"ablations/{path.name}" for path in mine.iterdir()} == names
    assert (mine / "common.sh").read_bytes() == shipped_files()["ablations/common.sh"].read_bytes()
    again = prism("recipes", "cp", "ablations/", str(mine))
    assert again.returncode == 2
    assert "name a new folder" in again.stderr


def test_check_reports_all_problems_of_all_files_at_once(tmp_path: Path) -> None:
    first, two = tmp_path / "one.toml", tmp_path / "two.toml"
    first.write_text("learnin_rate = 1e-5\nsed = 1\n")
    two.write_text("seed = 'x'\n")
    done = prism("recipes", "check", str(first), str(two))
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{first}: sed: unknown key; did you mean seed?" in done.stderr
    assert f"{first}: learnin_rate: unknown key" in done.stderr
    assert f"{two}: seed: " in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["show", "train/zebra"], 3, "no such recipe or file; recipes of train: "),
        (["show", "serve/nginx"], 3, "no such file; files of serve: serve/Dockerfile, "),
        (["check", "absent.toml"], 3, "absent.toml: no such file"),
        (["show", "zebra", "--all"], 2, "zebra: no such stage; expected one of collect"),
        (["check", "--stage", "zebra", "prism.toml"], 2, "zebra: no such stage"),
    ],
    ids=[
        "unknown recipe",
        "unknown script",
        "unknown file",
        "unknown stage of all",
        "unknown stage",
    ],
)
def test_missing_files_are_named(tmp_path: Path, words: list[str], code: int, message: str) -> None:
    (tmp_path / "prism.toml").write_text("")
    done = prism("recipes", *words)
    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_show_of_a_stage_prints_its_own_keys_and_its_own_recipes() -> None:
    assert prism("recipes", "show", "relabel").stdout == (
        prism("recipes", "show", "relabel", "--all").stdout
    )
    unknown = prism("recipes", "show", "relabel/zebra").stderr
    assert "recipes of relabel: openrouter" in unknown


def test_check_of_a_project_file_holds_each_table_to_its_stage(tmp_path: Path) -> None:
    project = tmp_path / "prism.toml"
    project.write_text("[relabel]\nseed = 1\n[rerank]\nmodel = 'hf:prism-tiny'\n")
    good = prism("recipes", "check", str(project))
    assert (good.returncode, good.stderr.count("good")) == (0, 1), good.stderr
    project.write_text("[relabel]\nsed = 1\n[rerank]\nmodell = 'a'\n[reran]\n")
    done = prism("recipes", "check", str(project))
    assert done.returncode == 2
    for problem in (
        "[relabel] sed: unknown key; did you mean seed?",
        "[rerank] modell: unknown key; did you mean model?",
        "reran: unknown table; did you mean rerank?",
    ):
        assert done.stderr.count(problem) == 1


def test_help_has_an_example_and_no_completion_options() -> None:
    done = prism("recipes", "--help")
    assert "Example: prism recipes cp" in done.stdout
    assert "--install-completion" not in done.stdout
