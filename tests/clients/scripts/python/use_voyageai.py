"""voyageai: Client and AsyncClient."""

from typing import Any

import voyageai
from outcome import args, report, shown


def read(reply: Any) -> Any:
    assert reply.total_tokens >= 40
    return [shown(one.index, one.relevance_score, one.document) for one in reply.results]


def rank(query: str = args.query, model: str = "m", key: str = args.key, **more: Any) -> Any:
    client = voyageai.Client(key, base_url=f"{args.url}/v1", **more.pop("client", {}))
    return read(client.rerank(query, args.documents, model=model, **more))


async def rank_async(**more: Any) -> Any:
    client = voyageai.AsyncClient(args.key, base_url=f"{args.url}/v1")
    return read(await client.rerank(args.query, args.documents, model="m", **more))


report(
    {
        "plain": rank,
        "top": lambda: rank(top_k=2),
        "evidence": lambda: rank(model="m:evidence", truncation=False),
        "async": lambda: rank_async(top_k=2),
        "key": lambda: rank(key="other"),
        "blank": lambda: rank(query=" "),
        "once": lambda: rank(query="busy once voyage river", client={"max_retries": 3}),
        "busy": lambda: rank(query="busy river"),
        "stopping": lambda: rank(query="stopping river"),
    }
)
