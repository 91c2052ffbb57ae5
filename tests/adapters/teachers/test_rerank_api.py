"""Reranker APIs as teachers: requests, valid replies, costs, and how rows share
calls."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tenacity import stop_after_attempt

from prism_cli.adapters.providers import retrying, throttle
from prism_cli.adapters.providers.client import ProviderClient
from prism_cli.adapters.providers.deadline import Deadline
from prism_cli.adapters.providers.model_ref import ModelRef
from prism_cli.adapters.teachers.rerank_api import RerankTeacher
from prism_cli.adapters.teachers.rerank_dialects import DIALECTS
from prism_cli.configs.providers import ModelPricing, Provider
from prism_cli.domain.calibration import Calibration
from prism_cli.domain.token_estimate import estimate_tokens
from prism_cli.engine.runner import RunOptions, run_rows
from prism_cli.errors import ProviderError, RefusalError
from prism_cli.ports import Reply
from prism_cli.stages.distill import DistillStage
from tests.factories import DEEP, make_pair, read_jsonl, write_jsonl
from tests.servers.fault_server import FaultServer
from tests.servers.faults import Fault
from tests.servers.replies import Answers, hashed

PUBLISHED = Path(__file__).parents[2] / "servers" / "published"
PREFIX = {"voyage": "voyage/v1", "cohere": "cohere/v2", "jina": "jina/v1", "tei": "tei",
          "vllm-rerank": "vllm/v1"}  # fmt: skip
SPOILED = ("results_missing", "results_repeated", "results_out_of_range", "results_extra",
           "results_nan", "results_null", "score_out_of_range")  # fmt: skip


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrying, "_jittered", lambda state: 0.01)
    monkeypatch.setattr(throttle, "FIRST_PAUSE", 0.05)


def teacher(
    server: FaultServer | None = None,
    api: str = "voyage",
    seconds: float = 2.0,
    timeout: float = 0.5,
    **card: Any,
) -> RerankTeacher:
    base = server.base_url if server else "http://127.0.0.1:9"
    provider = Provider.model_validate(
        {
            "api": api,
            "base_url": f"{base}/{PREFIX[api]}",
            "timeout_seconds": min(seconds, timeout),
            "deadline_seconds": seconds,
        }
    )
    return RerankTeacher(
        ModelRef("lab/r", ProviderClient("lab", provider), "r", ModelPricing(**card))
    )


def scored(teacher_: RerankTeacher, payloads: Sequence[tuple[str, str]]) -> list[Reply]:
    async def run() -> list[Reply]:
        try:
            return await teacher_.answer(payloads)
        finally:
            await teacher_.close()

    return asyncio.run(run())


PAIRS = [("capital of France", text) for text in ("Berlin", "Paris", "Rome")]


@pytest.mark.parametrize("api", DIALECTS)
def test_scores_come_back_by_document_whatever_the_order_of_the_reply(api: str) -> None:
    with FaultServer() as server:
        replies = scored(teacher(server, api, usd_per_million_input=1.0), PAIRS)
    model = "" if api == "tei" else "r"
    assert [reply.value["score"] for reply in replies] == [hashed(model, *pair) for pair in PAIRS]
    assert len({reply.value["score"] for reply in replies}) == 3
    (call,) = server.calls
    assert call.path == f"/{PREFIX[api]}/rerank"
    total = sum(reply.usage.input_tokens for reply in replies)
    assert sum(reply.usage.usd for reply in replies) == pytest.approx(total / 1e6)
    if api in ("voyage", "jina", "vllm-rerank"):
        assert total == call.input_tokens
    else:
        assert total > 0  # not in the reply: an estimate


def test_each_api_gets_its_request_fields() -> None:
    def body(api: str, **card: Any) -> dict[str, Any]:
        return teacher(None, api, **card)._body("q", ["a", "b"])

    named = {"model": "r", "query": "q", "documents": ["a", "b"]}
    assert body("voyage") == named | {"top_k": 2, "truncation": False}
    assert body("cohere") == named | {"top_n": 2}
    assert body("cohere", context_tokens=9000)["max_tokens_per_doc"] == 9000
    assert body("jina") == named | {"top_n": 2, "return_documents": False}
    assert body("vllm-rerank", extra_body={"priority": 1}) == named | {"top_n": 2, "priority": 1}
    tei = {"truncate": False, "raw_scores": False, "return_text": False}
    assert body("tei") == {"query": "q", "texts": ["a", "b"], **tei}


@pytest.mark.parametrize("api", DIALECTS)
def test_published_replies_are_read(api: str) -> None:
    """Some examples list only the best results: send as many documents as the highest index needs;
    the missing ones are reported."""
    published = json.loads((PUBLISHED / f"{api.removesuffix('-rerank')}.json").read_text())
    dialect, backend = DIALECTS[api], teacher(None, api)
    results = published[dialect.results] if dialect.results else published
    by_index = {result["index"]: result[dialect.score] for result in results}
    count = max(by_index) + 1
    if len(by_index) == count:
        assert backend._scores(published, count) == [by_index[at] for at in range(count)]
    else:
        with pytest.raises(ProviderError, match=f"{len(by_index)} results for {count} documents"):
            backend._scores(published, count)


@pytest.mark.parametrize("fault", [*SPOILED, "html", "error_object", "truncated_gzip", "429"])
@pytest.mark.parametrize("api", ["voyage", "tei"])
def test_a_bad_reply_is_retried_and_never_a_score(api: str, fault: str) -> None:
    with FaultServer([Fault(fault, calls=(1,))]) as server:
        backend = teacher(server, api)
        replies = scored(backend, PAIRS)
    model = "" if api == "tei" else "r"
    assert [reply.value["score"] for reply in replies] == [hashed(model, *pair) for pair in PAIRS]
    assert len(server.calls) == 2
    assert backend.lost_calls == (fault not in ("429", "error_object"))


@pytest.mark.parametrize("fault", SPOILED)
def test_rows_with_only_bad_replies_stay_pending(
    fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Deadline, "is_before", stop_after_attempt(3))
    with FaultServer([Fault(fault)]) as server:
        backend = teacher(server, seconds=60.0, timeout=60.0)
        with pytest.raises(ProviderError, match="gave up"):
            scored(backend, PAIRS)
    assert backend.lost_calls == len(server.calls) == 3


@pytest.mark.parametrize("index", [True, 1.0, "1", None, -1, 3, DEEP])
def test_an_index_is_a_whole_number_in_range(index: Any) -> None:
    results = [{"index": at, "relevance_score": 0.5} for at in (0, index, 2)]
    with pytest.raises(ProviderError, match="a result for document"):
        teacher()._scores({"data": results}, 3)


def test_a_score_that_is_nested_deeply_is_none() -> None:
    with pytest.raises(ProviderError, match="nested too deeply as the score of document 0"):
        teacher()._scores({"data": [{"index": 0, "relevance_score": DEEP}]}, 1)


def test_equal_documents_are_scored_once() -> None:
    results = [{"index": at, "relevance_score": 0.5} for at in (0, 1, 1)]
    with pytest.raises(ProviderError, match="two results for document 1"):
        teacher()._scores({"data": results}, 2)


@pytest.mark.parametrize(
    "results", [None, [], "text", {}, {"data": {}}, {"data": [1]}, {"data": []}]
)
def test_a_reply_without_results_is_reported(results: Any) -> None:
    with pytest.raises(ProviderError, match="results"):
        teacher()._scores(results, 1)


def test_documents_of_a_query_share_calls_up_to_the_limits() -> None:
    payloads = [(f"query {n % 2}", f"word {n} " * 20) for n in range(10)]
    plan = teacher(max_documents=3).plan(payloads)
    assert plan == [[0, 2, 4], [1, 3, 5], [6, 8], [7, 9]]
    assert teacher().plan(payloads) == [[0, 2, 4, 6, 8], [1, 3, 5, 7, 9]]
    assert [
        len(call) for call in teacher(None, "tei").plan([("q", str(n)) for n in range(70)])
    ] == [
        32,
        32,
        6,
    ]
    by_tokens = teacher(request_tokens=200)
    calls = by_tokens.plan(payloads)
    assert sorted(at for call in calls for at in call) == list(range(10))
    assert (
        max(by_tokens.estimate([payloads[at] for at in call]).input_tokens for call in calls) <= 180
    )
    assert 2 < len(calls) < 10
    assert by_tokens.plan([("q", "word " * 5000)]) == [[0]]  # the server refuses it


def test_documents_are_truncated_to_the_context_left_by_the_query() -> None:
    sent: list[str] = []

    def score(model: str, query: str, document: str) -> float:
        sent.append(document)
        return 0.5

    query = "what is it about " * 10
    with FaultServer(answers=Answers(score=score)) as server:
        scored(teacher(server, context_tokens=300), [(query, "short"), (query, "word " * 2000)])
        with pytest.raises(RefusalError, match="no room"):
            scored(teacher(server, context_tokens=30), [(query, "short")])
    assert sent[0] == "short"
    assert 180 < estimate_tokens(query) + estimate_tokens(sent[1]) <= 270
    assert len(server.calls) == 1


def test_cohere_is_billed_per_search() -> None:
    card = {"usd_per_thousand_searches": 2.0, "max_documents": 100}
    backend = teacher(None, "cohere", **card)
    assert backend.estimate([("q", "short")] * 100).usd == 0.002
    assert backend.estimate([("q", "word " * 900)] * 100).usd == 0.004  # two chunks each
    with FaultServer() as server:
        replies = scored(teacher(server, "cohere", **card), PAIRS)
    assert sum(reply.usage.usd for reply in replies) == pytest.approx(0.002)
    reply = {"meta": {"billed_units": {"search_units": 3}}}
    assert backend._usage_of(reply, 10, 1).usd == 0.006
    for unknown in ({"meta": None}, {"meta": {"billed_units": {"search_units": 0}}}):
        assert backend._usage_of(unknown, 10, 1).usd == 0.002


def test_the_fingerprint_covers_only_what_changes_a_score() -> None:
    prints = {
        teacher(None, api, **card).fingerprint
        for api in DIALECTS
        for card in ({}, {"context_tokens": 100}, {"extra_body": {"priority": 1}})
    }
    assert len(prints) == 3 * len(DIALECTS)
    with FaultServer() as server:
        assert teacher(server, max_documents=7).fingerprint == teacher().fingerprint


def test_one_refused_document_of_many_costs_the_others_no_score() -> None:
    rows = [make_pair(n, query="one query", document=f"text {n}") for n in range(4)]
    with FaultServer([Fault("400", contains="text 2")]) as server:
        stage = DistillStage([teacher(server)], Calibration(1.0, "given"))
        inputs = [str(write_jsonl(Path("in.jsonl"), rows))]
        options = RunOptions(Path("out.jsonl"), quiet=True, max_rejects=1.0)
        summary = run_rows(stage, inputs, options)
    output = read_jsonl(Path("out.jsonl"))
    assert [row["document"] for row in output] == ["text 0", "text 1", "text 3"]
    assert output[0]["teacher_scores"] == {"lab/r": hashed("r", "one query", "text 0")}
    (aside,) = read_jsonl(Path("out.jsonl.rejects.jsonl"))
    assert "lab/r gave no score: status 400" in aside["reason"]
    assert (summary.exit_code, len(server.calls)) == (0, 5)  # all four, then one by one


def test_a_score_slightly_out_of_range_by_rounding_is_clipped() -> None:
    backend = teacher(None, "jina")
    scores = [1.0000001, -1e-9, 1, 0]
    results = [{"index": at, "relevance_score": score} for at, score in enumerate(scores)]
    assert backend._scores({"results": results}, 4) == [1.0, 0.0, 1.0, 0.0]
    for wrong in (1.001, -0.01, "0.5", True, None):
        results[0]["relevance_score"] = wrong
        with pytest.raises(ProviderError, match="score of document 0"):
            backend._scores({"results": results}, 4)
