"""Servers that differ a little from OpenAI's API: a vote where there is one, a clear error
for a bad key, account or model, and a cost that no reply can make smaller."""

import asyncio
import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx2
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prism_cli.adapters.chat.backend import ChatBackend
from prism_cli.adapters.chat.choice import read_choice
from prism_cli.adapters.chat.model import ChatModel
from prism_cli.adapters.providers import retrying
from prism_cli.adapters.providers.client import ProviderClient
from prism_cli.adapters.providers.model_ref import ModelRef
from prism_cli.adapters.providers.replies import (
    LONGEST_WAIT_BY_OUR_CLOCK,
    RetryableError,
    parse_json,
)
from prism_cli.configs.providers import ModelPricing, Provider
from prism_cli.domain.chat import ChatTask
from prism_cli.domain.keywords import RewriteTask
from prism_cli.domain.rubric import JudgeTask
from prism_cli.errors import PrerequisiteError, ProviderError, RefusalError
from prism_cli.ports import Reply
from tests.factories import DEEP

USAGE = {"prompt_tokens": 100, "completion_tokens": 1}


def said(finish: Any = "stop", usage: Any = USAGE, **message: Any) -> dict[str, Any]:
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", **message}}
    return {"choices": [choice], "usage": usage}


def refused(code: Any, message: str = "no", **more: Any) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, **more}}


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrying, "_jittered", lambda state: 0.01)
    monkeypatch.setenv("LAB_KEY", KEY)


KEY = "sk-planted-0815"
JUDGE = JudgeTask()
LAB = Provider.model_validate(
    {"api": "openai", "base_url": "https://lab.invalid/v1", "key_env": "LAB_KEY",
     "timeout_seconds": 0.3, "deadline_seconds": 0.3, "concurrency": 1}
)  # fmt: skip
NAMES = st.sampled_from(
    ["choices", "message", "content", "finish_reason", "error", "code", "type", "details",
     "reasoning", "refusal", "usage", "completion_tokens", "cost", "tool_calls", "metadata", "text"]
)  # fmt: skip


def is_plain(value: Any) -> bool:
    """Return whether JSON can represent the value."""
    try:
        orjson.dumps(value)
    except TypeError:
        return False
    return True


def backend(
    client: ProviderClient, task: ChatTask, answer_tokens: tuple[int, ...] = (1,)
) -> ChatBackend:
    card = ModelPricing(
        usd_per_million_input=1.0, usd_per_million_output=1.0, answer_tokens=answer_tokens
    )
    return ChatBackend(ChatModel(ModelRef("lab/judge", client, "judge", card)), task)


def asked(
    *replies: httpx2.Response,
    questions: int = 1,
    answer_tokens: tuple[int, ...] = (1,),
    task: ChatTask = JUDGE,
    about: Any = ("query", "document"),
) -> tuple[list[Any], int]:
    """Return the result of each question on a server with these replies (the last one repeats), and
    the number of calls."""
    client = ProviderClient("lab", LAB)
    calls: list[httpx2.Request] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        calls.append(request)
        reply = replies[min(len(calls), len(replies)) - 1]
        return httpx2.Response(reply.status_code, headers=reply.headers, content=reply.content)

    client.idle_http.append(httpx2.AsyncClient(transport=httpx2.MockTransport(handle)))
    chat = backend(client, task, answer_tokens)

    async def all_of_them() -> list[Any]:
        results: list[Any] = []
        for _ in range(questions):
            try:
                results += await chat.answer([(about, 0)])
            except (ProviderError, PrerequisiteError, RefusalError) as error:
                results.append(error)
        return results

    return asyncio.run(all_of_them()), len(calls)


def answered(payload: Any, status: int = 200, **more: Any) -> Any:
    (result,), _ = asked(httpx2.Response(status, json=payload), **more)
    return result


def written(payload: Any) -> Any:
    """Return the outcome of one keyword request."""
    query = "how efficient are solar panels in winter"
    return answered(payload, task=RewriteTask(), about=query).value


@pytest.mark.parametrize(
    "payload",
    [
        said(content="<think>\nits subject fits\n</think>\n\nyes"),
        said(content="<think>\n\n</think>\n\n**Yes**."),
        said(content="its subject fits</think>yes"),
        said(content="yes", reasoning_content="its subject fits"),
        said(content=[{"type": "thinking", "thinking": []}, {"type": "text", "text": "yes"}]),
        said("length", content="Yes"),
        said(content="yes", usage=None) | {"error": None, "service_tier": None},
    ],
)
def test_votes_are_read_from_odd_replies(payload: Any) -> None:
    reply = answered(payload)
    assert isinstance(reply, Reply), reply
    assert reply.value == {"vote": "yes"}


@pytest.mark.parametrize("finish", ["end_turn", "STOP", "eos_token", "stop_sequence", "COMPLETE"])
def test_other_finish_reasons_of_a_complete_answer_are_accepted(finish: str) -> None:
    assert written(said(finish, content="solar panel winter")) == {"keywords": "solar panel winter"}


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (said("length", content="solar panel efficien"), "cut at the bound of 64 tokens"),
        (said("MAX_TOKENS", content="solar panel efficien"), "cut at the bound of 64 tokens"),
        (said("tool_calls", content="solar panel"), "ended with 'tool_calls'"),
        (said("function_call", content=None, function_call={"name": "f"}), "a call of a tool"),
        (said("tool_calls", content=None, tool_calls=[{"id": "1"}]), "a call of a tool"),
        (said("paused", content="solar panel"), "ended with 'paused'"),
        (said(None, {"completion_tokens": 64}, content="solar panel"), "does not say whether"),
        (said(None, None, content="solar panel"), "does not say whether"),
        (said("", None, content="solar panel"), "does not say whether"),
    ],
)
def test_an_unfinished_answer_is_unusable_in_a_task_of_several_words(
    payload: Any, why: str
) -> None:
    assert why in written(payload)["unusable"]


def test_a_finish_reason_that_is_nested_deeply_is_unknown() -> None:
    answer = read_choice(said(DEEP, content="solar panel"), 64, word=False)
    assert answer.unfinished == "ended with 'something nested too deeply', not by itself"


def test_the_finish_reason_of_the_server_behind_a_router_counts() -> None:
    payload = said("stop", content="solar panel efficien")
    payload["choices"][0]["native_finish_reason"] = "MAX_TOKENS"
    assert written(payload) == {"unusable": "cut at the bound of 64 tokens"}


@pytest.mark.parametrize("finish", [None, "", "absent"])
def test_an_answer_without_a_finish_reason_is_complete_below_its_token_limit(
    finish: str | None,
) -> None:
    payload = said(finish, {"prompt_tokens": 9, "completion_tokens": 4}, content="solar panel")
    if finish == "absent":
        del payload["choices"][0]["finish_reason"]
    assert written(payload) == {"keywords": "solar panel"}


def test_a_word_that_ends_at_the_token_limit_of_a_reasoning_model_was_cut() -> None:
    reply = answered(said("length", content="no"), answer_tokens=(256, 512))
    assert reply.value == {"unusable": "cut at the bound of 256 tokens"}
    assert answered(said("length", content="no"), answer_tokens=(5,)).value == {"vote": "no"}


@pytest.mark.parametrize(
    "payload",
    [
        said("error", content="yes"),
        said("network_error", content="yes"),
        said("insufficient_system_resource", content="yes"),
        said("stop", content="yes", error={"code": 502, "message": "upstream died"}),
        {"choices": [{"finish_reason": "stop", "message": {"content": "yes"}, "error": "died"}]},
        said(content="yes") | {"object": "error", "message": "died"},
        {"choices": [{"finish_reason": "error", "error": {"code": 502, "message": "died"}}]},
    ],
)
def test_an_answer_ended_by_a_failure_is_retried(payload: Any) -> None:
    good = httpx2.Response(200, json=said(content="no"))
    (reply,), calls = asked(httpx2.Response(200, json=payload), good)
    assert (reply.value, calls) == ({"vote": "no"}, 2)


def test_a_lone_surrogate_is_unusable_in_a_stored_text_and_ignored_in_a_vote() -> None:
    body = json.dumps(said(content="solar \ud800 winter")).encode()
    query = "how efficient are solar panels in winter"
    (reply,), calls = asked(httpx2.Response(200, content=body), task=RewriteTask(), about=query)
    assert calls == 1
    assert "could not be decoded" in reply.value["unusable"]
    body = json.dumps(said(content="no") | {"id": "\udc00 \U0001f600 \\ud800"}).encode()
    assert asked(httpx2.Response(200, content=body))[0][0].value == {"vote": "no"}


def test_any_2xx_status_is_a_success() -> None:
    assert answered(said(content="no"), status=201).value == {"vote": "no"}


@pytest.mark.parametrize(
    "payload",
    [
        said("length", content="<think>\nits subject"),
        said("length", content=""),
        said("length", content=None, reasoning="its subject"),
        said("length"),
        said("MAX_TOKENS", content="its subject"),
        said("length", content=None),
    ],
)
def test_an_answer_that_ran_out_of_tokens_is_unusable_and_billed(payload: Any) -> None:
    reply = answered(payload)
    assert isinstance(reply, Reply), reply
    assert "unusable" in reply.value
    assert reply.usage.usd == pytest.approx(101e-6)


EMPTY: list[dict[str, Any]] = [
    {"content": ""}, {"content": " \n"}, {"content": None}, {}, {"content": []},
    {"content": "", "tool_calls": []}, {"content": None, "reasoning_content": "its subject"},
    {"content": [{"type": "thinking", "thinking": []}, {"type": "text", "text": ""}]},
]  # fmt: skip


@pytest.mark.parametrize("finish", ["stop", "end_turn", "STOP", "tool_calls", "paused"])
@pytest.mark.parametrize("message", EMPTY)
def test_a_finished_reply_without_text_is_unusable_and_billed(
    message: dict[str, Any], finish: str
) -> None:
    payload = said(finish, **message)
    (reply,), calls = asked(httpx2.Response(200, json=payload))
    assert isinstance(reply, Reply), reply
    assert (reply.value, calls) == ({"unusable": "an empty reply"}, 1)
    assert reply.usage.usd == pytest.approx(101e-6)
    of_batch = backend(ProviderClient("lab", LAB), JUDGE).read_batch(
        (("query", "document"), 0), 200, orjson.dumps(payload)
    )
    assert (of_batch.value, of_batch.refusal) == (reply.value, None)


@pytest.mark.parametrize(
    "payload",
    [said(None, content=""), said("", content=None), said(None), {"choices": [], "usage": USAGE}],
)
def test_an_unfinished_reply_without_text_is_a_server_error(payload: Any) -> None:
    good = httpx2.Response(200, json=said(content="no"))
    (reply,), calls = asked(httpx2.Response(200, json=payload), good)
    assert (reply.value, calls) == ({"vote": "no"}, 2)


def test_a_truncated_unusable_reply_of_a_judge_is_reported_as_truncated() -> None:
    payload = said("length", content="Let me think about whether")
    assert answered(payload, answer_tokens=(8,)).value == {
        "unusable": "expected yes or no, found 'Let me think about whether', cut at 8 tokens"
    }
    ended = said("stop", content="Let me think about whether")
    assert "cut" not in answered(ended, answer_tokens=(8,)).value["unusable"]


@pytest.mark.parametrize(
    "payload",
    [
        said("content_filter", content="yes"),
        said("sensitive", content=""),
        said("SAFETY"),
        said("PROHIBITED_CONTENT", content=None),
        said(content=None, refusal="I cannot help with that."),
        said(content="yes", refusal="I cannot help with that."),
    ],
)
def test_a_filtered_answer_is_refused_and_billed(payload: Any) -> None:
    reply = answered(payload)
    assert isinstance(reply, Reply), reply
    assert reply.refusal
    assert reply.usage.usd == pytest.approx(101e-6)


@pytest.mark.parametrize(
    ("reported", "answered_tokens", "usd"),
    [
        (100.0, 1.0, 101e-6),
        (-1000, 1, None),
        (True, 1, None),
        ("100", 1, None),
        (1e300, 1, None),
        (None, None, None),
        (0, 0, None),
    ],
)
def test_an_invalid_token_count_is_estimated(reported: Any, answered_tokens: Any, usd: Any) -> None:
    usage = {"prompt_tokens": reported, "completion_tokens": answered_tokens}
    reply = answered(said(content="yes", usage=usage))
    assert isinstance(reply, Reply), reply
    if usd is None:
        assert 101e-6 < reply.usage.usd < 1000e-6
    else:
        assert reply.usage.usd == pytest.approx(usd)


@pytest.mark.parametrize(
    ("status", "payload"),
    [
        (400, refused("Arrearage", "Access denied.")),
        (400, [refused(400, "API key not valid. Please pass a valid API key.")]),
        (400, refused(400, "no", details=[{"reason": "API_KEY_INVALID"}])),
        (400, {"code": "InvalidApiKey", "message": "Invalid API-key provided."}),
        (429, refused("1113", "Your account has no money.")),
        (429, refused(None, "Your account is suspended", type="exceeded_current_quota_error")),
        (429, refused("insufficient_quota", "You exceeded your current quota.")),
    ],
)
def test_an_unusable_key_or_account_stops_the_provider(status: int, payload: Any) -> None:
    errors, calls = asked(httpx2.Response(status, json=payload), questions=3)
    assert [type(error) for error in errors] == [PrerequisiteError] * 3
    assert calls == 1
    assert str(status) in str(errors[0])


@pytest.mark.parametrize(
    "payload",
    [
        refused("model_not_found", "The model does not exist."),
        refused("invalid_request_error", "Model Not Exist"),
        {"code": 20012, "message": "Model does not exist. Please check it.", "data": ""},
        refused(400, "gpt-9 is not a valid model ID"),
        refused("unsupported_parameter", "Use max_completion_tokens instead."),
    ],
)
def test_an_unsupported_parameter_stops_the_model_and_refuses_no_row(payload: Any) -> None:
    errors, calls = asked(httpx2.Response(400, json=payload), questions=2)
    assert [type(error) for error in errors] == [PrerequisiteError] * 2
    assert calls == 2  # the provider's other models may do


@pytest.mark.parametrize(
    "payload",
    [
        refused("context_length_exceeded", "This model takes 8192 tokens."),
        refused("invalid_request_error", "The document speaks of an API key that is not valid."),
        refused("content_filter", "Filtered."),
    ],
)
def test_an_error_caused_by_the_row_refuses_that_row(payload: Any) -> None:
    assert isinstance(answered(payload, status=400), RefusalError)


def test_an_exhausted_quota_after_good_replies_is_retried() -> None:
    good = httpx2.Response(200, json=said(content="yes"))
    full = httpx2.Response(429, json=refused("insufficient_quota"), headers={"Retry-After": "0"})
    results, calls = asked(good, full, good, questions=2)
    assert [reply.value for reply in results] == [{"vote": "yes"}] * 2
    assert calls == 3


def test_a_retry_after_of_an_hour_is_reported() -> None:
    full = httpx2.Response(429, json=refused("rate_limit"), headers={"Retry-After": "3600"})
    (error,), calls = asked(full)
    assert "asks to wait 3600 s" in str(error)
    assert calls == 1


@pytest.mark.parametrize("years", [-40, 40], ids=["our clock is ahead", "our clock is behind"])
def test_a_retry_after_date_is_read_by_the_servers_clock(
    monkeypatch: pytest.MonkeyPatch, years: int
) -> None:
    then = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=365 * years)
    headers = {"Date": format_datetime(then, usegmt=True)}
    headers["Retry-After"] = format_datetime(then + timedelta(hours=1), usegmt=True)
    full = httpx2.Response(429, json=refused("rate_limit"), headers=headers)
    (error,), _ = asked(full)
    assert "asks to wait 3600 s" in str(error)


def test_a_retry_after_date_without_the_servers_clock_waits_a_minute_at_most() -> None:
    headers = {"Retry-After": "Fri, 01 Jan 2100 00:00:00 GMT"}
    with pytest.raises(RetryableError) as caught:
        parse_json(httpx2.Response(429, json=refused("rate_limit"), headers=headers))
    assert caught.value.wait == LONGEST_WAIT_BY_OUR_CLOCK


def test_an_error_object_may_give_its_status_in_digits() -> None:
    (error,), _ = asked(httpx2.Response(200, json=refused("429", "slow down")))
    assert "status 429 (slow down)" in str(error)


@pytest.mark.parametrize(
    ("status", "payload"),
    [
        (200, said(content=f"Your key is {KEY}")),
        (200, said(content=None, refusal=f"Not for {KEY}")),
        (400, refused("bad", "x" * 190 + KEY)),
        (401, refused("bad", "x" * 190 + KEY)),
        (500, {"detail": [{"headers": {"authorization": f"Bearer {KEY}"}}]}),
        (200, f"<html>{'x' * 180}{KEY}".encode()),
    ],
)
def test_a_repeated_key_is_in_no_reply_and_no_message(status: int, payload: Any) -> None:
    content = payload if isinstance(payload, bytes) else orjson.dumps(payload)
    (result,), _ = asked(httpx2.Response(status, content=content))
    assert KEY[:8] not in str(result)


def test_a_failed_model_behind_a_server_is_retried() -> None:
    failed = httpx2.Response(424, json={"error": "inference failed", "error_type": "Backend"})
    (reply,), calls = asked(failed, httpx2.Response(200, json=said(content="yes")))
    assert (reply.value, calls) == ({"vote": "yes"}, 2)


def test_an_error_within_a_detail_is_reported_verbatim() -> None:
    (error,), _ = asked(httpx2.Response(432, json={"detail": {"error": "The plan is used up."}}))
    assert "status 432 (The plan is used up.)" in str(error)


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5),
)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([200, 201, 302, 400, 401, 404, 408, 429, 500, 999]),
    st.binary() | st.builds(orjson.dumps, ANY_JSON.filter(is_plain)),
)
def test_any_response_is_a_reply_or_a_prism_error(status: int, body: bytes) -> None:
    chat = backend(ProviderClient("lab", LAB), RewriteTask())
    with suppress(ProviderError, PrerequisiteError, RefusalError):
        reply = chat.read_batch(("solar panels in winter", 0), status, body)
        orjson.dumps([reply.value, reply.refusal])


def test_a_line_of_a_batch_must_be_finished_too() -> None:
    chat = backend(ProviderClient("lab", LAB), RewriteTask())
    body = orjson.dumps(said("length", content="solar panel efficien"))
    reply = chat.read_batch(("solar panels in winter", 0), 200, body)
    assert reply.value == {"unusable": "cut at the bound of 64 tokens"}


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize("place", ["code", "message", "type"])
def test_an_error_that_is_nested_deeply_is_reported(status: int, place: str) -> None:
    deep = b"[" * 990 + b"]" * 990
    reply = httpx2.Response(status, content=b'{"error": {"%s": %s}}' % (place.encode(), deep))
    with pytest.raises(RetryableError if status == 200 else RefusalError, match="too deeply"):
        parse_json(reply)
