"""llama-index: CohereRerank."""

from typing import Any

from llama_index.postprocessor.cohere_rerank import CohereRerank
from llama_nodes import rank
from outcome import args, report


def cohere(key: str = args.key, **more: Any) -> Any:
    more = {"model": "m", "top_n": 9, "max_retries": 1, **more}
    return CohereRerank(api_key=key, base_url=args.url, **more)


report(
    {
        "plain": lambda: rank(cohere()),
        "top": lambda: rank(cohere(top_n=2)),
        "evidence": lambda: rank(cohere(model="m:evidence")),
        "key": lambda: rank(cohere(key="other")),
        "blank": lambda: rank(cohere(), " "),
    }
)
