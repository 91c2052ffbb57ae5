"""Each fault does on the wire what its name says; the log tells what was asked and answered."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.servers.batches import BatchPlan
from tests.servers.calls import auth_digest, read_log
from tests.servers.fault_server import FaultServer
from tests.servers.faults import SPOILERS, STATUSES, Fault
from tests.servers.replies import Answers, hashed
from tests.servers.script import Settings, launched
from tests.servers.wire import SENDERS

KEY = "sk-planted-0123456789"
RERANK = {"model": "r", "query": "capital of France", "documents": ["Paris", "Berlin", "Rome"]}


@pytest.fixture
def client() -> Iterator[httpx2.Client]:
    with httpx2.Client(headers={"Authorization": f"Bearer {KEY}"}, timeout=5) as made:
        yield made


def question(text: str = "is it?", model: str = "m", **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}], **more}


def ask(client: httpx2.Client, server: FaultServer | str, **asked: Any) -> httpx2.Response:
    base = server if isinstance(server, str) else server.base_url
    return client.post(f"{base}/v1/chat/completions", json=question(**asked))


def said(response: httpx2.Response) -> Any:
    return response.json()["choices"][0]["message"]["content"]


def raw(server: FaultServer, text: str = "is it?") -> bytes:
    """All bytes until the server ends the connection (b"RST" at the end of a reset one)."""
    body = json.dumps(question(text)).encode()
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    host, port = server.base_url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(head.encode() + body)
        found = b""
        try:
            while some := connection.recv(1 << 16):
                found += some
        except ConnectionResetError:
            found += b"RST"
    return found


def test_chat_answers_are_a_pure_function_of_the_request(client: httpx2.Client) -> None:
    with FaultServer() as server:
        for number in range(20):
            expected = "yes" if hashed("m", f"text {number}") > 0.5 else "no"
            assert said(ask(client, server, text=f"text {number}")) == expected
        reply = ask(client, server, text="text 1", logprobs=True, top_logprobs=2, max_tokens=1)
        choice = reply.json()["choices"][0]
        top = choice["logprobs"]["content"][0]["top_logprobs"]
        assert {token["token"] for token in top} == {"yes", "no"}
        assert top[0]["token"] == choice["message"]["content"]
        assert top[0]["logprob"] >= top[1]["logprob"]
        assert choice["finish_reason"] == "length"  # one token asked for, one token said
        assert reply.json()["usage"] == {
            "prompt_tokens": 2,
            "completion_tokens": 1,
            "total_tokens": 3,
        }
    assert [call.number for call in server.calls] == list(range(1, 22))
    assert {call.kind for call in server.calls} == {"chat"}


def test_replaced_answers_hold_for_every_api(client: httpx2.Client) -> None:
    answers = Answers(
        probability=lambda model, text: 0.9 if "Paris" in text else 0.1,
        chat=lambda model, text: "<keywords>a b</keywords>" if model == "writer" else None,
        score=lambda model, query, document: len(document) / 10,
    )
    asked = {"type": "predicate", "name": "d", "instructions": "It is about Paris."}
    noul = {"type": "noul", "instructions": "Paris?", "criteria": {"true": "t", "false": "f"}}
    with FaultServer(answers=answers) as server:
        assert said(ask(client, server, text="Paris")) == "yes"
        assert said(ask(client, server, text="Rome")) == "no"
        assert said(ask(client, server, text="Rome", model="writer")) == "<keywords>a b</keywords>"
        body = {
            "model": "m",
            "input": "a page",
            "questions": [asked, {**asked, "instructions": "x"}],
        }
        decided = client.post(f"{server.base_url}/v1/decisions", json=body).json()
        body = {"model": "m", "state": {"page": "p"}, "questions": {"a": noul}}
        one = client.post(f"{server.base_url}/v1/systemone", json=body).json()
        ranked = client.post(f"{server.base_url}/v1/rerank", json=RERANK).json()
    assert [answer["probability"] for answer in decided["answers"]] == [0.9, 0.1]
    assert decided["answers"][0]["name"] == "d"
    assert one["answers"] == {"a": {"type": "noul", "noul": 0.9}}
    assert [result["index"] for result in ranked["results"]] == [1, 0, 2]


def test_the_openai_sdk_understands_chat_and_decisions() -> None:
    from openai import OpenAI

    with FaultServer() as server, OpenAI(base_url=f"{server.base_url}/v1", api_key=KEY) as sdk:
        made = sdk.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "t"}], logprobs=True, top_logprobs=2
        )
        decided = sdk.decisions.create(
            model="m",
            input="a page",
            questions=[
                {"type": "predicate", "name": "a", "instructions": "It is."},
                {
                    "type": "choice",
                    "instructions": "Which?",
                    "choices": [{"value": True}, {"value": "b"}],
                },
                {
                    "type": "score",
                    "instructions": "How?",
                    "levels": [{"label": "l"}, {"label": "h"}],
                },
            ],
        )
    assert made.choices[0].message.content in ("yes", "no")
    assert [answer.type for answer in decided.answers] == ["predicate", "choice", "score"]


DIALECTS = {
    "voyage": ("/voyage/v1/rerank", "data", "relevance_score", "top_k"),
    "cohere": ("/v2/rerank", "results", "relevance_score", "top_n"),
    "jina": ("/jina/v1/rerank", "results", "relevance_score", "top_n"),
    "vllm": ("/v1/rerank", "results", "relevance_score", "top_n"),
    "tei": ("/rerank", None, "score", None),
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_rerankers_speak_their_dialect(dialect: str, client: httpx2.Client) -> None:
    path, under, score, top = DIALECTS[dialect]
    body: dict[str, Any] = dict(RERANK)
    if dialect == "tei":
        body = {"query": body["query"], "texts": body["documents"]}
    with FaultServer() as server:
        found = client.post(server.base_url + path, json=body).json()
        results = found[under] if under else found
        truth = {
            i: hashed(body.get("model", ""), body["query"], d)
            for i, d in enumerate(RERANK["documents"])
        }
        assert {result["index"]: result[score] for result in results} == truth
        assert [r[score] for r in results] == sorted(truth.values(), reverse=True)
        if top:
            cut = client.post(server.base_url + path, json={**body, top: 1}).json()
            assert len(cut[under]) == 1
        if dialect in ("voyage", "cohere"):
            other = "top_n" if top == "top_k" else "top_k"
            refused = client.post(server.base_url + path, json={**body, other: 1})
            assert refused.status_code == 400
            assert other in str(refused.json())


def test_published_replies_have_the_shape_of_ours(client: httpx2.Client) -> None:
    """No field that a published example lacks, except those that its README lists as newer."""
    with FaultServer() as server:
        for name, (path, body) in PUBLISHED.items():
            published = json.loads((HERE / "published" / f"{name}.json").read_bytes())
            ours = client.post(server.base_url + path, json=body).json()
            extra = shape(ours) - shape(published)
            assert extra <= NEWER.get(name, set()), name


HERE = Path(__file__).parent
PUBLISHED: dict[str, tuple[str, dict[str, Any]]] = {
    "voyage": ("/voyage/v1/rerank", RERANK),
    "cohere": ("/v2/rerank", RERANK),
    "jina": ("/jina/v1/rerank", {**RERANK, "return_documents": True}),
    "vllm": ("/v1/rerank", RERANK),
    "tei": ("/rerank", {"query": "q", "texts": ["a", "b"]}),
    "exa": ("/exa/search", {"query": "q", "contents": {"text": True}}),
    "tavily": ("/tavily/search", {"query": "q"}),
}
NEWER = {"vllm": {"usage.prompt_tokens"}}


def shape(value: Any, at: str = "") -> set[str]:
    """The dotted names of all fields."""
    if isinstance(value, list):
        return {name for item in value for name in shape(item, at)}
    if isinstance(value, dict):
        return {f"{at}{name}" for name in value} | {
            deeper for name, item in value.items() for deeper in shape(item, f"{at}{name}.")
        }
    return set()


def test_search_gives_pages(client: httpx2.Client) -> None:
    with FaultServer() as server:
        base = server.base_url
        exa = client.post(
            f"{base}/exa/search",
            json={"query": "q", "numResults": 3, "contents": {"text": {"maxCharacters": 5}}},
            headers={"x-api-key": KEY},
        ).json()
        tavily = client.post(
            f"{base}/search", json={"query": "q", "max_results": 2, "include_raw_content": True}
        ).json()
        text = client.post(f"{base}/contents", json={"urls": ["http://a.test"]}).json()
    assert [len(page["text"]) for page in exa["results"]] == [5, 5, 5]
    assert tavily["results"][0]["raw_content"].startswith("q: what page 0 says")
    assert text["results"][0]["url"] == "http://a.test"


@pytest.mark.parametrize("name", STATUSES)
def test_statuses(name: str, client: httpx2.Client) -> None:
    with FaultServer([Fault(name, calls=(1,))]) as server:
        first, second = ask(client, server), ask(client, server)
    assert first.status_code == int(name)
    assert first.json()["error"]["code"] == STATUSES[name]
    assert second.status_code == 200
    assert [(call.status, call.fault, call.sent) for call in server.calls] == [
        (int(name), name, True),
        (200, "", True),
    ]
    assert [call.output_tokens for call in server.calls] == [0, 1]


def test_retry_after_in_all_its_forms(client: httpx2.Client) -> None:
    forms = ["2", "date+5", "3600", "soon, perhaps"]
    faults = [Fault("429", calls=(n + 1,), retry_after=form) for n, form in enumerate(forms)]
    with FaultServer(faults) as server:
        given = [ask(client, server).headers["retry-after"] for _ in forms]
    assert [given[0], given[2], given[3]] == ["2", "3600", "soon, perhaps"]
    assert -1 < parsedate_to_datetime(given[1]).timestamp() - time.time() < 6


def test_errors_are_in_the_words_of_their_maker(client: httpx2.Client) -> None:
    with FaultServer([Fault("429")]) as server:
        base = server.base_url
        voyage = client.post(f"{base}/voyage/v1/rerank", json=RERANK)
        cohere = client.post(f"{base}/v2/rerank", json=RERANK)
        exa = client.post(f"{base}/exa/search", json={"query": "q"})
    assert voyage.json() == {"detail": "Rate limit exceeded."}
    assert "message" in cohere.json()
    assert exa.json()["tag"] == "RATE_LIMIT_EXCEEDED"


def test_a_key_expires_after_20_good_replies_and_another_key_works(client: httpx2.Client) -> None:
    with FaultServer([Fault("401", key=KEY, after=20, echo_key=True)]) as server:
        codes = [ask(client, server, text=str(n)).status_code for n in range(25)]
        refused = ask(client, server)
        other = client.post(
            f"{server.base_url}/v1/chat/completions",
            json=question(),
            headers={"Authorization": "Bearer other"},
        )
    assert codes == [200] * 20 + [401] * 5
    assert KEY in refused.text  # some servers say the key back
    assert other.status_code == 200
    assert {call.auth for call in server.calls} == {
        auth_digest(f"Bearer {KEY}"),
        auth_digest("Bearer other"),
    }


def test_faults_per_text_model_and_lot(client: httpx2.Client) -> None:
    faults = [
        Fault("500", contains="Item 3", per_text=True, calls=(1,)),
        Fault("503", model="weak", every=2),
        Fault("529", model="lots", probability=0.5),
    ]
    with FaultServer(faults) as server:
        both = [ask(client, server, text=f"Item {n}").status_code for n in (3, 4, 3)]
        weak = [ask(client, server, model="weak").status_code for _ in range(4)]
        lots = [ask(client, server, model="lots", text=str(n)).status_code for n in range(40)]
    with FaultServer(faults) as server:  # the lot does not depend on the order of arrival
        again = [
            ask(client, server, model="lots", text=str(n)).status_code for n in reversed(range(40))
        ]
    assert both == [500, 200, 200]
    assert weak == [200, 503, 200, 503]
    assert 8 < lots.count(529) < 32
    assert again == lots[::-1]


def test_replies_that_are_good_http_and_bad_answers(client: httpx2.Client) -> None:
    def one(name: str) -> httpx2.Response:
        with FaultServer([Fault(name)], Answers(chat=lambda model, text: "<a>some words</a>")) as s:
            return ask(client, s)

    assert one("html").headers["content-type"].startswith("text/html")
    assert one("error_object").json().keys() == {"error"}
    assert one("empty_choices").json()["choices"] == []
    assert said(one("null_content")) is None
    cut = one("finish_length").json()["choices"][0]
    assert (cut["finish_reason"], cut["message"]["content"]) == ("length", "<a>some ")
    thought = one("reasoning_only").json()["choices"][0]["message"]
    assert thought["content"] == ""
    assert thought["reasoning_content"]
    assert one("content_filter_finish").json()["choices"][0]["finish_reason"] == "content_filter"
    assert one("content_filter_error").status_code == 400
    assert one("content_filter_error").json()["error"]["code"] == "content_filter"
    assert one("refusal").json()["choices"][0]["message"]["refusal"]


def test_a_redirect_leads_to_another_host(client: httpx2.Client) -> None:
    with FaultServer() as other:
        away = f"{other.base_url}/v1/chat/completions"
        with FaultServer([Fault("redirect", location=away)]) as server:
            stayed = ask(client, server)
            followed = client.post(stayed.url, json=question(), follow_redirects=True)
    assert (stayed.status_code, stayed.headers["location"]) == (307, away)
    assert followed.status_code == 200
    assert len(other.calls) == 1


@pytest.mark.parametrize("path", ["/voyage/v1/rerank", "/v2/rerank", "/rerank", "/v1/decisions"])
def test_results_that_do_not_fit_the_question(path: str, client: httpx2.Client) -> None:
    body: dict[str, Any] = dict(RERANK)
    if path == "/rerank":
        body = {"query": "q", "texts": RERANK["documents"]}
    if path == "/v1/decisions":
        asked = [{"type": "predicate", "name": n, "instructions": n} for n in "abc"]
        body = {"model": "m", "input": "i", "questions": asked}

    def results(name: str) -> list[dict[str, Any]]:
        with FaultServer([Fault(name)]) as server:
            found = client.post(server.base_url + path, json=body).json()
        if isinstance(found, list):
            return found
        listed: list[dict[str, Any]] = found.get("data", found.get("results", found.get("answers")))
        return listed

    def scores(name: str) -> list[Any]:
        return [next(v for v in r.values() if isinstance(v, float)) for r in results(name)]

    assert len(results("results_missing")) == 2
    assert len(results("results_extra")) == 4
    repeated = results("results_repeated")
    assert len(repeated) == 3
    assert repeated[0] == repeated[2]
    assert scores("results_nan")[0] != scores("results_nan")[0]
    assert max(scores("score_out_of_range")) == 1.7
    assert None in results("results_null")[0].values()
    if path != "/v1/decisions":
        assert {r["index"] for r in results("results_out_of_range")} - {0, 1, 2}
        assert {r["index"] for r in results("results_extra")} == {0, 1, 2, 3}


def test_systemone_answers_go_missing_by_name(client: httpx2.Client) -> None:
    asked = {name: {"type": "noul", "instructions": name} for name in "ab"}
    body = {"model": "m", "state": "s", "questions": asked}
    with FaultServer([Fault("results_missing", calls=(1,)), Fault("results_extra")]) as server:
        url = f"{server.base_url}/v1/systemone"
        assert client.post(url, json=body).json()["answers"].keys() == {"a"}
        assert client.post(url, json=body).json()["answers"].keys() == {"a", "b", "unasked"}
        body["questions"] = {}
        assert client.post(url, json=body).status_code == 422


def test_slow_drip_comes_byte_by_byte(client: httpx2.Client) -> None:
    with FaultServer([Fault("slow_drip", seconds=0.002)]) as server:
        began = time.monotonic()
        reply = ask(client, server)
        took = time.monotonic() - began
        assert said(reply) in ("yes", "no")
    assert took > 0.002 * len(reply.content)


def test_no_answer_ends_when_the_client_leaves(client: httpx2.Client) -> None:
    with FaultServer([Fault("no_answer", calls=(1,))]) as server:
        with pytest.raises(httpx2.ReadTimeout):
            client.post(f"{server.base_url}/v1/chat/completions", json=question(), timeout=0.2)
        assert said(ask(client, server)) in ("yes", "no")
    assert [call.sent for call in server.calls] == [False, True]


def test_resets_and_half_closed_connections(client: httpx2.Client) -> None:
    with FaultServer([Fault("reset_before")]) as server:
        assert raw(server) == b"RST"
        with pytest.raises(httpx2.ReadError):
            ask(client, server)
    with FaultServer([Fault("reset_after_headers")]) as server:
        found = raw(server)
        assert found.startswith(b"HTTP/1.1 200 OK")
        assert found.endswith(b"\r\n\r\nRST")
        with pytest.raises(httpx2.ReadError):
            ask(client, server)
    with FaultServer([Fault("half_closed", seconds=0.2)]) as server:
        assert raw(server) == b""
        with pytest.raises(httpx2.RemoteProtocolError):
            ask(client, server)
    assert not any(call.sent for call in server.calls)


def test_wrong_lengths_and_broken_encodings(client: httpx2.Client) -> None:
    with (
        FaultServer([Fault("length_too_long")]) as server,
        pytest.raises(httpx2.RemoteProtocolError),
    ):
        ask(client, server)
    with FaultServer([Fault("length_too_short", calls=(1,))]) as server:
        short = ask(client, server)
        with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
            short.json()
        with pytest.raises(httpx2.RemoteProtocolError):
            ask(client, server)  # the bytes left over stand before the next reply
        assert said(ask(client, server)) in ("yes", "no")
    with FaultServer([Fault("truncated_gzip")]) as server:
        found = raw(server)
        assert b"Content-Encoding: gzip" in found
        with pytest.raises((httpx2.DecodingError, ValueError)):
            ask(client, server).json()
    with FaultServer([Fault("chunked_cut")]) as server:
        assert b"Transfer-Encoding: chunked" in raw(server)
        with pytest.raises(httpx2.RemoteProtocolError):
            ask(client, server)


def test_a_kept_connection_is_closed_without_a_word(client: httpx2.Client) -> None:
    with FaultServer([Fault("closes_after_reply", calls=(1,))]) as server:
        first = ask(client, server)
        assert "connection" not in first.headers
        time.sleep(0.05)
        assert said(ask(client, server)) in ("yes", "no")


def test_every_fault_is_tested_here() -> None:
    text = Path(__file__).read_text()
    named = (*SPOILERS, *SENDERS)
    assert [name for name in named if f'"{name}"' not in text] == ["who" + "le"]


def test_unknown_models_paths_and_bodies(client: httpx2.Client) -> None:
    with FaultServer(settings=Settings(models=("m",))) as server:
        base = server.base_url
        assert client.get(f"{base}/v1/models").json()["data"][0]["id"] == "m"
        assert ask(client, server, model="n").json()["error"]["code"] == "model_not_found"
        assert client.get(f"{base}/v1/elsewhere").status_code == 404
        url, told = f"{base}/v1/chat/completions", {"Content-Type": "application/json"}
        assert client.post(url, content=b"{", headers=told).status_code == 400
        assert ask(client, server, stream=True).status_code == 400


def test_requests_per_minute_are_enforced(client: httpx2.Client) -> None:
    with FaultServer(settings=Settings(requests_per_window=3, window=0.4)) as server:
        codes = [ask(client, server) for _ in range(5)]
        other = ask(client, server, model="other")
        time.sleep(0.45)
        later = ask(client, server)
    assert [reply.status_code for reply in codes] == [200] * 3 + [429] * 2
    assert codes[-1].headers["retry-after"] == "1"
    assert (other.status_code, later.status_code) == (200, 200)


def test_concurrency_and_delay_are_seen() -> None:
    with FaultServer([Fault("delay", seconds=0.2)]) as server, httpx2.Client() as shared:
        began = time.monotonic()
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(lambda n: ask(shared, server, text=str(n)), range(6)))
        took = time.monotonic() - began
    assert server.max_concurrent == 6
    assert 0.2 <= took < 1


def test_a_client_that_leaves_during_the_delay_was_not_answered(client: httpx2.Client) -> None:
    with FaultServer(settings=Settings(delay=0.3)) as server:
        with pytest.raises(httpx2.ReadTimeout):
            client.post(f"{server.base_url}/v1/chat/completions", json=question(), timeout=0.1)
        time.sleep(0.4)
        assert [call.sent for call in server.calls] == [False]


def test_a_fault_that_does_not_suit_is_told(client: httpx2.Client) -> None:
    with pytest.raises(ValueError, match="no fault 'flood'"):
        Fault("flood")
    with (
        pytest.raises(KeyError),
        FaultServer([Fault("empty_choices")]) as server,
        suppress(httpx2.RemoteProtocolError),
    ):
        client.post(f"{server.base_url}/v1/rerank", json=RERANK)


def batch_file(*texts: str) -> bytes:
    url = "/v1/chat/completions"
    lines = [
        {"custom_id": f"row-{n}", "method": "POST", "url": url, "body": question(text)}
        for n, text in enumerate(texts)
    ]
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def submit(client: httpx2.Client, base: str, content: bytes) -> dict[str, Any]:
    files = {"file": ("in.jsonl", content, "application/jsonl")}
    file = client.post(f"{base}/files", data={"purpose": "batch"}, files=files).json()
    order = {
        "input_file_id": file["id"],
        "endpoint": "/v1/chat/completions",
        "completion_window": "24h",
        "metadata": {"run": "r1"},
    }
    made: dict[str, Any] = client.post(f"{base}/batches", json=order).json()
    return made


def lines_of(client: httpx2.Client, base: str, file_id: str | None) -> list[dict[str, Any]]:
    if file_id is None:
        return []
    return [
        json.loads(line)
        for line in client.get(f"{base}/files/{file_id}/content").content.splitlines()
    ]


def test_a_batch_completes_shuffled_with_errors(client: httpx2.Client) -> None:
    plan = BatchPlan(polls=3, error_contains="text 4")
    with FaultServer(settings=Settings(batch=plan)) as server:
        base = f"{server.base_url}/v1"
        made = submit(client, base, batch_file(*(f"text {n}" for n in range(8))))
        polled = [client.get(f"{base}/batches/{made['id']}").json() for _ in range(3)]
        assert [b["status"] for b in polled] == ["validating", "in_progress", "completed"]
        good = lines_of(client, base, polled[-1]["output_file_id"])
        bad = lines_of(client, base, polled[-1]["error_file_id"])
        listed = client.get(f"{base}/batches").json()["data"]
    assert polled[-1]["request_counts"] == {"total": 8, "completed": 7, "failed": 1}
    order = [line["custom_id"] for line in good]
    assert order != sorted(order)
    assert sorted(order) == [f"row-{n}" for n in range(8) if n != 4]
    for line in good:
        expected = "yes" if hashed("m", f"text {line['custom_id'][4:]}") > 0.5 else "no"
        assert line["response"]["body"]["choices"][0]["message"]["content"] == expected
    assert [(line["custom_id"], line["response"]["status_code"]) for line in bad] == [
        ("row-4", 400)
    ]
    assert listed[0]["metadata"] == {"run": "r1"}
    assert Counter(call.kind for call in server.calls)["batch_line"] == 7


def test_a_batch_expires_or_fails(client: httpx2.Client) -> None:
    plan = BatchPlan(polls=1, expires_after=2)
    with FaultServer(settings=Settings(batch=plan)) as server:
        base = f"{server.base_url}/v1"
        made = submit(client, base, batch_file("a", "b", "c"))
        expired = client.get(f"{base}/batches/{made['id']}").json()
        assert expired["status"] == "expired"
        assert len(lines_of(client, base, expired["output_file_id"])) == 2
        (late,) = lines_of(client, base, expired["error_file_id"])
        assert late["error"]["code"] == "batch_expired"
        failed = submit(client, base, batch_file("a") * 2)
        assert failed["status"] == "failed"
        assert failed["errors"]["data"][0]["message"] == "custom_id repeats"
        cancelled = submit(client, base, batch_file("a"))
        ended = client.post(f"{base}/batches/{cancelled['id']}/cancel").json()
        assert ended["status"] == "cancelled"
        assert client.get(f"{base}/batches/batch_9").status_code == 404


SCRIPT = """
tag = "Item [0-9]+"
models = ["m"]

[[reply]]
contains = "Item 3 "
text = "perhaps"
score = 0.9

[[fault]]
name = "no_answer"
contains = "Item 5 "
"""


def test_the_script_logs_before_it_replies_and_never_the_key(
    client: httpx2.Client, tmp_path: Path
) -> None:
    log = tmp_path / "calls.jsonl"
    with launched(log, SCRIPT) as base:
        assert said(ask(client, base, text="Item 3 is")) == "perhaps"
        slow = threading.Thread(target=lambda: raises_timeout(client, base))
        slow.start()
        while len(read_log(log)) < 2:
            time.sleep(0.01)
        before = read_log(log)
        slow.join()
    with launched(log, SCRIPT) as base:
        ask(client, base, text="Item 6 is")
    after = read_log(log)
    assert [(call.tag, call.sent) for call in before] == [("Item 3", True), ("Item 5", False)]
    assert [(call.number, call.tag) for call in after] == [
        (1, "Item 3"),
        (2, "Item 5"),
        (3, "Item 6"),
    ]
    assert [call.sent for call in after] == [True, False, True]
    assert after[0].auth == auth_digest(f"Bearer {KEY}")
    assert KEY not in log.read_text()
    assert "Item 3 is" not in log.read_text()


def raises_timeout(client: httpx2.Client, base: str) -> None:
    with pytest.raises(httpx2.ReadTimeout):
        client.post(f"{base}/v1/chat/completions", json=question("Item 5 is"), timeout=1)


def test_a_killed_client_was_not_answered(tmp_path: Path) -> None:
    log = tmp_path / "calls.jsonl"
    code = (
        "import sys, httpx2\n"
        "httpx2.post(sys.argv[1] + '/v1/chat/completions', json={'model': 'm', 'messages': []})"
    )
    with launched(log, "delay = 0.5") as base:
        killed = subprocess.Popen([sys.executable, "-c", code, base])
        while not read_log(log):
            time.sleep(0.01)
        os.kill(killed.pid, signal.SIGKILL)
        killed.wait()
        time.sleep(0.7)
        (call,) = read_log(log)
    assert not call.sent


def test_an_unknown_key_in_a_script_is_refused(tmp_path: Path) -> None:
    from tests.servers.script import read_script

    path = tmp_path / "s.toml"
    path.write_text("[[fault]]\nname = '429'\ncals = [1]\n")
    with pytest.raises(TypeError, match="cals"):
        read_script(path)
