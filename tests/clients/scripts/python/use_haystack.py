"""haystack: rankers of Jina, vLLM and TEI."""

from typing import Any

from haystack import Document
from haystack.utils import Secret
from haystack_integrations.components.rankers.huggingface_api import HuggingFaceTEIRanker
from haystack_integrations.components.rankers.jina import JinaRanker
from haystack_integrations.components.rankers.vllm import VLLMRanker
from outcome import args, report, shown

DOCUMENTS = [Document(content=text, meta={"index": n}) for n, text in enumerate(args.documents)]


def read(reply: Any) -> Any:
    return [shown(one.meta["index"], one.score, one.content) for one in reply["documents"]]


def jina(model: str = "m", key: str = args.key, **more: Any) -> Any:
    url = f"{args.url}/v1/rerank"
    return JinaRanker(model=model, api_key=Secret.from_token(key), base_url=url, **more)


def vllm(model: str = "m", key: str = args.key, **more: Any) -> Any:
    url = f"{args.url}/v1"
    return VLLMRanker(model=model, api_key=Secret.from_token(key), api_base_url=url, **more)


def tei(key: str = args.key, **more: Any) -> Any:
    more = {"max_retries": 1, **more}
    return HuggingFaceTEIRanker(url=args.url, token=Secret.from_token(key), **more)


def rank(ranker: Any, query: str = args.query) -> Any:
    return read(ranker.run(query=query, documents=DOCUMENTS))


async def rank_async(ranker: Any) -> Any:
    return read(await ranker.run_async(query=args.query, documents=DOCUMENTS))


calls = {
    "vllm evidence by field": lambda: rank(vllm(extra_parameters={"evidence": True})),
    "tei raw": lambda: rank(tei(raw_scores=True)),
    "tei once": lambda: rank(tei(max_retries=3), "busy once haystack river"),
}
for make in (jina, vllm, tei):
    name = make.__name__
    evidence = {} if make is tei else {"model": "m:evidence"}
    calls |= {
        name: lambda make=make: rank(make()),
        f"{name} top": lambda make=make: rank(make(top_k=2)),
        f"{name} async": lambda make=make: rank_async(make()),
        f"{name} evidence": lambda make=make, more=evidence: rank(make(**more)),
        f"{name} key": lambda make=make: rank(make(key="other")),
        f"{name} blank": lambda make=make: rank(make(), " "),
        f"{name} busy": lambda make=make: rank(make(), "busy river"),
    }
report(calls)
