"""llama-index: postprocessors of Jina, SiliconFlow, Xinference, TEI and NVIDIA."""

from typing import Any

from llama_index.postprocessor.jinaai_rerank import JinaRerank
from llama_index.postprocessor.nvidia_rerank import NVIDIARerank
from llama_index.postprocessor.siliconflow_rerank import SiliconFlowRerank
from llama_index.postprocessor.tei_rerank import TextEmbeddingInference
from llama_index.postprocessor.xinference_rerank import XinferenceRerank
from llama_nodes import rank
from outcome import args, report


def jina(key: str = args.key, **more: Any) -> Any:
    return JinaRerank(api_key=key, base_url=f"{args.url}/v1", **{"top_n": 9, "model": "m", **more})


def siliconflow(key: str = args.key, **more: Any) -> Any:
    url = f"{args.url}/v1/rerank"
    return SiliconFlowRerank(api_key=key, base_url=url, **{"top_n": 9, "model": "m", **more})


def xinference(url: str = args.open_url, **more: Any) -> Any:
    return XinferenceRerank(base_url=url, **{"top_n": 9, "model": "m", **more})


def tei(key: str = args.key, **more: Any) -> Any:
    return TextEmbeddingInference(base_url=args.url, auth_token=key, **more)


def nvidia(key: str = args.key, **more: Any) -> Any:
    url = f"{args.url}/v1"
    return NVIDIARerank(base_url=url, nvidia_api_key=key, **{"model": "river", **more})


calls = {}
for reranker in (jina, siliconflow, xinference, tei, nvidia):
    name = reranker.__name__
    evidence = {} if reranker is tei else {"model": "river:evidence"}
    wrong = {"url": args.url} if reranker is xinference else {"key": "other"}
    calls |= {
        name: lambda make=reranker: rank(make()),
        f"{name} top": lambda make=reranker: rank(make(top_n=2)),
        f"{name} evidence": lambda make=reranker, more=evidence: rank(make(**more)),
        f"{name} key": lambda make=reranker, more=wrong: rank(make(**more)),
        f"{name} blank": lambda make=reranker: rank(make(), " "),
        f"{name} busy": lambda make=reranker: rank(make(), "busy river"),
    }
report(calls)
