"""Requests and replies of every dialect, with a model that says yes to documents with the query."""

import asyncio
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from math import inf
from typing import Any

import orjson
import pytest
from starlette.testclient import TestClient

from prism_cli import query_texts
from prism_cli.domain.evidence_budget import RankOptions
from prism_cli.domain.token_estimate import estimate_tokens
from prism_cli.errors import ArgumentError, MissingDataError
from prism_cli.ports import Reply, Usage
from prism_cli.ranking import Ranking
from prism_cli.rows.caller_documents import caller_documents
from prism_cli.serving.app import ServerInfo, create_app
from prism_cli.serving.http_requests import MAX_BODY
from prism_cli.serving.keys import ApiKeys
from prism_cli.serving.messages import MAX_DOCUMENTS, read_call
from prism_cli.serving.model_queue import ModelQueue
from prism_cli.serving.ranker import Ranker
from prism_cli.serving.service import MAX_QUERY_BYTES, Service, Ticket
from prism_cli.serving.stream import events
from tests.serving.fake_model import CountingModel
from tests.serving.served import YES, Served


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with Served(evidence=False) as one:
        yield one


def test_one_reply_is_read_by_the_clients_of_all_services(served: Served) -> None:
    reply = served.post(YES).json()
    assert reply["object"] == "rerank"
    assert reply["model"] == "river"
    assert reply["id"]
    assert [one["index"] for one in reply["results"]] == [1, 2, 0]
    assert [one["verdict"] for one in reply["results"]] == ["yes", "yes", "no"]
    assert reply["results"][0]["document"] == {"text": "a river by the town"}
    assert reply["data"] == [
        {name: one[name] for name in ("index", "relevance_score")} for one in reply["results"]
    ]
    assert reply["usage"] == {"prompt_tokens": 30, "completion_tokens": 0, "total_tokens": 30}
    assert reply["meta"]["api_version"]
    assert "evidence" not in reply["results"][0]


@pytest.mark.parametrize(
    ("path", "more", "returned"),
    [
        ("/v1/rerank", {}, True),
        ("/rerank", {"return_documents": None}, True),
        ("/v1/rerank", {"return_documents": False}, False),
        ("/v2/rerank", {}, False),
        ("/v2/rerank", {"return_documents": "true"}, True),
    ],
)
def test_documents_are_returned_as_each_version_does(
    served: Served, path: str, more: dict[str, Any], returned: bool
) -> None:
    results = served.post(YES | more, path).json()["results"]
    assert all(("document" in one) is returned for one in results)
    assert len(results) == 3


def test_tei_gets_its_list(served: Served) -> None:
    body = {"query": "river", "texts": ["a cat", "a river"], "truncate": True}
    assert served.post(body, "/rerank").json() == [
        {"index": 1, "score": pytest.approx(0.952889)},
        {"index": 0, "score": pytest.approx(0.047652)},
    ]
    raw = served.post(body | {"raw_scores": True, "return_text": True}, "/rerank").json()
    assert raw[0] == {"index": 1, "score": 3.007, "text": "a river"}


def test_tei_gets_evidence_where_it_asks_for_it(served: Served) -> None:
    body = {"query": "river", "texts": ["a cat", "a river"], "evidence": True, "max_new_tokens": 3}
    first, second = served.post(body, "/rerank").json()
    assert (first["index"], first["evidence"]) == (1, "a river")
    assert first.keys() == {"index", "score", "contribution", "evidence", "citations"}
    assert second.keys() == {"index", "score"}


def test_pages_of_other_sites_are_refused_unless_their_origin_is_allowed(served: Served) -> None:
    assert served.post(YES, sec_fetch_site="same-origin").status_code == 200
    for cors, origin, status in (
        (("https://page.example",), "https://page.example", 200),
        (("https://page.example",), "https://evil.example", 403),
        (("https://page.example",), "null", 403),
        (("https://page.example", "*"), "https://evil.example", 200),
        ((), "https://page.example", 403),
    ):
        with Served(cors=cors) as other:
            reply = other.post(YES, origin=origin, sec_fetch_site="cross-site")
            assert reply.status_code == status, (cors, origin)
            assert other.post(YES, sec_fetch_site="same-origin").status_code == 200


def test_nim_gets_its_rankings(served: Served) -> None:
    body = {"query": {"text": "river"}, "passages": [{"text": "a cat"}, {"text": "a river"}]}
    reply = served.post(body, "/v1/ranking").json()
    assert reply["rankings"] == [{"index": 1, "logit": 3.007}, {"index": 0, "logit": -2.995}]


@pytest.mark.parametrize("all_of_them", [None, 0, "0", 5])
def test_top_n_zero_and_null_mean_all(served: Served, all_of_them: Any) -> None:
    for name in ("top_n", "top_k"):
        assert len(served.post(YES | {name: all_of_them}).json()["results"]) == 3
        assert len(served.post(YES | {name: 2}).json()["results"]) == 2


def test_the_fault_of_top_k_is_told_of_top_k() -> None:
    with pytest.raises(ArgumentError, match=r"^top_k: "):
        read_call(YES | {"top_k": "many"}, {})


def test_the_number_of_a_request_is_before_the_servers() -> None:
    with Served(top_n=1) as served:
        for more, count in (({}, 1), ({"top_k": 2}, 2), ({"top_k": 0}, 3), ({"top_n": 0}, 3)):
            assert len(served.post(YES | more).json()["results"]) == count


def test_unknown_keys_and_nulls_are_ignored(served: Served) -> None:
    body = YES | {"max_tokens_per_doc": None, "threshold": None, "evidence": None, "x": {"y": 1}}
    assert served.post(body).status_code == 200


@pytest.mark.parametrize(
    "more", [{"evidence": True}, {"evidence": "true"}, {"evidence_top": 5}, {"model": "m:evidence"}]
)
def test_evidence_is_written_where_it_is_requested(served: Served, more: dict[str, Any]) -> None:
    best = served.post(YES | more | {"max_new_tokens": 3}).json()["results"][0]
    assert best["evidence"] == "a river by the town"
    assert best["evidence_origin"] == "generated"
    assert best["citations"]


def test_a_budget_counts_the_texts_that_are_given_in_place_of_the_models(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        served.model, "written", lambda _: Reply({"text": "yes"}, usage=Usage(10, 2))
    )
    sentence = "The river passes the old mill, the bridge of stone and pier {} of the harbour. "
    documents = [sentence.format(number) * 2 for number in range(20)]
    body = {"query": "river", "documents": documents, "max_evidence_tokens": 90}
    results = served.post(body).json()["results"]
    given = [one for one in results if one.get("evidence")]
    assert {one["evidence_origin"] for one in given} == {"extracted"}
    spent = [estimate_tokens(one["evidence"] + one["contribution"]) for one in given]
    assert 0 < sum(spent) <= 90


def test_a_server_with_evidence_can_be_asked_for_none() -> None:
    with Served(evidence=True) as served:
        assert "evidence" in served.post(YES | {"max_new_tokens": 3}).json()["results"][0]
        assert "evidence" not in served.post(YES | {"evidence": False}).json()["results"][0]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "body: not JSON"),
        ([1], "body: expected an object, found array"),
        ({"query": "a"}, "documents: expected an array, found no such key"),
        ({"documents": ["a"]}, "query: expected a value, found no such key"),
        ({"query": 5, "documents": ["a"]}, "query: "),
        ({"query": " ", "documents": ["a"]}, "query: expected text"),
        ({"query": "a", "documents": "a"}, "documents: "),
        ({"query": "a", "documents": [5]}, "documents[0]: expected a string or an object"),
        ({"query": "a", "documents": [{"title": "a"}]}, "documents[0].text: "),
        ({"query": "a", "documents": ["a\0"]}, "documents[0]: a NUL character"),
        ({"query": "a", "documents": ["a"], "top_n": "x"}, "top_n: "),
        ({"query": "a", "documents": ["a"], "threshold": 2}, "threshold: "),
        (b'{"query": "a", "documents": ["\\ud800", NaN]}', "body: not JSON"),
        (b"[" * 100_000, "body: not JSON"),
    ],
)
def test_a_bad_body_gets_an_error_that_names_the_key(
    served: Served, body: Any, message: str
) -> None:
    reply = served.post(body)
    assert reply.status_code == 400
    value = reply.json()
    assert value["detail"].startswith(message)
    assert value["detail"] == value["message"] == value["error"]["message"]
    assert value["error"]["code"] == 400


def test_tei_gets_errors_in_its_own_form(served: Served) -> None:
    reply = served.post({"query": "a", "texts": [1]}, "/rerank")
    assert reply.status_code == 422
    assert reply.json() == {
        "error": "documents[0]: expected a string or an object, found number 1 (query 'a')",
        "error_type": "validation",
    }


def test_too_many_documents_or_bytes_are_refused(served: Served) -> None:
    many = served.post({"query": "a", "documents": ["a"] * (MAX_DOCUMENTS + 1)})
    assert many.status_code == 413
    assert "at most 1,000, found 1,001" in many.json()["detail"]
    large = served.post(b'{"query": "' + b"a" * MAX_BODY + b'"}')
    assert large.status_code == 413
    assert "16 MiB" in large.json()["detail"]
    query = served.post({"query": "é" * (MAX_QUERY_BYTES // 2) + "e", "documents": ["a"]})
    assert query.status_code == 413
    assert query.json()["detail"].startswith("query: expected at most 262,144 bytes, found 262,145")


def test_an_empty_list_and_blank_documents_have_a_reply(served: Served) -> None:
    assert served.post({"query": "a", "documents": []}).json()["results"] == []
    (one,) = served.post({"query": "a", "documents": [" "]}).json()["results"]
    assert (one["relevance_score"], one["verdict"]) == (0.0, "no")


def test_keys_are_read_in_every_form_and_never_logged() -> None:
    with Served("secret-1", "secret-2") as served:
        for headers in (
            {"authorization": "Bearer secret-1"},
            {"authorization": "bearer secret-2"},
            {"authorization": "secret-2"},
            {"x_api_key": "secret-1"},
            {"api_key": "secret-2"},
        ):
            assert served.post(YES, **headers).status_code == 200
        for found, headers in (
            ("none", {}),
            ("another", {"authorization": "Bearer no"}),
            ("another", {"x_api_key": "secret-1,secret-2"}),
        ):
            reply = served.post(YES, **headers)
            assert (reply.status_code, reply.headers["www-authenticate"]) == (401, "Bearer")
            assert f"expected a key of this server, found {found}" in reply.json()["detail"]
        for path in ("/health", "/ready", "/metrics"):
            assert served.client.get(path).status_code == 200
        assert served.client.get("/v1/models").status_code == 401
        assert not any("secret" in line or "river" in line for line in served.lines)


def test_a_key_may_have_any_characters() -> None:
    with Served("ключ") as served:
        for key, status in (("ключ", 200), ("???", 401)):
            headers = {b"x-api-key": key.encode()}
            assert served.client.get("/v1/models", headers=headers).status_code == status


def test_the_log_has_a_line_for_each_request(served: Served) -> None:
    served.lines.clear()
    reply = served.post(YES)
    (line,) = served.lines
    assert line.startswith("200 POST /v1/rerank ")
    assert "documents=3 tokens=30" in line
    assert reply.headers["x-request-id"] in line
    for given, kept in (("req-7.a", True), ("two words", False), ("x" * 200, False)):
        assert (served.post(YES, x_request_id=given).headers["x-request-id"] == given) is kept
    assert " id=req-7.a" in served.lines[-3]
    served.post(YES | {"stream": True})
    assert re.search(r"documents=3 tokens=\d+ written=0 id=", served.lines[-1])


def test_probes_and_refusals_do_not_hide_in_the_figures_of_requests() -> None:
    with Served() as served:
        for path in ("/health", "/ready", "/metrics", "/"):
            served.client.get(path)
        served.post(YES)
        served.post(YES | {"query": ""})
        figures = served.client.get("/metrics").text.splitlines()
    assert {
        'prism_requests_total{code="200"} 1.0',
        'prism_requests_total{code="400"} 1.0',
        "prism_request_seconds_count 1.0",
        "prism_ready 1.0",
    } <= set(figures)


def test_before_the_model_is_loaded_and_while_stopping_requests_are_refused() -> None:
    served = Served()
    client = TestClient(served.app)
    for path, status in (("/health", 200), ("/ready", 503), ("/info", 503), ("/metrics", 200)):
        assert client.get(path).status_code == status
    reply = client.post("/v1/rerank", json=YES)
    assert (reply.status_code, reply.headers["retry-after"]) == (503, "5")
    with served:
        served.service.drain()
        assert served.post(YES).status_code == 503


def test_a_failing_model_is_an_error_of_the_server(served: Served) -> None:
    served.model.fails = "the device is gone"
    reply = served.post(YES | {"query": "other"})
    served.model.fails = None
    assert (reply.status_code, reply.json()["detail"]) == (500, "the device is gone")
    assert served.post(YES | {"query": "other"}).status_code == 200


def test_a_deadline_ends_a_request() -> None:
    with Served() as served:
        served.model.gate.clear()
        reply = served.post(YES, x_request_timeout="0.05")
        assert reply.status_code == 504
        assert "within 0.05 s" in reply.json()["detail"]
        served.model.gate.set()
        assert served.post(YES).status_code == 200


def test_a_request_that_would_end_after_its_deadline_is_refused_at_once() -> None:
    with Served() as served:
        served.service.tickets.add(ticket := Ticket(10**7, 1_000, inf))
        assert served.post(YES).status_code == 200, "a small one waits for no large one"
        reply = served.post(YES | {"documents": ["river " * 100_000] * 20})
        assert reply.status_code == 429
        assert int(reply.headers["retry-after"]) >= 1
        served.service.tickets.discard(ticket)


def test_streams_have_scores_then_evidence_then_the_reply(served: Served) -> None:
    reply = served.post(YES | {"stream": True, "evidence": True, "max_new_tokens": 3})
    assert reply.headers["content-type"].startswith("text/event-stream")
    events = [part.split("\n", 1) for part in reply.text.strip().split("\n\n") if part[0] != ":"]
    names = [name.removeprefix("event: ") for name, _ in events]
    assert names == ["scores", "evidence", "evidence", "result", "done"]
    values = [orjson.loads(data.removeprefix("data: ")) for _, data in events]
    assert [one["index"] for one in values[0]["results"]] == [1, 2, 0]
    final = {one["index"]: one for one in values[3]["results"]}
    for event in values[1:3]:
        assert event["evidence"] == final[event["index"]]["evidence"]


@pytest.mark.parametrize("raw", [False, True])
def test_streamed_scores_are_those_of_the_reply(served: Served, raw: bool) -> None:
    text = served.post(YES | {"stream": True, "raw_scores": raw}).text
    scores, result = (orjson.loads(one)["results"] for one in re.findall(r"data: (.*\d.*)", text))
    names = ("index", "relevance_score", "logit", "verdict")
    assert [[one[name] for name in names] for one in scores] == [
        [one[name] for name in names] for one in result
    ]
    assert (scores[0]["relevance_score"] > 1) is raw


@pytest.mark.parametrize("documents", [[" "], []])
def test_a_stream_without_a_text_has_its_scores_too(served: Served, documents: list[str]) -> None:
    text = served.post(YES | {"documents": documents, "stream": True}).text
    assert re.findall(r"event: (.*)", text) == ["scores", "result", "done"]
    assert 'event: scores\ndata: {"results":[]}\n' in text


def test_a_stream_has_one_event_for_each_of_equal_documents(served: Served) -> None:
    body = YES | {"documents": ["a river"] * 3, "evidence": True, "max_new_tokens": 3}
    text = served.post(body | {"stream": True}).text
    assert text.count("event: scores") == 1
    events = re.findall(r"event: evidence\ndata: (.*)", text)
    assert sorted(orjson.loads(one)["index"] for one in events) == [0, 1, 2]


def test_a_stream_that_is_cancelled_leaves_no_task() -> None:
    async def work() -> list[str]:
        model: Any = CountingModel()
        model.gate.clear()
        service = Service()
        await service.load(lambda: Ranker(model, ModelQueue(model)))
        leaving = asyncio.get_running_loop().create_future()
        parts = events(service, read_call(YES, {}), "river", leaving, timeout=None, figures={})
        assert await anext(parts) == b": accepted\n\n"
        waiting = asyncio.ensure_future(anext(parts))
        await asyncio.sleep(0.05)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await asyncio.sleep(0.05)
        left = [task.get_coro().__qualname__ for task in asyncio.all_tasks()]  # type: ignore[union-attr]
        model.gate.set()
        await service.close()
        return left

    assert "Queue.get" not in asyncio.run(asyncio.wait_for(work(), 20))


def test_a_body_that_does_not_arrive_is_given_up() -> None:
    service = Service(deadline=0.05)
    app = create_app(service, ServerInfo("river", "1.0"), ApiKeys(), lambda _: None)
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/v1/rerank", "headers": []}
    scope |= {"query_string": b"", "http_version": "1.1"}
    asyncio.run(asyncio.wait_for(app(scope, asyncio.Event().wait, send), 20))  # type: ignore[arg-type]
    assert sent[0]["status"] == 408
    assert (b"connection", b"close") in sent[0]["headers"]
    assert b"body: expected all of it within 0.05 s" in sent[1]["body"]


def test_a_load_that_fails_unexpectedly_ends_the_server(capsys: pytest.CaptureFixture[str]) -> None:
    service = Service()
    asyncio.run(service.load(lambda: 1 // 0))  # type: ignore[arg-type, return-value]
    assert str(service.failure) == "the model could not be loaded: ZeroDivisionError"
    assert "Traceback" in capsys.readouterr().err


def test_texts_that_are_not_written_in_time_are_left_out_and_scores_are_kept() -> None:
    with Served(evidence=True, max_new_tokens=4000) as served:
        served.model.pass_ = lambda: time.sleep(0.01)
        reply = served.post(YES, x_request_timeout="2")
        assert reply.status_code == 200
        results = reply.json()["results"]
        assert [one["index"] for one in results] == [1, 2, 0]
        assert [one.get("evidence_omitted") for one in results] == ["deadline", "deadline", None]
        assert all("evidence" not in one for one in results)
        assert served.service.queue
        assert served.service.queue.queued_bytes == 0
        assert served.post(YES | {"max_new_tokens": 2}).json()["results"][0]["evidence"]


def test_extraction_ends_in_time_and_lets_others_have_their_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    extract, calls = query_texts.extracted_texts, list[float]()

    def slow(*args: Any) -> Any:
        calls.append(time.monotonic())
        time.sleep(0.05)
        return extract(*args)

    monkeypatch.setattr(query_texts, "extracted_texts", slow)
    documents = caller_documents("river", [f"a river {index}" for index in range(100)])
    options = RankOptions(evidence=True, evidence_from="extractive")

    async def work() -> Ranking:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        model: Any = CountingModel()
        ranker = Ranker(model, ModelQueue(model))
        ranker.queue.start()
        large = asyncio.create_task(ranker.rank("river", documents, options))
        while not calls:
            await asyncio.sleep(0.01)
        await ranker.rank("river", documents[:1], RankOptions(evidence=False))
        assert not large.done()
        large.cancel()
        await asyncio.to_thread(lambda: None)
        assert len(calls) < 100, "a request that was given up has no more turns"
        late = await ranker.rank("river", documents, options, text_seconds=0.5)
        await ranker.queue.close()
        return late

    late = asyncio.run(asyncio.wait_for(work(), 60))
    assert len(late.results) == 100
    assert late.results[-1]["evidence_omitted"] == "deadline"


def test_a_model_that_cannot_be_loaded_is_an_error_with_its_words() -> None:
    service = Service()
    app = create_app(service, ServerInfo("river", "1.0"), ApiKeys(), lambda _: None)
    service.failure = MissingDataError("weights: no such file")
    reply = TestClient(app).post("/v1/rerank", json=YES)
    assert (reply.status_code, reply.json()["message"]) == (500, "weights: no such file")


def test_a_stream_that_fails_ends_with_an_error(served: Served) -> None:
    assert served.post({"query": " ", "documents": ["a"], "stream": True}).status_code == 400
    served.model.fails = "the device is gone"
    reply = served.post(YES | {"query": "third", "stream": True})
    served.model.fails = None
    assert "event: error" in reply.text
    assert reply.text.endswith("event: done\ndata: {}\n\n")


def test_cross_origin_calls_are_allowed_from_named_pages_alone(served: Served) -> None:
    for origin, allowed in (("https://page.example", True), ("https://evil.example", False)):
        reply = served.post(YES, origin=origin)
        assert ("access-control-allow-origin" in reply.headers) is allowed


def test_unknown_paths_and_methods_have_errors_in_json(served: Served) -> None:
    assert served.client.get("/nothing").json()["error"]["code"] == 404
    refused = served.client.get("/v1/rerank").json()["error"]
    assert (refused["code"], refused["message"]) == (405, "expected POST, found GET")
    assert served.client.get("/openapi.json").json()["paths"]["/v1/rerank"]["post"]["requestBody"]
    assert "reranker" in served.client.get("/info").json()["model_type"]
    assert served.client.get("/v1/models").json()["data"][0]["id"] == "river"
    assert b"prism_pairs_total" in served.client.get("/metrics").content
