"""Good replies: pure functions of the request, in the published formats."""

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.servers.asking import KEY, RERANK, ask, said
from tests.servers.fault_server import FaultServer
from tests.servers.replies import Answers, hashed
from tests.servers.script import Settings

HERE = Path(__file__).parent


DIALECTS = {
    "voyage": ("/voyage/v1/rerank", "data", "relevance_score", "top_k"),
    "cohere": ("/v2/rerank", "results", "relevance_score", "top_n"),
    "jina": ("/jina/v1/rerank", "results", "relevance_score", "top_n"),
    "vllm": ("/v1/rerank", "results", "relevance_score", "top_n"),
    "tei": ("/rerank", None, "score", None),
}


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
    """Return the dotted names of all fields."""
    if isinstance(value, list):
        return {name for item in value for name in shape(item, at)}
    if isinstance(value, dict):
        return {f"{at}{name}" for name in value} | {
            deeper for name, item in value.items() for deeper in shape(item, f"{at}{name}.")
        }
    return set()


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
        assert choice["finish_reason"] == "length"  # one token requested, one token returned
        assert reply.json()["usage"] == {
            "prompt_tokens": 2,
            "completion_tokens": 1,
            "total_tokens": 3,
        }
    assert [call.number for call in server.calls] == list(range(1, 22))
    assert {call.kind for call in server.calls} == {"chat"}


def test_replaced_answers_apply_to_every_api(client: httpx2.Client) -> None:
    answers = Answers(
        probability=lambda model, text: 0.9 if "Paris" in text else 0.1,
        chat=lambda model, text: "<keywords>a b</keywords>" if model == "writer" else None,
        score=lambda model, query, document: len(document) / 10,
    )
    question = {"type": "predicate", "name": "d", "instructions": "It is about Paris."}
    noul = {"type": "noul", "instructions": "Paris?", "criteria": {"true": "t", "false": "f"}}
    with FaultServer(answers=answers) as server:
        assert said(ask(client, server, text="Paris")) == "yes"
        assert said(ask(client, server, text="Rome")) == "no"
        assert said(ask(client, server, text="Rome", model="writer")) == "<keywords>a b</keywords>"
        body: dict[str, Any] = {
            "model": "m",
            "input": "a page",
            "questions": [question, {**question, "instructions": "x"}],
        }
        decided = client.post(f"{server.base_url}/v1/decisions", json=body).json()
        body = {"model": "m", "state": {"page": "p"}, "questions": {"a": noul}}
        response = client.post(f"{server.base_url}/v1/systemone", json=body).json()
        ranked = client.post(f"{server.base_url}/v1/rerank", json=RERANK).json()
    assert [answer["probability"] for answer in decided["answers"]] == [0.9, 0.1]
    assert decided["answers"][0]["name"] == "d"
    assert response["answers"] == {"a": {"type": "noul", "noul": 0.9}}
    assert [result["index"] for result in ranked["results"]] == [1, 0, 2]


def test_the_openai_sdk_understands_chat_and_decisions() -> None:
    from openai import OpenAI

    with FaultServer() as server, OpenAI(base_url=f"{server.base_url}/v1", api_key=KEY) as sdk:
        completion = sdk.chat.completions.create(
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
    assert completion.choices[0].message.content in ("yes", "no")
    assert [answer.type for answer in decided.answers] == ["predicate", "choice", "score"]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_rerankers_use_their_dialect(dialect: str, client: httpx2.Client) -> None:
    path, under, score, top = DIALECTS[dialect]
    body: dict[str, Any] = dict(RERANK)
    if dialect == "tei":
        body = {"query": body["query"], "texts": body["documents"]}
    with FaultServer() as server:
        reply = client.post(server.base_url + path, json=body).json()
        results = reply[under] if under else reply
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
    """Fields absent from a published example are listed as newer in its README."""
    with FaultServer() as server:
        for name, (path, body) in PUBLISHED.items():
            published = json.loads((HERE / "published" / f"{name}.json").read_bytes())
            ours = client.post(server.base_url + path, json=body).json()
            extra = shape(ours) - shape(published)
            assert extra <= NEWER.get(name, set()), name


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


def test_unknown_models_paths_and_bodies(client: httpx2.Client) -> None:
    with FaultServer(settings=Settings(models=("m",))) as server:
        base = server.base_url
        assert client.get(f"{base}/v1/models").json()["data"][0]["id"] == "m"
        assert ask(client, server, model="n").json()["error"]["code"] == "model_not_found"
        assert client.get(f"{base}/v1/elsewhere").status_code == 404
        url, headers = f"{base}/v1/chat/completions", {"Content-Type": "application/json"}
        assert client.post(url, content=b"{", headers=headers).status_code == 400
        assert ask(client, server, stream=True).status_code == 400
