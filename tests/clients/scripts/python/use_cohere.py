"""cohere: Client and ClientV2, each synchronous and asynchronous."""

from typing import Any

import cohere
from outcome import args, report, shown

EVIDENCE = {"additional_body_parameters": {"evidence": True}}


def read(reply: Any) -> Any:
    return [
        shown(
            one.index,
            one.relevance_score,
            one.document.text if getattr(one, "document", None) else None,
            getattr(one, "evidence", None),
        )
        for one in reply.results
    ]


def rank(kind: Any, query: str = args.query, key: str = args.key, **more: Any) -> Any:
    client = kind(key, base_url=args.url)
    return read(client.rerank(query=query, documents=args.documents, model="m", **more))


async def rank_async(kind: Any, **more: Any) -> Any:
    async with kind(args.key, base_url=args.url) as client:
        reply = await client.rerank(query=args.query, documents=args.documents, model="m", **more)
        return read(reply)


report(
    {
        "v1": lambda: rank(cohere.Client),
        "v1 top": lambda: rank(cohere.Client, top_n=2),
        "v1 documents": lambda: rank(cohere.Client, return_documents=True, top_n=2),
        "v1 evidence": lambda: rank(cohere.Client, request_options=EVIDENCE),
        "v2": lambda: rank(cohere.ClientV2),
        "v2 top": lambda: rank(cohere.ClientV2, top_n=2),
        "v2 evidence": lambda: rank(cohere.ClientV2, request_options=EVIDENCE),
        "v1 async": lambda: rank_async(cohere.AsyncClient),
        "v2 async": lambda: rank_async(cohere.AsyncClientV2, request_options=EVIDENCE),
        "v2 key": lambda: rank(cohere.ClientV2, key="other"),
        "v2 blank": lambda: rank(cohere.ClientV2, query=" "),
        "v2 once": lambda: rank(cohere.ClientV2, query="busy once river"),
        "v2 busy": lambda: rank(cohere.ClientV2, query="busy river"),
        "v2 stopping": lambda: rank(
            cohere.ClientV2, query="stopping river", request_options={"max_retries": 0}
        ),
    }
)
