"""Batches at a provider: created once, and found by their mark in a list of any length."""

import asyncio
from collections.abc import Callable
from io import BytesIO
from types import SimpleNamespace

import httpx2
import pytest

from prism_cli.adapters.chat import batch_api
from prism_cli.adapters.chat.batch_api import BatchApi
from prism_cli.adapters.providers import retrying
from prism_cli.adapters.providers.client import ProviderClient
from prism_cli.configs.providers import Provider
from prism_cli.errors import RefusalError
from tests.servers.fault_server import FaultServer

LINE = b'{"custom_id": "%d", "method": "POST", "url": "/v1/chat/completions", "body": {}}\n'


def endpoint(handle: Callable[[httpx2.Request], httpx2.Response]) -> BatchApi:
    provider = Provider.model_validate({"api": "openai", "base_url": "https://lab.invalid/v1"})
    client = ProviderClient("lab", provider)
    client.idle_http.append(httpx2.AsyncClient(transport=httpx2.MockTransport(handle)))
    return BatchApi(client)


def test_a_batch_is_found_by_its_mark_on_any_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_api, "_PAGE", 2)

    async def made_and_sought(base_url: str) -> tuple[list[str], list[str | None]]:
        provider = Provider.model_validate({"api": "openai", "base_url": f"{base_url}/v1"})
        client = ProviderClient("lab", provider)
        api = BatchApi(client)
        files, batches = ["none"], []
        for number in range(5):
            file = await api.upload(BytesIO(LINE % number), f"{number}.jsonl")
            files.append(file)
            batches.append(await api.create(file, f"mark {number}", 0.0))
        sought = [await api.find(f"mark {number}", "none") for number in range(6)]
        sought += [await api.find("another mark", file) for file in files]
        await client.close()
        return batches, sought

    with FaultServer() as server:
        batches, sought = asyncio.run(made_and_sought(server.base_url))
    assert len(set(batches)) == 5
    assert sought == [*batches, None, None, *batches]


def test_the_search_ends_with_an_error_where_a_server_repeats_a_page() -> None:
    asked: list[httpx2.Request] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        assert len(asked) < 5
        return httpx2.Response(200, json={"data": [{"id": "batch_1"}], "has_more": True})

    with pytest.raises(RefusalError, match="the same page again and again"):
        asyncio.run(endpoint(handle).find("mark", "file"))


@pytest.mark.parametrize(
    ("settle", "seconds", "calls"), [(10.0, 0.0, 1), (10.0, 60.0, 1), (0.0, 1.0, 2)]
)
def test_a_batch_that_is_listed_late_is_not_created_again(
    settle: float, seconds: float, calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first call takes some seconds, and its reply is lost."""
    clock = SimpleNamespace(now=0.0)
    clock.monotonic = lambda: clock.now
    monkeypatch.setattr(batch_api, "time", clock)
    monkeypatch.setattr(batch_api, "_LOOK_SECONDS", 0.001)
    monkeypatch.setattr(retrying, "_jittered", lambda state: 0.01)
    made: list[str] = []
    looks: list[str] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        if request.method == "POST":
            made.append(f"batch_{len(made) + 1}")
            clock.now += seconds
            if len(made) == 1:
                raise httpx2.ReadError("the reply is lost")
            return httpx2.Response(200, json={"id": made[-1]})
        looks.append(request.url.path)
        clock.now += 0.001
        batch = {"id": made[0], "metadata": {"prism": "mark"}}
        return httpx2.Response(200, json={"data": [batch] if len(looks) > 3 else []})

    assert asyncio.run(endpoint(handle).create("file", "mark", settle)) == f"batch_{calls}"
    assert len(made) == calls


@pytest.mark.parametrize("repeats", [False, True], ids=["paged", "repeated"])
def test_a_batch_on_a_later_page_is_not_created_again(
    repeats: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reply to the first call is lost; the server lists the oldest batch first."""
    monkeypatch.setattr(batch_api, "_LOOK_SECONDS", 0.001)
    monkeypatch.setattr(retrying, "_jittered", lambda state: 0.01)
    made: list[str] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        if request.method == "POST":
            made.append(f"batch_{len(made) + 1}")
            if len(made) == 1:
                raise httpx2.ReadError("the reply is lost")
            return httpx2.Response(200, json={"id": made[-1]})
        if "after" in request.url.params and not repeats:
            batch = {"id": made[0], "metadata": {"prism": "mark"}}
            return httpx2.Response(200, json={"data": [batch], "has_more": False})
        return httpx2.Response(200, json={"data": [{"id": "old"}], "has_more": True})

    creation = endpoint(handle).create("file", "mark", 0.0)
    if repeats:
        with pytest.raises(RefusalError, match="the same page again and again"):
            asyncio.run(creation)
    else:
        assert asyncio.run(creation) == "batch_1"
    assert made == ["batch_1"]


def test_an_error_that_is_nested_deeply_is_reported_for_a_batch_and_for_a_line() -> None:
    deep = b"[" * 990 + b"]" * 990
    line = b'{"custom_id": "00", "error": {"message": %s}}' % deep
    batch = b'{"status": "failed", "errors": {"data": [{"message": %s}]}}' % deep

    def handle(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, content=line if "files" in request.url.path else batch)

    async def state_and_replies() -> tuple[str, object]:
        state = await api.look("batch_1")
        assert state is not None
        return state.words, await api.fetch("file")

    api = endpoint(handle)
    reason = "something nested too deeply"
    expected = (f"failed: {reason}", [(b"\0", 0, reason.encode())])
    assert asyncio.run(state_and_replies()) == expected
