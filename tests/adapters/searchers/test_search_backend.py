"""Replies of search APIs: published examples and malformed ones."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from prism_cli.adapters.providers import retrying
from prism_cli.adapters.providers.registry import ProviderRegistry
from prism_cli.adapters.searchers.backend import SearchBackend
from prism_cli.configs.providers import load_providers
from prism_cli.errors import UsageError
from prism_cli.ports import Reply

PUBLISHED = Path(__file__).parent.parent.parent / "servers" / "published"
EXA: dict[str, Any] = json.loads((PUBLISHED / "exa.json").read_text())
TAVILY: dict[str, Any] = json.loads((PUBLISHED / "tavily.json").read_text())


def backend(spec: str, results: int = 10) -> SearchBackend:
    ref = ProviderRegistry(load_providers()).resolve(spec)
    assert ref
    return SearchBackend(ref, results)


def answered(spec: str, *payloads: object) -> tuple[Reply, SearchBackend, list[httpx2.Request]]:
    """Return the reply to these bodies (one per call), the backend, and the requests sent."""
    requests: list[httpx2.Request] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        requests.append(request)
        return httpx2.Response(200, json=payloads[len(requests) - 1])

    ref = ProviderRegistry(load_providers()).resolve(spec)
    assert ref
    ref.client.idle_http.append(httpx2.AsyncClient(transport=httpx2.MockTransport(handle)))
    backend = SearchBackend(ref, 10)

    async def ask() -> Reply:
        (reply,) = await backend.answer(["what is it"])
        await backend.close()
        return reply

    return asyncio.run(ask()), backend, requests


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXA_API_KEY", "planted")
    monkeypatch.setattr(retrying, "_jittered", lambda state: 0.01)


def test_exas_published_reply_is_read() -> None:
    reply, _, (sent,) = answered("exa/search", EXA)
    (page,) = reply.value["pages"]
    assert page == {name: EXA["results"][0][name] for name in ("url", "title", "text")}
    assert reply.usage.usd == 0.007
    assert str(sent.url) == "https://api.exa.ai/search"
    assert sent.headers["authorization"] == "Bearer planted"
    assert json.loads(sent.content) == {
        "query": "what is it", "numResults": 10, "contents": {"text": True},
    }  # fmt: skip


def test_tavilys_published_reply_has_no_text_where_there_is_none() -> None:
    reply, _, (sent,) = answered("tavily/search", TAVILY)
    (page,) = reply.value["pages"]
    assert (page["url"], page["text"]) == (TAVILY["results"][0]["url"], "")
    assert reply.usage.usd == pytest.approx(0.008)
    assert json.loads(sent.content) == {
        "query": "what is it", "max_results": 10, "include_raw_content": "text",
    }  # fmt: skip


@pytest.mark.parametrize(
    "bad",
    [
        {},
        [],
        {"results": None},
        {"results": {"url": "u"}},
        {"results": ["https://a.test"]},
        {"results": [{"title": "no url"}]},
        {"results": [{"url": None}]},
        {"results": [{"url": "u", "title": 5}]},
        {"results": [{"url": "u", "text": ["a"]}]},
    ],
)
def test_a_malformed_reply_is_billed_and_retried(bad: object) -> None:
    reply, backend, sent = answered("exa/search", bad, EXA)
    assert len(reply.value["pages"]) == 1
    assert (len(sent), backend.lost_calls) == (2, 1)


def test_the_fingerprint_depends_on_the_request() -> None:
    assert backend("exa/search").fingerprint != backend("exa/search", 5).fingerprint
    assert backend("exa/search").fingerprint != backend("tavily/search").fingerprint


def test_pages_beyond_the_price_are_estimated_too() -> None:
    assert backend("exa/search", 10).estimate(["q"]).usd == pytest.approx(0.007)
    assert backend("exa/search", 30).estimate(["q"]).usd == pytest.approx(0.027)


def test_more_pages_than_the_api_gives_are_refused() -> None:
    with pytest.raises(UsageError, match="tavily/search: expected at most 20 results"):
        backend("tavily/search", 21)
