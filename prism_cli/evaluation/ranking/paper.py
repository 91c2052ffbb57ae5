"""Figures of the paper, for evaluations with the same setting."""

from collections.abc import Collection, Sequence
from typing import Any

from prism_cli.adapters.datasets.beir_qa import NINE, official_name
from prism_cli.adapters.teachers.st_files import JINA_V3, JINA_V3_NATIVE
from prism_cli.evaluation.ranking.plan import EvalOptions, EvalSet

FIRST_STAGES = frozenset(f"st:{name}" for name in (JINA_V3, JINA_V3_NATIVE))
SPLIT, TOP_K = "test", 100
FIGURES = {
    "source": "arXiv 2604.23734: mean nDCG@10 over the nine sets, top 100 of jina-embeddings-v3",
    "nDCG@10": {"Qwen3-Reranker-4B by the paper's recipe": 0.5887, "Qwen3-Reranker-4B": 0.5733},
}


def paper_section(sets: Sequence[EvalSet], options: EvalOptions) -> dict[str, Any]:
    """Return the part `paper` of metrics.json if the setting is the paper's; else {}."""
    figures = paper_figures(
        [dataset.data.name for dataset in sets],
        {dataset.first_stage.spec for dataset in sets},
        split=options.split,
        top_k=options.top_k,
        limit=options.limit,
    )
    return {"paper": figures} if figures else {}


def paper_figures(
    sets: Collection[str],
    first_stages: Collection[str],
    *,
    split: str,
    top_k: int,
    limit: int | None,
) -> dict[str, Any] | None:
    """Return FIGURES if this is exactly the paper's setting; else None.

    Args:
        sets: names of the sets that were measured.
        first_stages: specs of the first stages.
        limit: of queries.
    """
    same = (
        sorted(map(official_name, sets)) == sorted(dataset.name for dataset in NINE)
        and {spec.partition("@")[0] for spec in first_stages} <= FIRST_STAGES
        and (split, top_k, limit) == (SPLIT, TOP_K, None)
    )
    return FIGURES if same else None
