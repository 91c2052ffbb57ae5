"""litellm: rerank with six providers."""

from typing import Any

import litellm
from outcome import args, report, shown

litellm.suppress_debug_info = True
PROVIDERS = {
    "cohere": args.url,
    "hosted_vllm": args.url,
    "together_ai": args.url,
    "jina_ai": args.url,
    "huggingface": args.url,
    "voyage": f"{args.url}/v1",
}


def rank(provider: str, query: str = args.query, key: str = args.key, **more: Any) -> Any:
    reply = litellm.rerank(
        **{
            "model": f"{provider}/m",
            "query": query,
            "documents": args.documents,
            "api_base": PROVIDERS[provider],
            "api_key": key,
            **more,
        }
    )
    return read(reply)


async def rank_async(provider: str) -> Any:
    reply = await litellm.arerank(
        model=f"{provider}/m",
        query=args.query,
        documents=args.documents,
        api_base=PROVIDERS[provider],
        api_key=args.key,
    )
    return read(reply)


def read(reply: Any) -> Any:
    return [
        shown(one["index"], one["relevance_score"], (one.get("document") or {}).get("text"))
        for one in reply.results
    ]


calls = {}
for name in PROVIDERS:
    calls |= {
        name: lambda name=name: rank(name),
        f"{name} top": lambda name=name: rank(name, top_n=2),
        f"{name} evidence": lambda name=name: rank(name, model=f"{name}/m:evidence"),
        f"{name} async": lambda name=name: rank_async(name),
        f"{name} key": lambda name=name: rank(name, key="other"),
        f"{name} blank": lambda name=name: rank(name, " "),
        f"{name} busy": lambda name=name: rank(name, "busy river"),
        f"{name} stopping": lambda name=name: rank(name, "stopping river"),
    }
report(calls)
