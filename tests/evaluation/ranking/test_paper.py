"""The paper's figures stand beside the paper's setting only."""

from typing import Any

import pytest

from prism_cli.adapters.datasets.beir_qa import NINE
from prism_cli.evaluation.ranking.paper import FIGURES, paper_figures

NAMES = [one.name for one in NINE]
SETTING: dict[str, Any] = {
    "sets": NAMES,
    "first_stages": {"st:jinaai/jina-embeddings-v3"},
    "split": "test",
    "top_k": 100,
    "limit": None,
}


@pytest.mark.parametrize(
    "same",
    [
        {},
        {"sets": NAMES[::-1]},
        {"sets": [*NAMES[:5], "touche2020", "dbpedia", *NAMES[7:]]},
        {"first_stages": {"st:jinaai/jina-embeddings-v3-hf"}},
        {"first_stages": {f"st:jinaai/jina-embeddings-v3@{'a' * 40}"}},
    ],
)
def test_figures_apply(same: dict[str, Any]) -> None:
    assert paper_figures(**SETTING | same) == FIGURES


@pytest.mark.parametrize(
    "other",
    [
        {"sets": NAMES[:8]},
        {"sets": [*NAMES, "arguana"]},
        {"sets": [*NAMES[:8], "arguana"]},
        {"sets": [*NAMES[:8], NAMES[0]]},
        {"first_stages": {"bm25"}},
        {"first_stages": {"st:minilm"}},
        {"first_stages": {"jinaai/jina-embeddings-v3"}},
        {"first_stages": {"st:./jina-embeddings-v3"}},
        {"first_stages": {"st:jinaai/jina-embeddings-v3", "bm25"}},
        {"split": "dev"},
        {"top_k": 99},
        {"limit": 7000},
    ],
)
def test_figures_do_not_apply(other: dict[str, Any]) -> None:
    assert paper_figures(**SETTING | other) is None
