"""Where a setting comes from, and how what is wrong is told: all of it, with place and hint."""

import pkgutil
import tempfile
from contextlib import chdir, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import orjson
import pytest
from annotated_types import Ge, Gt
from hypothesis import given, settings
from hypothesis import strategies as st

from prism_cli import configs
from prism_cli.configs.base import Section, StageConfig
from prism_cli.configs.collect import CollectConfig
from prism_cli.configs.distill import DistillConfig
from prism_cli.configs.eval import EvalConfig
from prism_cli.configs.load import key_paths, load_config
from prism_cli.configs.problems import nearest_name
from prism_cli.configs.providers import load_providers
from prism_cli.configs.relabel import RelabelConfig
from prism_cli.configs.rerank import RerankConfig
from prism_cli.configs.sample import SampleConfig
from prism_cli.configs.serve import ServeConfig
from prism_cli.configs.split import SplitConfig
from prism_cli.configs.stages import STAGES, config_class
from prism_cli.errors import ConfigError, MissingDataError


@dataclass(frozen=True, kw_only=True)
class Lora(Section):
    r: Annotated[int, Ge(1)] = 64
    targets: tuple[str, ...] = ("q_proj",)


@dataclass(frozen=True, kw_only=True)
class DemoConfig(StageConfig):
    learning_rate: Annotated[float, Gt(0)] = 1e-5
    epochs: int = 2
    model: str = "base"
    lora: Lora | None = Lora()


def load(recipe: str | None = None, sets: tuple[str, ...] = (), **flags: object) -> DemoConfig:
    return load_config(DemoConfig, "demo", recipe=recipe, sets=sets, flags=flags)


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_defaults_hold_where_nothing_is_said() -> None:
    assert load() == DemoConfig()


def test_each_layer_wins_over_the_ones_below(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "prism.toml"
    recipe = write(tmp_path / "my.toml", "epochs = 5\nseed = 5\n")
    project.write_text("[defaults]\nepochs = 3\nseed = 3\nmodel = 'd'\ntop_k = 1\n")
    assert load().epochs == 3
    project.write_text(project.read_text() + "[demo]\nepochs = 4\n")
    assert (load().epochs, load().seed) == (4, 3)
    assert (load(recipe).epochs, load(recipe).seed, load(recipe).model) == (5, 5, "d")
    monkeypatch.setenv("PRISM_EPOCHS", "6")
    assert (load(recipe).epochs, load(recipe).seed) == (6, 5)
    assert load(recipe, ("epochs=7",)).epochs == 7
    assert load(recipe, epochs=8).epochs == 8
    assert load(recipe, epochs=None).epochs == 6


def test_a_project_file_is_held_to_the_stages_and_their_keys(tmp_path: Path) -> None:
    project = tmp_path / "prism.toml"
    project.write_text("rerank = 3\n[defaults]\nsede = 3\n[rernk]\nmodel = 'a'\n")
    with pytest.raises(ConfigError) as caught:
        load()
    assert caught.value.problems == [
        f"{project}: rerank: expected a table, found 3",
        f"{project}: rernk: unknown table; did you mean rerank?",
        f"{project}: [defaults] sede: unknown key; did you mean seed?",
    ]


def test_a_wrong_value_is_located_by_its_table_or_its_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "prism.toml"
    project.write_text("[defaults]\nseed = 'x'\n[demo]\nepochs = 'many'\n")
    monkeypatch.setenv("PRISM_LORA__R", "-1")
    with pytest.raises(ConfigError) as caught:
        load()
    told = "\n".join(caught.value.problems)
    assert f"{project}: [defaults] seed: expected" in told
    assert f"{project}: [demo] epochs: expected" in told
    assert "PRISM_LORA__R: expected" in told
    assert "environment" not in told


def test_every_settings_class_is_that_of_a_stage() -> None:
    others = {
        "base",
        "describe",
        "load",
        "problems",
        "providers",
        "recipes",
        "shared",
        "stages",
        "toml",
    }
    modules = {one.name for one in pkgutil.iter_modules(configs.__path__)} - others
    assert modules == {stage.replace("-", "_") for stage in STAGES}
    assert all(issubclass(config_class(stage), StageConfig) for stage in STAGES)


def test_project_file_is_found_from_a_folder_below(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "prism.toml").write_text("[demo]\nepochs = 4\n[train]\nsave_steps = 1\n")
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a" / "b")
    assert load().epochs == 4


def test_environment_reaches_into_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRISM_LORA__R", "8")
    monkeypatch.setenv("PRISM_LORA__TARGETS", '["a", "b"]')
    monkeypatch.setenv("PRISM_MODEL", "hf:smollm2")
    monkeypatch.setenv("PRISM_STATE", "/somewhere")
    monkeypatch.setenv("PRISM_SOMETHING_ELSE", "1")
    config = load()
    assert config.lora == Lora(r=8, targets=("a", "b"))
    assert config.model == "hf:smollm2"


@pytest.mark.parametrize(
    ("item", "path", "expected"),
    [
        ("learning_rate=3e-4", "learning_rate", 3e-4),
        ("epochs = 4", "epochs", 4),
        ("model=hf:smollm2", "model", "hf:smollm2"),
        ("model='a b'", "model", "a b"),
        ("model=a=b", "model", "a=b"),
        ("model=no", "model", "no"),
        ("lora.r=16", "lora.r", 16),
        ('lora.targets=["x", "y"]', "lora.targets", ("x", "y")),
    ],
)
def test_set_takes_toml_or_a_plain_string(item: str, path: str, expected: object) -> None:
    found: object = load(sets=(item,))
    for name in path.split("."):
        found = getattr(found, name)
    assert found == expected


def test_a_flag_reaches_into_a_table_and_keeps_its_neighbours(tmp_path: Path) -> None:
    recipe = write(tmp_path / "my.toml", "[lora]\nr = 8\ntargets = ['k']\n")
    assert load(recipe, **{"lora.r": 4}).lora == Lora(r=4, targets=("k",))


def test_all_problems_are_told_at_once_with_file_key_and_nearest_name(tmp_path: Path) -> None:
    (tmp_path / "prism.toml").write_text("[demo]\nepoch = 3\n")
    recipe = write(tmp_path / "my.toml", "learnin_rate = 1\nepochs = 'many'\n[lora]\nrr = 3\n")
    with pytest.raises(ConfigError) as caught:
        load(recipe, ("learning_rate=-1", "zebra=1", "demo.epohcs=1", "nothing"))
    told = "\n".join(caught.value.problems)
    assert len(caught.value.problems) == 8
    assert f"{tmp_path / 'prism.toml'}: [demo] epoch: unknown key; did you mean epochs?" in told
    assert f"{recipe}: learnin_rate: unknown key; did you mean learning_rate?" in told
    assert f"{recipe}: lora.rr: unknown key; did you mean lora.r?" in told
    assert f"{recipe}: epochs: expected a valid integer" in told
    assert "command line: learning_rate: expected a number greater than 0, found -1" in told
    assert "command line: zebra: unknown key; known keys: " in told
    assert "command line: demo.epohcs: unknown key; did you mean epochs?" in told
    assert "--set nothing: expected KEY=VALUE" in told
    assert caught.value.exit_code == 2


def test_a_key_that_is_only_a_little_alike_is_not_suggested() -> None:
    assert nearest_name("key", "stage.x", ["tag", "seed"]) == "unknown key; known keys: tag, seed"
    assert nearest_name("key", "sede", ["tag", "seed"]) == "unknown key; did you mean seed?"


def test_a_problem_names_the_layer_it_came_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRISM_EPOCHS", "many")
    with pytest.raises(ConfigError, match=r"PRISM_EPOCHS: .* found 'many'"):
        load()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("epochs = = 3", "line 1"),
        ("epochs = 3\nepochs = 4", "overwrite a value"),
        ("\xff", "my.toml"),
    ],
    ids=["syntax", "twice", "not UTF-8"],
)
def test_what_is_no_toml_is_told_with_its_place(tmp_path: Path, text: str, words: str) -> None:
    recipe = tmp_path / "my.toml"
    recipe.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError, match=words):
        load(str(recipe))


def test_a_table_where_a_value_belongs_and_the_reverse(tmp_path: Path) -> None:
    recipe = write(tmp_path / "my.toml", "lora = 3\n[epochs]\na = 1\n")
    with pytest.raises(ConfigError) as caught:
        load(recipe)
    told = "\n".join(caught.value.problems)
    assert f"{recipe}: lora" in told
    assert "epochs" in told


def test_a_recipe_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(MissingDataError, match="no such recipe or file") as caught:
        load("absent")
    assert caught.value.exit_code == 3


def test_key_paths_reach_into_optional_tables() -> None:
    assert list(key_paths(DemoConfig)) == [
        "seed", "learning_rate", "epochs", "model", "lora.r", "lora.targets",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("9" * 26, "expected an integer of 64 bits, found one of 26 digits"),
        ("-" + "9" * 26, "expected an integer of 64 bits"),
        ("9" * 5000, "expected an integer of 64 bits, found one of 5000 digits"),
        ("[" * 5000, "tables or arrays more than 32 deep"),
        ("[" * 40 + "]" * 40, "tables or arrays more than 32 deep"),
        ("{a=" * 5000, "tables or arrays more than 32 deep"),
        ("1979-05-27", "found the date or time 1979-05-27; write it in quotes"),
        ("07:32:00", "write it in quotes"),
        ("nan", "expected a finite number, found nan"),
        ('"a\\u0000b"', "expected text, found NUL"),
        ("\udcff", "lone surrogate"),
    ],
)
def test_a_value_that_can_be_no_setting_is_told_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, why: str
) -> None:
    def told(recipe: str | None = None, *sets: str) -> str:
        with pytest.raises(ConfigError) as error:
            load(recipe, sets)
        return str(error.value)

    by_set = told(None, f"epochs={text}")
    assert why in by_set
    assert by_set.startswith(("--set epochs: ", "command line: epochs: "))
    if text != "\udcff":
        recipe = write(tmp_path / "my.toml", f"epochs = 2\nmodel = {text}\n")
        in_file = told(recipe)
        assert why in in_file
        assert in_file.startswith(f"{recipe}: ")
        assert "model" in in_file or "(at line 2)" in in_file
        monkeypatch.setenv("PRISM_EPOCHS", text.replace("\0", ""))
        assert why in told()


def test_keys_without_end_and_long_values_are_told_shortly() -> None:
    with pytest.raises(ConfigError, match="more than 32 deep"):
        load(sets=("a." * 3000 + "a=1",))
    with pytest.raises(ConfigError) as error:
        load(sets=("epochs=" + "x" * 10_000, "epochs.a.b=1"))
    assert len(str(error.value)) < 500


def test_of_two_lines_the_second_is_no_setting_of_its_own() -> None:
    assert load(sets=("model=1\nseed = 2",)).model == "1\nseed = 2"


SIGNS = st.text(st.sampled_from("[]{}=.,#'\"\\\n\r\t\0\x1b\ud800é0123456789eE_-+:TZinfatrue abkr"))


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(), SIGNS), st.sampled_from(["lora.r", "epochs", "model", "lora", "x"]))
def test_no_setting_ends_in_another_error(text: str, key: str) -> None:
    for sets in ((f"{key}={text}",), (f"{text}=1",), (text,)):
        with suppress(ConfigError):
            orjson.dumps(asdict(load(sets=sets)))


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(), SIGNS, st.builds("model = {}\n[lora]\nr = {}".format, SIGNS, SIGNS)))
def test_no_text_of_a_file_ends_in_another_error(text: str) -> None:
    for name, read in (("my.toml", load), ("my.toml", load_providers), ("prism.toml", load)):
        with tempfile.TemporaryDirectory() as folder, chdir(folder):
            Path(name).write_bytes(text.encode("utf-8", "surrogatepass"))
            with suppress(ConfigError):
                read(None if name == "prism.toml" else name)


def test_a_recipe_may_hold_its_settings_in_a_table_of_the_stage(tmp_path: Path) -> None:
    recipe = write(tmp_path / "r.toml", "\ufeff[demo]\nepochs = 7\nlora.r = 2\n")
    assert load(recipe) == DemoConfig(epochs=7, lora=Lora(r=2))
    for text in ("[demo]\nepochs = 7\n[other]\n", "demo = 3\n", "[demo]\nepoch = 7\n"):
        with pytest.raises(ConfigError, match="unknown key"):
            load(write(tmp_path / "bad.toml", text))


def test_a_refused_value_is_shown_once() -> None:
    for cls, stage in ((RerankConfig, "rerank"), (EvalConfig, "eval")):
        with pytest.raises(ConfigError) as caught:
            load_config(cls, stage, sets=["fuse=2"])
        (problem,) = caught.value.problems
        assert problem.endswith("the first stage's weight, 0 to 1, or rrf, found 2")


def test_a_check_over_several_settings_is_told_in_its_own_words() -> None:
    Path("prism.toml").write_text("[collect]\nfrom_rank = 50\n")
    with pytest.raises(ConfigError) as caught:
        load_config(CollectConfig, "collect", sets=["to_rank=10"])
    assert caught.value.problems == ["settings: from_rank 50 lies behind to_rank 10"]


@pytest.mark.parametrize(
    ("setting", "reason"),
    [("fuse=1", "order by the model alone"), ("max_new_tokens=8192", "less than or equal to 4096")],
)
def test_a_server_refuses_what_no_request_can_have(setting: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        load_config(ServeConfig, "serve", sets=[setting])


def test_a_server_takes_of_shared_settings_what_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("prism.toml").write_text("[defaults]\nfuse = 0.3\nmax_new_tokens = 8192\n")
    assert load_config(RerankConfig, "rerank").fuse == 0.3
    served = load_config(ServeConfig, "serve")
    assert (served.fuse, served.max_new_tokens) == (None, 4096)
    monkeypatch.setenv("PRISM_FUSE", "rrf")
    monkeypatch.setenv("PRISM_MAX_NEW_TOKENS", "64")
    served = load_config(ServeConfig, "mcp")
    assert (served.fuse, served.max_new_tokens) == (None, 64)
    Path("prism.toml").write_text("[serve]\nfuse = 0.3\n")
    with pytest.raises(ConfigError, match=r"\[serve\] fuse: .* order by the model alone"):
        load_config(ServeConfig, "serve")


@pytest.mark.parametrize(
    ("cls", "setting", "text", "expected"),
    [
        (EvalConfig, "split", "2024", "2024"),
        (RerankConfig, "device", "0", "0"),
        (EvalConfig, "fit_on", "0.25", "0.25"),
        (DistillConfig, "teachers", "st:minilm", ("st:minilm",)),
        (RelabelConfig, "judges", "source", ("source",)),
        (RelabelConfig, "audit_from", "early.jsonl", ("early.jsonl",)),
        (SampleConfig, "web_sources", "crawl", ("crawl",)),
        (SplitConfig, "exclude_eval", "data/nq", ("data/nq",)),
        (ServeConfig, "cors", "https://a.example", ("https://a.example",)),
    ],
)
def test_a_text_is_the_same_as_a_flag_as_a_variable_and_by_set(
    cls: type[StageConfig],
    setting: str,
    text: str,
    expected: object,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = next(name for name in STAGES if config_class(name) is cls)
    by_set = load_config(cls, stage, sets=(f"{setting}={text}",))
    monkeypatch.setenv(f"PRISM_{setting.upper()}", text)
    assert getattr(by_set, setting) == getattr(load_config(cls, stage), setting) == expected


def test_tables_of_the_defaults_and_of_a_stage_are_merged(tmp_path: Path) -> None:
    project = tmp_path / "prism.toml"
    project.write_text("[defaults.lora]\nr = 8\ntargets = ['k']\n[demo.lora]\ntargets = ['q']\n")
    assert load().lora == Lora(r=8, targets=("q",))


@pytest.mark.parametrize("first", ["lora.r=4", "lora={r=4}"])
@pytest.mark.parametrize("second", ["lora.targets=['q']", "lora={targets=['q']}"])
def test_tables_that_are_set_are_merged_in_any_order(first: str, second: str) -> None:
    assert load(sets=(first, second)).lora == load(sets=(second, first)).lora
    assert load(sets=(first, second)).lora == Lora(r=4, targets=("q",))


@pytest.mark.parametrize("flags", [{}, {"model.b": "c"}])
def test_a_setting_that_is_given_as_value_and_as_table_is_refused(flags: dict[str, object]) -> None:
    sets = ("model=a",) if flags else ("model=a", "model.b=c")
    with pytest.raises(ConfigError, match=r"model\.b: model is given as a value, too"):
        load(sets=sets, **flags)


def test_a_deleted_working_folder_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    with chdir(folder):
        folder.rmdir()
        with pytest.raises(MissingDataError, match="the working folder was deleted"):
            load()


@pytest.mark.parametrize(
    ("typed", "model"),
    [
        *((text, text) for text in ("1.50", "1234e56", "007", "true", "nan", "2024-01-01", "[a]")),
        *((text, text) for text in ("9" * 26, "[" * 5000, "a#b", "runs/1.50")),
        ('"1.50"', "1.50"),
    ],
)
def test_a_text_is_taken_as_it_is_typed(
    monkeypatch: pytest.MonkeyPatch, typed: str, model: str
) -> None:
    assert load(sets=(f"model={typed}",)).model == model
    monkeypatch.setenv("PRISM_MODEL", typed)
    assert load().model == model


def test_the_variable_of_a_kubernetes_service_is_no_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRISM_PORT", "tcp://10.96.0.7:8010")
    assert load_config(ServeConfig, "serve").port == 8010
    monkeypatch.setenv("PRISM_PORT", "8011")
    assert load_config(ServeConfig, "serve").port == 8011
    monkeypatch.setenv("PRISM_PORT", "http://10.96.0.7:8010")
    with pytest.raises(ConfigError, match="PRISM_PORT: expected"):
        load_config(ServeConfig, "serve")
