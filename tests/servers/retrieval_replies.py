"""Good replies of rerankers and web search APIs, in the formats of the providers."""

from tests.servers.calls import digest
from tests.servers.replies import Answers, BadRequestError, Body, Page, need, text_of, tokens
from tests.servers.wire import Reply

RERANKERS = ("voyage", "cohere", "jina", "vllm", "tei")
SEARCHERS = ("exa", "tavily")
# Accepted parameters of each API; others are refused (vLLM accepts any).
_TAKES = {
    "voyage": {"model", "query", "documents", "top_k", "return_documents", "truncation"},
    "cohere": {"model", "query", "documents", "top_n", "max_tokens_per_doc", "priority"},
    "jina": {"model", "query", "documents", "top_n", "return_documents", "truncation"},
    "tei": {"query", "texts", "raw_scores", "return_text", "truncate", "truncation_direction"},
}


def rerank(dialect: str, body: Body, answers: Answers) -> Reply:
    """Return scores of the documents for the query, best first, with their `index`."""
    listed = "texts" if dialect == "tei" else "documents"
    need(body, "query", listed, *([] if dialect == "tei" else ["model"]))
    if unknown := body.keys() - _TAKES.get(dialect, body.keys()):
        raise BadRequestError(f"Argument '{min(unknown)}' is not supported by this API.")
    model = body.get("model", "")
    texts = [text if isinstance(text, str) else text["text"] for text in body[listed]]
    if not texts:
        raise BadRequestError(f"'{listed}' is empty.")
    scored = [(answers.score(model, body["query"], text), at) for at, text in enumerate(texts)]
    scored.sort(key=lambda pair: (-pair[0], pair[1]))
    scored = scored[: body.get("top_k") or body.get("top_n") or None]
    total = tokens(body["query"]) * len(texts) + sum(map(tokens, texts))
    name = "score" if dialect == "tei" else "relevance_score"
    results: list[Body] = [{"index": at, name: score} for score, at in scored]
    if dialect == "vllm" or body.get("return_documents") or body.get("return_text"):
        for result in results:
            text = texts[result["index"]]
            key = "text" if dialect == "tei" else "document"
            result[key] = text if dialect in ("tei", "voyage") else {"text": text}
    payload: object = results
    vector = digest(text_of("rerank", body))
    if dialect == "voyage":
        usage = {"total_tokens": total}
        payload = {"object": "list", "data": results, "model": model, "usage": usage}
    elif dialect == "cohere":
        units = -(-len(texts) // 100)
        version = {"version": "2", "is_experimental": False}
        meta = {"api_version": version, "billed_units": {"search_units": units}}
        payload = {"results": results, "id": vector, "meta": meta}
    elif dialect == "jina":
        payload = {"model": model, "usage": {"total_tokens": total}, "results": results}
    elif dialect == "vllm":
        usage = {"prompt_tokens": total, "total_tokens": total}
        payload = {"id": f"rerank-{vector}", "model": model, "usage": usage, "results": results}
    return Reply(payload, usage=(total, 0))


def search(engine: str, body: Body, answers: Answers) -> Reply:
    """Return pages for a query, with their text if requested."""
    need(body, "query")
    if engine == "exa":
        pages = answers.pages(body["query"], body.get("numResults", 10))
        contents = body.get("contents") or {}
        return Reply(_exa([_exa_page(page, contents) for page in pages]), usage=(len(pages), 0))
    pages = answers.pages(body["query"], body.get("max_results", 5))
    results = [
        {
            "title": page.title,
            "url": page.url,
            "content": page.text[:200],
            "score": page.score,
            "raw_content": page.text if body.get("include_raw_content") else None,
        }
        for page in pages
    ]
    payload = {
        "query": body["query"],
        "answer": None,
        "images": [],
        "results": results,
        "response_time": 0.1,
        "request_id": digest(body["query"]),
    }
    return Reply(payload, usage=(len(pages), 0))


def contents(body: Body, answers: Answers) -> Reply:
    """Exa's POST /contents: the text of pages by URL."""
    urls = body.get("urls") or body.get("ids") or []
    if not urls:
        raise BadRequestError("Missing required parameter: 'urls'.")
    pages = [Page(url, f"Title of {url}", f"The text of {url}.") for url in urls]
    reply = _exa([_exa_page(page, {"text": True} | body) for page in pages])
    reply["statuses"] = [{"id": url, "status": "success"} for url in urls]
    return Reply(reply, usage=(len(urls), 0))


def _exa_page(page: Page, contents: Body) -> Body:
    result = {"id": page.url, "url": page.url, "title": page.title, "author": None}
    result["publishedDate"] = "2024-01-01T00:00:00.000Z"
    if options := contents.get("text"):
        longest = options.get("maxCharacters") if isinstance(options, dict) else None
        result["text"] = page.text[:longest]
    return result


def _exa(results: list[Body]) -> Body:
    cost = {"total": round(0.007 + 0.001 * sum("text" in result for result in results), 4)}
    return {
        "requestId": digest(str(results)),
        "searchType": "auto",
        "results": results,
        "costDollars": cost,
    }
