"""Calls to one provider: paced by its limits, retried, and never ended by a broken connection."""

import asyncio
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial

import httpx2
import pytest

from prism_cli.adapters.providers import client as client_module
from prism_cli.adapters.providers import deadline, pacing, retrying, throttle
from prism_cli.adapters.providers.client import LostCalls, ProviderClient
from prism_cli.adapters.providers.replies import BlockedError, RetryableError, parse_json
from prism_cli.adapters.providers.secrets import Secrets
from prism_cli.adapters.providers.throttle import LONGEST_PAUSE, Throttle
from prism_cli.configs.providers import Provider
from prism_cli.errors import PrerequisiteError, PrismError, ProviderError, RefusalError
from tests.fake_clock import FakeClock

Handler = Callable[[httpx2.Request], httpx2.Response | Awaitable[httpx2.Response]]


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrying, "_jittered", lambda state: 0.01)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeClock]:
    """Return an event loop with the clock of the provider clients."""
    loop = FakeClock(monkeypatch, client_module, deadline, pacing, throttle)
    yield loop
    loop.close()


def client(handle: Handler | None = None, **settings: object) -> ProviderClient:
    """Return a client whose calls `handle` answers."""
    provider = Provider.model_validate(
        {"api": "openai", "base_url": "https://lab.invalid/v1", "concurrency": 1} | settings
    )
    made = ProviderClient("lab", provider)
    if handle:
        made.idle_http.append(httpx2.AsyncClient(transport=httpx2.MockTransport(handle)))
    return made


async def ask(asked: ProviderClient, text: str = "", lost: LostCalls | None = None) -> object:
    """Return the answer to one question, or the error."""
    try:
        body = {"text": text}
        send = partial(asked.post, "ask", body)
        return await asked.ask(send, str, lambda: 9, LostCalls() if lost is None else lost)
    except (PrismError, RefusalError) as error:
        return error


def good() -> httpx2.Response:
    return httpx2.Response(200, json={"answer": "yes"})


def replying(*replies: httpx2.Response | Exception) -> Handler:
    """Return a handler with these replies in turn."""
    left = iter(replies)

    def handle(_: httpx2.Request) -> httpx2.Response:
        reply = next(left)
        if isinstance(reply, Exception):
            raise reply
        return reply

    return handle


def test_a_fault_of_tls_is_retried_and_may_be_billed() -> None:
    lost = LostCalls()
    lab = client(replying(ssl.SSLError("bad record mac"), good()))
    assert asyncio.run(ask(lab, lost=lost)) == "{'answer': 'yes'}"
    assert lost.count == 1


@pytest.mark.parametrize("charset", ["utf-16", "utf-16-le", "cp037", "hex", "base64"])
def test_a_wrong_charset_hides_no_reply_and_no_key(
    charset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_KEY", "sk-planted-0815-4711")
    headers = {"content-type": f"application/json; charset={charset}"}
    refused = httpx2.Response(400, headers=headers, content=b'"no sk-planted-0815-4711"')
    page = httpx2.Response(502, headers=headers, content=b"<html>sk-planted-0815-4711")
    lab = client(replying(page, refused), key_env="LAB_KEY")
    assert str(asyncio.run(ask(lab))) == "status 400 (no [key])"


def test_a_byte_order_mark_before_json_is_skipped() -> None:
    assert parse_json(httpx2.Response(200, content=b'\xef\xbb\xbf{"a": 1}')) == {"a": 1}


def test_tokens_per_minute_hold_for_calls_larger_than_their_window(clock: FakeClock) -> None:
    lab = client(tokens_per_minute=60_000)  # 1,000 a second, 5,000 in the window

    async def calls() -> None:
        await asyncio.gather(*(lab.pacer.wait(lambda: 50_000) for _ in range(3)))

    clock.run_until_complete(calls())
    assert clock.time() == pytest.approx(145)


def test_tokens_that_a_call_did_not_use_are_free_for_calls_that_wait(clock: FakeClock) -> None:
    lab = client(tokens_per_minute=60_000)

    async def calls() -> None:
        await lab.pacer.wait(lambda: 20_000)
        second = asyncio.create_task(lab.pacer.wait(lambda: 20_000))
        await asyncio.sleep(1)
        lab.pacer.settle(20_000, 500)
        await second

    clock.run_until_complete(calls())
    assert 15 < clock.time() < 18  # the second waited for no 20,000


def test_tokens_that_an_answer_used_beyond_those_expected_delay_the_next_call(
    clock: FakeClock,
) -> None:
    lab = client(tokens_per_minute=60_000)
    clock.run_until_complete(lab.pacer.wait(lambda: 1000))
    lab.pacer.settle(1000, 20_000)
    clock.run_until_complete(lab.pacer.wait(lambda: 1000))
    assert clock.time() == pytest.approx(16)


def test_the_wait_for_the_limits_per_minute_is_not_part_of_the_deadline(clock: FakeClock) -> None:
    replies = [httpx2.Response(503), httpx2.Response(503), good()]
    lab = client(replying(*replies), requests_per_minute=0.1)
    assert clock.run_until_complete(ask(lab)) == "{'answer': 'yes'}"
    assert clock.time() == pytest.approx(1200)


@pytest.mark.parametrize("failures", [3, 9])
def test_the_wait_for_a_slot_is_not_part_of_the_deadline(failures: int, clock: FakeClock) -> None:
    failed = (httpx2.Response(503) for _ in range(failures))
    replies = replying(*(good() for _ in range(4)), *failed, good())

    async def handle(request: httpx2.Request) -> httpx2.Response:
        await asyncio.sleep(50)
        return replies(request)

    async def answers() -> list[object]:
        lab = client(handle)
        return await asyncio.gather(*(ask(lab) for _ in range(5)))

    *first, last = clock.run_until_complete(answers())
    assert first == ["{'answer': 'yes'}"] * 4
    # It was sent after 200 s, and has 180 s from then.
    assert "{'answer': 'yes'}" in str(last) if failures == 3 else "gave up" in str(last)


def test_a_placeholder_in_place_of_a_key_changes_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_KEY", "not-needed")
    answer = httpx2.Response(200, json="a licence is not-needed here")
    error = httpx2.Response(400, json={"error": {"message": "not-needed is no key"}})
    lab = client(replying(answer, error), key_env="LAB_KEY")
    assert asyncio.run(ask(lab)) == "a licence is not-needed here"
    assert str(asyncio.run(ask(lab))) == "status 400 ([key] is no key)"


PAGE = "<title>Attention Required!</title>"


@pytest.mark.parametrize("all_blocked", [False, True])
def test_a_question_that_a_firewall_refuses_does_not_stop_the_provider(all_blocked: bool) -> None:
    def handle(request: httpx2.Request) -> httpx2.Response:
        if request.method == "GET" and not all_blocked:
            return httpx2.Response(404, json={"error": "no such path"})
        if all_blocked or b"passwd" in request.content:
            return httpx2.Response(403, text=PAGE)
        return good()

    lab = client(handle)

    async def answers() -> list[object]:
        return [await ask(lab, text) for text in ("/etc/passwd", "a", "/etc/passwd")]

    kinds = [type(answer) for answer in asyncio.run(answers())]
    assert kinds == ([PrerequisiteError] * 3 if all_blocked else [ProviderError, str, BlockedError])


@pytest.mark.parametrize("has_answered", [False, True])
def test_a_firewall_that_refuses_question_after_question_stops_the_provider(
    has_answered: bool,
) -> None:
    def handle(request: httpx2.Request) -> httpx2.Response:
        blocked = request.method == "POST" and b"first" not in request.content
        return httpx2.Response(403, text=PAGE) if blocked else good()

    async def answers() -> list[object]:
        if has_answered:
            await ask(lab, "first")
        return [await ask(lab) for _ in range(6)]

    lab = client(handle)
    kinds = [type(answer) for answer in asyncio.run(answers())]
    one = BlockedError if has_answered else ProviderError  # which leaves the row pending
    assert kinds == [one] * 4 + [PrerequisiteError] * 2


def test_a_shorter_wait_does_not_shorten_that_of_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    lost, waits = LostCalls(), iter(["600", "400"])

    async def both() -> None:
        in_flight = asyncio.Barrier(2)

        async def handle(_: httpx2.Request) -> httpx2.Response:
            await in_flight.wait()
            return httpx2.Response(429, headers={"Retry-After": next(waits)})

        lab = client(concurrency=2, deadline_seconds=100)
        transport = httpx2.MockTransport(handle)
        monkeypatch.setattr(lab, "new_http", lambda: httpx2.AsyncClient(transport=transport))
        await asyncio.gather(*(ask(lab, lost=lost) for _ in range(2)))

    asyncio.run(both())
    assert lost.paused_until > time.monotonic() + 500


def test_a_key_in_an_error_of_a_call_is_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_KEY", "sk-planted-0815-4711")
    lab = client(key_env="LAB_KEY")

    async def send() -> httpx2.Response:
        raise RefusalError("found sk-planted-0815-4711")

    with pytest.raises(RefusalError, match=r"found \[key\]$"):
        asyncio.run(lab.ask(send, str, lambda: 9, LostCalls()))


def test_a_wait_that_a_model_is_told_leaves_the_providers_other_models_alone() -> None:
    busy, free = LostCalls(), LostCalls()
    lab = client(replying(httpx2.Response(429, headers={"Retry-After": "300"}), good()))

    async def answers() -> list[object]:
        return [await ask(lab, lost=model) for model in (busy, busy, free)]

    first, second, third = asyncio.run(answers())
    assert "asks to wait 300 s" in str(first)
    assert "gave up" in str(second)
    assert third == "{'answer': 'yes'}"


def test_failures_without_end_pause_a_provider_for_the_longest_time() -> None:
    throttle = Throttle("lab", 1, 86_400.0)
    for _ in range(1100):
        throttle.failed(RetryableError("status 503"))
    assert throttle._paused_until <= time.monotonic() + LONGEST_PAUSE


def test_a_large_reply_is_masked_beside_the_other_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []

    def masked(_: Secrets, reply: httpx2.Response, *__: object) -> httpx2.Response:
        threads.append(threading.get_ident())
        return reply

    monkeypatch.setattr(Secrets, "masked_reply", masked)
    lab = client(replying(good(), httpx2.Response(200, json="x" * 200_000)))

    async def answers() -> None:
        await ask(lab)
        await ask(lab)

    asyncio.run(answers())
    assert threads[0] == threading.get_ident() != threads[1]


def test_a_cancelled_call_stops_the_search_of_its_long_reply(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun, ended = threading.Event(), threading.Event()

    def search(_: Secrets, response: httpx2.Response, stopped: Callable[[], bool]) -> None:
        begun.set()
        for _ in range(5_000):
            if stopped():
                ended.set()
                return
            time.sleep(0.001)

    async def cancelled() -> None:
        long = httpx2.Response(200, content=b" " * (client_module._LARGE + 1))
        call = asyncio.create_task(ask(client(lambda _: long)))
        await asyncio.to_thread(begun.wait)
        call.cancel()
        assert await asyncio.to_thread(ended.wait, 30)

    monkeypatch.setattr(Secrets, "masked_reply", search)
    asyncio.run(cancelled())
