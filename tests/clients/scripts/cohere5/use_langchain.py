"""langchain-cohere: CohereRerank."""

from typing import Any

from langchain_cohere import CohereRerank
from langchain_core.documents import Document
from outcome import args, report, shown

PAGES = [Document(text, metadata={"index": index}) for index, text in enumerate(args.documents)]


def rank(query: str = args.query, key: str = args.key, **more: Any) -> Any:
    more = {"model": "m", "top_n": None, **more}
    reranker = CohereRerank(cohere_api_key=key, base_url=args.url, **more)
    return [
        shown(one.metadata["index"], one.metadata["relevance_score"], one.page_content)
        for one in reranker.compress_documents(PAGES, query)
    ]


report(
    {
        "plain": rank,
        "top": lambda: rank(top_n=2),
        "evidence": lambda: rank(model="m:evidence"),
        "key": lambda: rank(key="other"),
        "blank": lambda: rank(" "),
    }
)
