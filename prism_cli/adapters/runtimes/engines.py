"""The runtimes by the names of their engines; each is imported when it is used."""

from collections.abc import Mapping
from typing import Any, cast

from prism_cli.domain.windows import CUT, check_windows
from prism_cli.ports import RerankRuntime, SplitsDocuments


def load_runtime(engine: str, model: str, settings: Mapping[str, Any]) -> RerankRuntime:
    """Load the runtime of an engine; `settings` are the arguments of its loader."""
    if engine == "vllm":
        from prism_cli.adapters.runtimes.vllm_runtime import load_vllm_reranker

        return load_vllm_reranker(model, **settings)
    from prism_cli.adapters.runtimes.transformers_runtime import load_reranker

    return load_reranker(model, **settings)


def reading(runtime: RerankRuntime, way: str, window_tokens: int | None) -> RerankRuntime:
    """Return a runtime that reads long documents in this way: WINDOW or CUT.

    A runtime without an encoder decides itself.

    Raises:
        ArgumentError: another way, or too few tokens.
    """
    check_windows(way, window_tokens)
    if not hasattr(runtime, "encoder"):
        return runtime
    if isinstance(runtime, SplitsDocuments) and getattr(runtime, "cut", False) == (way == CUT):
        return runtime
    from prism_cli.adapters.runtimes.windowed import WindowedReranker

    inner = getattr(runtime, "inner", runtime)
    return WindowedReranker(cast("Any", inner), window_tokens, cut=way == CUT)
