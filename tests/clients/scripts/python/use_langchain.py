"""langchain-community's JinaRerank, langchain-voyageai and langchain-nvidia-ai-endpoints."""

from typing import Any

from langchain_community.document_compressors import JinaRerank, jina_rerank
from langchain_core.documents import Document
from langchain_nvidia_ai_endpoints import NVIDIARerank
from langchain_voyageai import VoyageAIRerank
from outcome import args, report, shown

jina_rerank.JINA_API_URL = f"{args.url}/v1/rerank"
PAGES = [Document(text, metadata={"index": index}) for index, text in enumerate(args.documents)]


def read(documents: Any) -> Any:
    return [
        shown(one.metadata["index"], one.metadata["relevance_score"], one.page_content)
        for one in documents
    ]


def jina(query: str = args.query, key: str = args.key, **more: Any) -> Any:
    reranker = JinaRerank(jina_api_key=key, **{"top_n": None, "model": "m", **more})
    return read(reranker.compress_documents(PAGES, query))


def voyage(query: str = args.query, key: str = args.key, **more: Any) -> Any:
    reranker = VoyageAIRerank(api_key=key, base_url=f"{args.url}/v1", **{"model": "m", **more})
    return read(reranker.compress_documents(PAGES, query))


async def voyage_async() -> Any:
    reranker = VoyageAIRerank(api_key=args.key, base_url=f"{args.url}/v1", model="m")
    return read(await reranker.acompress_documents(PAGES, args.query))


def nvidia(query: str = args.query, key: str = args.key, **more: Any) -> Any:
    reranker = NVIDIARerank(base_url=f"{args.url}/v1", api_key=key, **more)
    return read(reranker.compress_documents(PAGES, query))


report(
    {
        "jina": jina,
        "jina top": lambda: jina(top_n=2),
        "jina evidence": lambda: jina(model="m:evidence"),
        "jina key": lambda: jina(key="other"),
        "jina blank": lambda: jina(" "),
        "jina busy": lambda: jina("busy river"),
        "jina stopping": lambda: jina("stopping river"),
        "voyage": voyage,
        "voyage top": lambda: voyage(top_k=2),
        "voyage evidence": lambda: voyage(model="m:evidence"),
        "voyage async": voyage_async,
        "voyage key": lambda: voyage(key="other"),
        "voyage blank": lambda: voyage(" "),
        "nvidia": lambda: nvidia(model="river"),
        "nvidia default": nvidia,
        "nvidia top": lambda: nvidia(model="river", top_n=2, truncate="END"),
        "nvidia batches": lambda: nvidia(model="river", max_batch_size=3),
        "nvidia evidence": lambda: nvidia(model="river:evidence"),
        "nvidia key": lambda: nvidia(model="river", key="other"),
        "nvidia blank": lambda: nvidia(" ", model="river"),
        "nvidia busy": lambda: nvidia("busy river", model="river"),
    }
)
