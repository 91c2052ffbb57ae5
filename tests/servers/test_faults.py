"""Faults as seen on the wire."""

import json
import socket
import time
from contextlib import suppress
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.servers.asking import KEY, RERANK, ask, question, said
from tests.servers.calls import auth_digest
from tests.servers.fault_server import FaultServer
from tests.servers.faults import SPOILERS, STATUSES, Fault
from tests.servers.replies import Answers
from tests.servers.wire import SENDERS


def raw(server: FaultServer, keep_alive: str = "close") -> bytes:
    """Return all bytes until the server ends the connection (plus b"RST" after a reset)."""
    body = json.dumps(question()).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nConnection: {keep_alive}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    host, port = server.base_url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(head.encode() + body)
        received = b""
        try:
            while some := connection.recv(1 << 16):
                received += some
        except ConnectionResetError:
            received += b"RST"
    return received


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


def test_retry_after_in_all_formats(client: httpx2.Client) -> None:
    forms = ["2", "date+5", "3600", "soon, perhaps"]
    faults = [Fault("429", calls=(n + 1,), retry_after=form) for n, form in enumerate(forms)]
    with FaultServer(faults) as server:
        values = [ask(client, server).headers["retry-after"] for _ in forms]
    assert [values[0], values[2], values[3]] == ["2", "3600", "soon, perhaps"]
    assert values[1].endswith(" GMT")
    assert -1 < parsedate_to_datetime(values[1]).timestamp() - time.time() < 6


def test_errors_have_the_format_of_their_provider(client: httpx2.Client) -> None:
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
    assert KEY in refused.text  # some servers repeat the key
    assert other.status_code == 200
    assert {call.auth for call in server.calls} == {
        auth_digest(f"Bearer {KEY}"),
        auth_digest("Bearer other"),
    }


def test_faults_per_text_model_and_at_random(client: httpx2.Client) -> None:
    faults = [
        Fault("500", contains="Item 3", per_text=True, calls=(1,)),
        Fault("503", model="weak", every=2),
        Fault("529", model="lots", probability=0.5),
    ]
    with FaultServer(faults) as server:
        each = ["Item 3", "Item 4", "Item 3", "Item 3, twice"]
        both = [ask(client, server, text=text).status_code for text in each]
        weak = [ask(client, server, model="weak").status_code for _ in range(4)]
        lots = [ask(client, server, model="lots", text=str(n)).status_code for n in range(40)]
    with FaultServer(faults) as server:  # the choice does not depend on the order of arrival
        repeats = [
            ask(client, server, model="lots", text=str(n)).status_code for n in reversed(range(40))
        ]
    assert both == [500, 200, 200, 500]
    assert weak == [200, 503, 200, 503]
    assert 8 < lots.count(529) < 32
    assert repeats == lots[::-1]


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
        questions = [{"type": "predicate", "name": n, "instructions": n} for n in "abc"]
        body = {"model": "m", "input": "i", "questions": questions}

    def results(name: str) -> list[dict[str, Any]]:
        with FaultServer([Fault(name)]) as server:
            reply = client.post(server.base_url + path, json=body).json()
        if isinstance(reply, list):
            return reply
        listed: list[dict[str, Any]] = reply.get("data", reply.get("results", reply.get("answers")))
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
    questions = {name: {"type": "noul", "instructions": name} for name in "ab"}
    body = {"model": "m", "state": "s", "questions": questions}
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


def test_no_answer_ends_when_the_client_disconnects(client: httpx2.Client) -> None:
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
        received = raw(server)
        assert received.startswith(b"HTTP/1.1 200 OK")
        assert received.endswith(b"\r\n\r\nRST")
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
            ask(client, server)  # the remaining bytes precede the next reply
        assert said(ask(client, server)) in ("yes", "no")
    with FaultServer([Fault("truncated_gzip")]) as server:
        received = raw(server)
        assert b"Content-Encoding: gzip" in received
        with pytest.raises((httpx2.DecodingError, ValueError)):
            ask(client, server).json()
    with FaultServer([Fault("chunked_cut")]) as server:
        assert b"Transfer-Encoding: chunked" in raw(server)
        with pytest.raises(httpx2.RemoteProtocolError):
            ask(client, server)


def test_a_kept_connection_is_closed_silently(client: httpx2.Client) -> None:
    with FaultServer([Fault("closes_after_reply", every=2)]) as server:
        assert said(ask(client, server)) in ("yes", "no")
        received = raw(server, "keep-alive")
    assert received.startswith(b"HTTP/1.1 200 OK")
    assert received.endswith(b"}")
    assert b"Connection:" not in received


def test_every_fault_is_tested_here() -> None:
    text = Path(__file__).read_text()
    named = (*SPOILERS, *SENDERS)
    assert [name for name in named if f'"{name}"' not in text] == ["who" + "le"]


def test_an_inapplicable_fault_is_reported(client: httpx2.Client) -> None:
    with pytest.raises(ValueError, match="no fault 'flood'"):
        Fault("flood")
    with (
        pytest.raises(KeyError),
        FaultServer([Fault("empty_choices")]) as server,
        suppress(httpx2.RemoteProtocolError),
    ):
        client.post(f"{server.base_url}/v1/rerank", json=RERANK)
