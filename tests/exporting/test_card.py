"""The model card: which evaluations it finds, and what it says of them."""

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
