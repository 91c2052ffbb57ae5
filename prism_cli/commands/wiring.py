"""Specs to adapters: the one module that knows them all, each imported where it is asked for."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prism_cli.adapters.datasets.beir import BeirSet
    from prism_cli.ports import BatchBackend, FirstStage


def first_stage(spec: str, data: "BeirSet") -> "FirstStage":
    """What proposes candidates for `data`: `bm25`, or the TREC run file that `spec` names.

    Raises:
        MissingDataError: no such file.
    """
    if spec == "bm25":
        from prism_cli.adapters.first_stages.bm25 import Bm25FirstStage

        return Bm25FirstStage(data.texts())
    from pathlib import Path

    from prism_cli.adapters.first_stages.trec_run import TrecRunFirstStage

    return TrecRunFirstStage(Path(spec.replace("{dataset}", data.name)))


def reranker(spec: str, **settings: Any) -> "BatchBackend":
    """The model of `spec`, loaded; `settings` as `load_reranker` takes them.

    Raises:
        ModelError: it cannot be loaded, or is not fit to rerank.
    """
    from prism_cli.adapters.runtimes.transformers_runtime import load_reranker

    return load_reranker(spec, **settings)


def reranker_identity(
    spec: str, *, device: str, dtype: str, profile: str | None, max_tokens: int
) -> str:
    """All that decides the scores of `spec`, told without loading its weights.

    Raises:
        ModelError: no such model, or its tokenizer is not fit.
    """
    from prism_cli.modeling.loading import (
        load_encoder,
        model_fingerprint,
        resolve_device,
        resolve_dtype,
    )

    place = resolve_device(device)
    encoder = load_encoder(spec, max_tokens, profile=profile)
    return (
        f"{model_fingerprint(spec)} {encoder.profile.hash} {resolve_dtype(dtype, place)} "
        f"{place.type} {max_tokens}"
    )
