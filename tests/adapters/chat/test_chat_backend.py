"""A chat judge against a server that fails as real servers do: answered, refused, pending or down,
each in bounded time, with no call counted twice."""

import asyncio
import logging
from collections.abc import Sequence

import httpx2
import pytest

from prism_cli.adapters.chat.backend import ChatBackend
from prism_cli.adapters.chat.model import ChatModel
from prism_cli.adapters.providers import client as client_module
from prism_cli.adapters.providers import deadline, pacing, retrying, throttle
from prism_cli.adapters.providers.client import LostCalls, ProviderClient
from prism_cli.adapters.providers.keys import check_keys
from prism_cli.adapters.providers.model_ref import ModelRef
from prism_cli.adapters.providers.throttle import ProviderDownError
from prism_cli.configs.providers import ModelPricing, Provider
from prism_cli.domain.chat import Prompt
from prism_cli.domain.rubric import JudgeTask
from prism_cli.errors import PrerequisiteError, PrismError, ProviderError, RefusalError
from prism_cli.ports import Reply
from tests.fake_clock import FakeClock
from tests.servers.fault_server import FaultServer
from tests.servers.faults import Fault
from tests.servers.replies import Answers

KEY = "sk-planted-4711"
PAIR = ("what is a reranker", "A reranker orders documents.")
TRANSIENT = ("429", "500", "503", "529", "html", "error_object", "empty_choices",
             "reset_before", "reset_after_headers", "length_too_long", "truncated_gzip",
             "chunked_cut", "half_closed")  # fmt: skip
MAYBE_BILLED = {"html", "empty_choices", "reset_before", "reset_after_headers",
                "length_too_long", "truncated_gzip", "chunked_cut", "half_closed"}  # fmt: skip


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_KEY", KEY)
    monkeypatch.setattr(retrying, "_jittered", lambda state: 0.01)
    monkeypatch.setattr(throttle, "FIRST_PAUSE", 0.05)


def backend(server: FaultServer, card: ModelPricing | None = None, **more: object) -> ChatBackend:
    """Return a judge whose timeout, unless given, ends no call of a busy machine."""
    settings: dict[str, object] = {"deadline_seconds": 120.0, "concurrency": 4} | more
    settings.setdefault("timeout_seconds", settings["deadline_seconds"])
    provider = Provider.model_validate(
        {"api": "openai", "base_url": f"{server.base_url}/v1", "key_env": "LAB_KEY", **settings}
    )
    card = card or ModelPricing(usd_per_million_input=1.0, usd_per_million_output=2.0)
    ref = ModelRef("lab/judge", ProviderClient("lab", provider), "judge", card)
    return ChatBackend(ChatModel(ref), JudgeTask())


def asked(chat: ChatBackend, times: int = 1) -> list[Reply | PrismError | RefusalError]:
    """Return the result of each of `times` questions, each on another document, asked as the
    so many at once as the backend says."""
    room = asyncio.Semaphore(chat.concurrency)

    async def all_of_them() -> list[Reply | PrismError | RefusalError]:
        async def single(number: int) -> Reply | PrismError | RefusalError:
            try:
                pair = (PAIR[0], PAIR[1] + f" {number}" * bool(number))
                async with room:
                    (reply,) = await chat.answer([(pair, 0)])
            except (PrismError, RefusalError) as error:
                return error
            return reply

        results = list(await asyncio.gather(*(single(number) for number in range(times))))
        await chat.close()
        return results

    return asyncio.run(all_of_them())


def says(text: str) -> Answers:
    return Answers(chat=lambda model, prompt: text)


def test_a_provider_without_a_key_gets_none() -> None:
    with FaultServer(answers=says("yes")) as server:
        (reply,) = asked(backend(server, key_env=""))
    assert isinstance(reply, Reply), reply
    assert server.calls[0].auth == ""


def test_a_vote_and_what_it_cost() -> None:
    with FaultServer(answers=says("**Yes.**")) as server:
        (reply,) = asked(backend(server))
    assert isinstance(reply, Reply)
    assert reply.value == {"vote": "yes"}
    (call,) = server.calls
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (
        call.input_tokens,
        call.output_tokens,
    )
    assert reply.usage.usd == pytest.approx((call.input_tokens + 2 * call.output_tokens) / 1e6)


@pytest.mark.parametrize("name", TRANSIENT)
def test_temporary_failures_are_retried(name: str) -> None:
    with FaultServer([Fault(name, calls=(1,), seconds=0.05)], says("no")) as server:
        chat = backend(server)
        (reply,) = asked(chat)
    assert isinstance(reply, Reply), reply
    assert reply.value == {"vote": "no"}
    assert len(server.calls) == 2
    assert chat.lost_calls == (name in MAYBE_BILLED)


@pytest.mark.parametrize(
    "fault",
    [
        Fault("no_answer", calls=(1,)),
        Fault("half_closed", calls=(1,)),
        Fault("reset_after_headers", calls=(1,), seconds=30),
        Fault("length_too_long", calls=(1,), seconds=30),
        Fault("slow_drip", calls=(1,), seconds=0.05),
    ],
    ids=lambda fault: fault.name,
)
def test_silence_and_a_slow_drip_end_at_the_timeout_and_may_be_billed(fault: Fault) -> None:
    with FaultServer([fault], says("yes")) as server:
        chat = backend(server, timeout_seconds=0.3)
        (reply,) = asked(chat)
    assert isinstance(reply, Reply), reply
    # A busy machine may miss the timeout once more.
    assert 1 <= chat.lost_calls == len(server.calls) - 1


@pytest.mark.parametrize("name", ["500", "no_answer", "html"])
def test_retries_end_at_the_deadline(name: str) -> None:
    with FaultServer([Fault(name)]) as server:
        (error,) = asked(backend(server, timeout_seconds=0.2, deadline_seconds=0.5))
    assert isinstance(error, ProviderError)
    assert "gave up" in str(error)


@pytest.mark.parametrize("name", ["400", "413", "422", "content_filter_error"])
def test_a_permanent_error_is_a_refusal_and_is_not_retried(name: str) -> None:
    with FaultServer([Fault(name)]) as server:
        (error,) = asked(backend(server))
    assert isinstance(error, RefusalError), error
    assert len(server.calls) == 1


@pytest.mark.parametrize(
    ("name", "why"), [("content_filter_finish", "content filter"), ("refusal", "declined")]
)
def test_a_filtered_answer_is_a_refusal_that_was_billed(name: str, why: str) -> None:
    with FaultServer([Fault(name)]) as server:
        (reply,) = asked(backend(server))
    assert isinstance(reply, Reply), reply
    assert why in str(reply.refusal)
    (call,) = server.calls
    assert reply.usage.usd == pytest.approx((call.input_tokens + 2 * call.output_tokens) / 1e6)


@pytest.mark.parametrize("name", ["401", "402", "403"])
def test_a_refused_key_stops_the_provider_at_once_and_is_never_shown(name: str) -> None:
    with FaultServer([Fault(name, echo_key=True)]) as server:
        chat = backend(server, concurrency=2)
        errors = asked(chat, times=20)
    assert all(isinstance(error, PrerequisiteError) for error in errors)
    assert len(server.calls) <= 2
    assert "LAB_KEY" in str(errors[0])
    assert KEY not in "".join(map(str, errors))


def test_an_unknown_model_stops_that_model() -> None:
    with FaultServer([Fault("404")]) as server:
        (error,) = asked(backend(server))
    assert isinstance(error, PrerequisiteError)
    assert "404" in str(error)


def test_a_redirect_is_not_followed() -> None:
    with FaultServer([Fault("redirect")]) as server:
        (error,) = asked(backend(server))
    assert isinstance(error, PrerequisiteError)
    assert "elsewhere.invalid" in str(error)
    assert "are not followed" in str(error)


@pytest.mark.parametrize(
    ("header", "least", "most"), [("0.4", 0.4, 2.0), ("date+2", 0.5, 2.9), ("soon", 0.0, 0.3)]
)
def test_retry_after_is_honoured(header: str, least: float, most: float) -> None:
    with FaultServer([Fault("429", calls=(1,), retry_after=header)], says("yes")) as server:
        (reply,) = asked(backend(server))
    assert isinstance(reply, Reply), reply
    first, second = server.calls
    assert least <= second.at - first.at <= most


def test_a_retry_after_of_an_hour_stops_the_provider_without_waiting() -> None:
    with FaultServer([Fault("429", retry_after="3600")]) as server:
        errors = asked(backend(server, concurrency=1), times=5)
    assert all(isinstance(error, ProviderError) for error in errors)
    assert len(server.calls) == 1


def test_reasoning_that_ran_out_of_tokens_is_unusable_and_gets_more_next_time() -> None:
    card = ModelPricing(usd_per_million_input=1.0, answer_tokens=(4, 32))
    with FaultServer([Fault("reasoning_only")]) as server:
        chat = backend(server, card)
        (reply,) = asked(chat)
        assert isinstance(reply, Reply)
        assert "unusable" in reply.value
        assert chat.estimate([(PAIR, 0)]).output_tokens == 4
        assert chat.estimate([(PAIR, 1)]).output_tokens == 32
        assert chat.estimate([(PAIR, 2)]).output_tokens == 32


def test_a_dead_provider_fails_for_all_requests_after_its_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(throttle, "LONGEST_PAUSE", 0.1)
    with FaultServer([Fault("503")]) as server:
        errors = asked(backend(server, deadline_seconds=0.6, concurrency=4), times=30)
    assert all(isinstance(error, ProviderError | PrerequisiteError) for error in errors)
    assert any("no more calls to it" in str(error) for error in errors)
    assert len(server.calls) < 60  # 30 questions, with 4 in flight and a breaker


def test_concurrency_falls_with_429_and_never_exceeds_its_limit() -> None:
    with FaultServer([Fault("429", calls=(1, 2))], says("yes")) as server:
        replies = asked(backend(server, concurrency=4), times=40)
    assert all(isinstance(reply, Reply) for reply in replies)
    assert server.max_concurrent <= 4
    assert max(call.concurrent for call in server.calls[6:10]) <= 2


def test_requests_per_minute_are_limited() -> None:
    with FaultServer(answers=says("yes")) as server:
        asked(backend(server, requests_per_minute=60, deadline_seconds=60.0), times=7)
    at = [call.at for call in server.calls]
    assert at[-1] - at[0] >= 1.5  # five seconds' worth at once, then one a second


def test_the_key_reaches_no_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with FaultServer([Fault("500", calls=(1,), echo_key=True)], says("yes")) as server:
        asked(backend(server))
    assert server.calls[0].auth
    assert KEY not in caplog.text


def _headers(requests: Sequence[httpx2.Request]) -> set[str]:
    return {name for request in requests for name in request.headers}


def test_an_openai_account_in_the_environment_is_sent_to_no_other_provider(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-mine")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-mine")
    requests: list[httpx2.Request] = []

    async def look(request: httpx2.Request) -> None:
        requests.append(request)

    with FaultServer(answers=says("yes")) as server:
        chat = backend(server)
        client = chat._ref.client
        client.idle_http.append(client.new_http())
        client.idle_http[0].event_hooks["request"].append(look)
        asked(chat)
    assert not {name for name in _headers(requests) if name.lower().startswith("openai-")}


def test_no_proxy_sees_calls_to_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with FaultServer(answers=says("yes")) as server:
        (reply,) = asked(backend(server))
    assert isinstance(reply, Reply), reply


def dead(monkeypatch: pytest.MonkeyPatch, **more: object) -> ChatBackend:
    """A judge at a port where nobody listens."""
    with FaultServer() as server:
        chat = backend(server, **more)
    monkeypatch.setattr(throttle, "UNREACHED_SECONDS", 0.05)
    monkeypatch.setattr(client_module, "_UNREACHED_WAIT", 0.02)
    return chat


def test_an_unreachable_server_fails_soon_and_is_reported_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    chat = dead(monkeypatch, deadline_seconds=600.0)
    errors = asked(chat, 40)
    assert {type(error) for error in errors} == {ProviderDownError}
    (reason,) = set(map(str, errors))
    assert "lab (127.0.0.1:" in reason
    assert "cannot be reached at http://127.0.0.1:" in reason
    assert ProviderDownError.exit_code == 5
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("prism: lab (127.0.0.1:")
    assert "retried until about" in line


def test_a_server_that_has_answered_before_is_retried_for_longer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    chat = dead(monkeypatch, deadline_seconds=0.6)
    chat._ref.client.throttle.succeeded()
    chat._ref.client.throttle.reached = True
    (error,) = asked(chat)
    assert type(error) is ProviderError
    assert "gave up" in str(error)
    assert "retried until" in capsys.readouterr().err


def test_a_first_failure_is_reported_at_once_and_so_is_the_recovery(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with FaultServer([Fault("503", calls=(1, 2))], says("yes")) as server:
        asked(backend(server, concurrency=1), 3)
    first, last = capsys.readouterr().err.splitlines()
    assert "status 503" in first
    assert last.endswith("answers again")
    with FaultServer([Fault("503", calls=(2,)), Fault("429", calls=(1,))], says("yes")) as server:
        asked(backend(server, concurrency=1), 3)
    assert "status 429" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "key", ["k\udcffabcdefg", "sk-0815\nsk-4711", "sk-\x7f0815", "sk-\u00fc0815"]
)
def test_a_key_with_invalid_characters_is_refused(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BADKEY", key)
    provider = Provider(api="openai", base_url="https://lab.example/v1", key_env="BADKEY")
    client = ProviderClient("lab", provider)
    ref = ModelRef("lab/judge", client, "judge", ModelPricing())
    with pytest.raises(PrerequisiteError, match="BADKEY: holds characters that no key has"):
        check_keys([ref], "nothing")


def seconds_of_answers(
    monkeypatch: pytest.MonkeyPatch, replies: Sequence[httpx2.Response], answers: int
) -> float:
    """Return the seconds that a model takes for its answers, each a call of 2 s, at 1,000 tokens a
    second, where an answer may take 4,000."""
    clock = FakeClock(monkeypatch, client_module, deadline, pacing, throttle)
    left = iter(replies)

    async def handle(_: httpx2.Request) -> httpx2.Response:
        await asyncio.sleep(2)
        return next(left)

    provider = Provider.model_validate(
        {"api": "openai", "base_url": "https://lab.invalid/v1", "tokens_per_minute": 60_000}
    )
    client = ProviderClient("lab", provider)
    for _ in replies:
        client.idle_http.append(httpx2.AsyncClient(transport=httpx2.MockTransport(handle)))
    chat = ChatModel(ModelRef("lab/m", client, "m", ModelPricing(answer_tokens=(4000,))))

    async def ask() -> None:
        prompt = Prompt("You judge.", "Is it?")
        await asyncio.gather(*(chat.complete(prompt, 0, LostCalls()) for _ in range(answers)))

    clock.run_until_complete(ask())
    clock.close()
    return clock.time()


def answered(tokens: int) -> httpx2.Response:
    message = {"message": {"content": "yes"}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 20, "completion_tokens": tokens}
    return httpx2.Response(200, json={"choices": [message], "usage": usage})


def test_calls_are_paced_by_the_length_of_answers_and_not_by_the_longest_allowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert seconds_of_answers(monkeypatch, [answered(30) for _ in range(50)], 50) < 60
    assert seconds_of_answers(monkeypatch, [answered(4000) for _ in range(50)], 50) > 195


def test_a_call_that_was_one_too_many_keeps_the_tokens_that_it_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    replies = [httpx2.Response(429, headers={"Retry-After": "0"}), answered(30)]
    assert seconds_of_answers(monkeypatch, replies, 1) > 5
