"""haystack: CohereRanker."""

from typing import Any

from haystack import Document
from haystack.utils import Secret
from haystack_integrations.components.rankers.cohere import CohereRanker
from outcome import args, report, shown

DOCUMENTS = [Document(content=text, meta={"index": n}) for n, text in enumerate(args.documents)]


def ranker(key: str = args.key, **more: Any) -> Any:
    more = {"model": "m", **more}
    return CohereRanker(api_key=Secret.from_token(key), api_base_url=args.url, **more)


def read(reply: Any) -> Any:
    return [shown(one.meta["index"], one.score, one.content) for one in reply["documents"]]


def rank(ranker: Any, query: str = args.query) -> Any:
    return read(ranker.run(query=query, documents=DOCUMENTS))


async def rank_async() -> Any:
    return read(await ranker().run_async(query=args.query, documents=DOCUMENTS))


report(
    {
        "plain": lambda: rank(ranker()),
        "top": lambda: rank(ranker(top_k=2)),
        "async": rank_async,
        "evidence": lambda: rank(ranker(model="m:evidence")),
        "key": lambda: rank(ranker(key="other")),
        "blank": lambda: rank(ranker(), " "),
    }
)
