"""The model card: which evaluations it finds, and what it says of them."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from prism_cli.domain.prompting import PRISM
from prism_cli.evaluation.metrics_file import METRICS
from prism_cli.exporting.card import Facts, model_card
from prism_cli.exporting.evaluations import find_evaluations
from prism_cli.exporting.source import Source, find_source
from prism_cli.modeling.loading import load_encoder
from prism_cli.shards.manifest import Manifest
from tests.reporting.evaluations import ranking, written

EXPORT: dict[str, Any] = {
    "config": {"quantize": None, "dtype": "float32", "profile": "prism", "profile_hash": "ab"},
    "figures": {
        "parameters": 10, "architecture": "LlamaForCausalLM", "max_tokens": 128, "warnings": [],
        "check": {"pairs": 2, "largest": 0.0, "median": 0.0, "rank_correlation": 1.0},
    },
}  # fmt: skip


@pytest.fixture
def source(model: Callable[[str], Path]) -> Source:
    return find_source(str(model("llama")))


def evaluated(source: Source, name: str, **changes: Any) -> Path:
    """metrics.json of `source` over one set, with the system `m`, in the default place."""
    models = {"m": f"{source.model.fingerprint} {PRISM.hash} float32"}
    figures = {"squad": {"first": 0.5, "m": 0.625}}
    metrics = ranking(figures, models=models, config={"first_stage": "runs/first.trec"})
    metrics |= {"runs": {"squad": {"m": {"pairs": 77, "truncated": 0}}}}
    return written(Path("runs/eval") / name, metrics | changes) / METRICS


def card(source: Source) -> str:
    encoder = load_encoder(source.model)
    manifest = Manifest("export", EXPORT["config"], [], figures=EXPORT["figures"])
    return model_card(Facts(source, encoder, find_evaluations(source, PRISM), manifest))


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("/home/u/m", "m"),
        ("~u/m", "m"),
        ("hf:/home/u/m", "hf:m"),
        ("st:~/m", "st:m"),
        ("small=hf:/home/u/m", "small=hf:m"),
        ("org/small=/home/u/m", "org/small=m"),
        ("--judge=hf:/home/u/m", "--judge=hf:m"),
        ("--model=a=hf:/home/u/m", "--model=a=hf:m"),
        ("-o/home/u/out", "-oout"),
        ("file:///home/u/rows.jsonl", "file://rows.jsonl"),
        ("/home/u/a=b/c", "c"),
        ("hf:/home/u/a=/b/c", "hf:c"),
        ("hf:org/m", "hf:org/m"),
        ("runs/m", "runs/m"),
        ("s3://bucket/rows.jsonl", "s3://bucket/rows.jsonl"),
        ("--judge=https://host/v1", "--judge=https://host/v1"),
    ],
)
def test_a_command_line_is_shown_without_folders_of_the_machine(
    source: Source, word: str, shown: str
) -> None:
    path = evaluated(source, "one")
    metrics = orjson.loads(path.read_bytes())
    metrics["provenance"]["command"] = ["prism", "eval", word]
    path.write_bytes(orjson.dumps(metrics))
    assert f"`prism eval {shown}`" in card(source)


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("provenance", None),
        ("provenance", "lost"),
        ("provenance", {"command": [], "versions": {}, "models": ["m"]}),
        ("provenance", ...),
        ("runs", ...),
        ("statistics", None),
        ("statistics", {"intervals": {}}),
    ],
)
def test_a_damaged_evaluation_is_ignored(source: Source, part: str, value: Any) -> None:
    evaluated(source, "whole")
    path = evaluated(source, "damaged")
    metrics = orjson.loads(path.read_bytes())
    del metrics[part]
    path.write_bytes(orjson.dumps(metrics if value is ... else metrics | {part: value}))
    assert [one.name for one in find_evaluations(source, PRISM)] == ["whole"]
    assert "**whole**" in card(source)


def test_the_first_stage_is_the_first_system_of_a_set(source: Source) -> None:
    """Of a run file, the settings have the path, the figures the name."""
    found = {"dataset": "squad", "difference": 0.125, "p_holm": 0.0123}
    tests = [
        found | {"system": "m", "baseline": "first"},
        found | {"system": "other", "baseline": "first", "difference": 0.75},
        found | {"system": "other", "baseline": "m", "difference": 0.75},
    ]
    evaluated(source, "one", statistics={"intervals": {}, "comparisons": tests})
    text = card(source)
    assert "| squad | first stage, `first` | 0.5000 |" in text
    assert "squad: `m` against `first`: +0.1250, p 0.0123 after Holm." in text
    assert text.count("after Holm") == 1


def in_full(llama: Path, config: dict[str, Any], figures: dict[str, Any]) -> Source:
    """Of a finished training of all weights."""
    last = Path(shutil.copytree(llama, "run/last"))
    manifest = Manifest("train", config | {"method": "full"}, [], figures=figures, finished=True)
    manifest.write(last.parent / "manifest.json")
    return find_source("run")


def cached(hub: Path, name: str) -> None:
    """Put a model into the hub's cache."""
    folder = hub / f"models--{name.replace('/', '--')}"
    for path, text in (("refs/main", "abc"), ("snapshots/abc/config.json", "{}")):
        (folder / path).parent.mkdir(parents=True)
        (folder / path).write_text(text)


@pytest.mark.parametrize(
    ("typed", "recorded", "hub_id"),
    [
        ("models/mine", "/place/models/mine", None),
        ("models/mine", None, None),
        ("models/a--b", None, None),
        ("org/base", "org/base", "org/base"),
        ("org/base@main", None, "org/base"),
        ("smollm2", "hf:smollm2", "HuggingFaceTB/SmolLM2-135M-Instruct"),
        ("hf:smollm2", None, "HuggingFaceTB/SmolLM2-135M-Instruct"),
        ("smollm2", None, None),
    ],
)
def test_only_a_model_of_the_hub_has_a_hub_id(
    model: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    typed: str,
    recorded: str | None,
    hub_id: str | None,
) -> None:
    """Without a lasting name, as in manifests of earlier versions, the hub's cache has to know."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    cached(tmp_path / "hub", "org/base")
    figures = {"base_spec": recorded} if recorded else {}
    assert in_full(model("llama"), {"model": typed}, figures).hub_id == hub_id


def test_the_embedded_model_has_its_hub_id_by_both_names() -> None:
    assert find_source("smollm2").hub_id == find_source("hf:smollm2").hub_id is not None


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("/home/alice/base", "base"),
        ("hf:/home/alice/base", "base"),
        ("~/base", "base"),
        ("hf:~/deep/base", "base"),
        ("../../alice/base", "base"),
        ("alice/models/base", "base"),
        ("here/base", "base"),
        ("Qwen/Qwen3.5-2B@main", "Qwen/Qwen3.5-2B@main"),
        ("hf:smollm2", "hf:smollm2"),
    ],
)
def test_the_settings_name_a_base_without_its_folder(
    model: Callable[[str], Path], typed: str, said: str
) -> None:
    Path("here/base").mkdir(parents=True)
    text = card(in_full(model("llama"), {"model": typed}, {}))
    assert f'model = "{said}"\n' in text
    assert "alice" not in text
