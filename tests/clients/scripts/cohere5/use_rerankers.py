"""rerankers: its rankers that call APIs."""

from typing import Any

from outcome import args, report, shown
from rerankers.models.api_rankers import APIRanker

PATHS = {
    "cohere": "/v1/rerank",
    "jina": "/v1/rerank",
    "voyage": "/v1/rerank",
    "mixedbread.ai": "/v1/reranking",
    "text-embeddings-inference": "/rerank",
}


def rank(provider: str, model: str = "m", key: str = args.key) -> Any:
    ranker = APIRanker(model, key, provider, url=args.url + PATHS[provider])
    reply = ranker.rank(args.query, args.documents)
    return [shown(one.document.doc_id, one.score, one.document.text) for one in reply.results]


calls = {}
for name in PATHS:
    calls |= {
        name: lambda name=name: rank(name),
        f"{name} evidence": lambda name=name: rank(name, "m:evidence"),
    }
report(calls)
