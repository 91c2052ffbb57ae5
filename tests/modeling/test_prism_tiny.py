"""The reranker that comes with the package."""

from pathlib import Path

import pytest

from prism_cli import Reranker
from prism_cli.adapters.runtimes.canary import canary_scores
from prism_cli.exporting.comparison_pairs import comparison_pairs
from prism_cli.modeling.embedded import prism_tiny_path
from prism_cli.modeling.model_folder import resolve_model


@pytest.fixture(scope="module")
def tiny() -> Reranker:
    return Reranker("hf:prism-tiny", dtype="fast")


def test_it_ranks_a_query_s_passage_above_another_s(tiny: Reranker) -> None:
    assert canary_scores(tiny.runtime)["ok"]
    for query, (own, other) in comparison_pairs()[:6]:
        best = tiny.rank(query, [other, own], evidence=False)[0]
        assert best["index"] == 1, query


def test_it_writes_evidence_of_the_passage(tiny: Reranker) -> None:
    query, (own, _) = comparison_pairs()[0]
    (result,) = tiny.rank(query, [own])
    assert result["verdict"] == "yes"
    assert result["format_ok"]
    assert result["evidence"]


def test_it_is_small_and_says_what_it_is() -> None:
    folder: Path = prism_tiny_path()
    assert sum(path.stat().st_size for path in folder.iterdir()) < 12_000_000
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "base_model: HuggingFaceTB/SmolLM2-135M-Instruct" in card
    assert "prism-tiny.sh" in card
    assert resolve_model("hf:prism-tiny").fingerprint != resolve_model("hf:smollm2").fingerprint
