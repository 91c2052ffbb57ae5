"""The figures that the paper reports, and whether an evaluation may be held against them."""

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
    """The part `paper` of metrics.json where it applies, else nothing."""
    figures = paper_figures(
        [one.data.name for one in sets],
        {one.first_stage.spec for one in sets},
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
    """FIGURES where this is the paper's setting, all of it; else None.

    Args:
        sets: names of the sets that were measured.
        first_stages: specs of what proposed their candidates.
        limit: of queries.
    """
    same = (
        sorted(map(official_name, sets)) == sorted(one.name for one in NINE)
        and {spec.partition("@")[0] for spec in first_stages} <= FIRST_STAGES
        and (split, top_k, limit) == (SPLIT, TOP_K, None)
    )
    return FIGURES if same else None
