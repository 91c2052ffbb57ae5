"""What requests may look like: paths below other base URLs, packed bodies, methods, documents."""

import gzip
import random
import zlib
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from pydantic import ValidationError

from prism_cli.errors import ArgumentError
from prism_cli.serving.http_requests import MAX_BODY, MAX_MEMBERS
from prism_cli.serving.messages import MAX_RANK_FIELDS, RerankBody, read_call
from tests.serving.served import YES, Served


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with Served() as one:
        yield one


@pytest.mark.parametrize(
    "path",
    [
        "/v1/rerank/",
        "//v1//rerank",
        "/v1/v1/rerank",
        "/api/rerank",
        "/v1/reranking",
        "/v1/models/rerank",
        "/v1/retrieval/nvidia/reranking",
    ],
)
def test_paths_of_other_base_urls_are_answered(served: Served, path: str) -> None:
    assert served.post(YES, path).json()["results"][0]["document"]


def test_a_path_of_version_2_is_that_below_any_base_url(served: Served) -> None:
    assert "document" not in served.post(YES, "/v1/v2/rerank/").json()["results"][0]
    assert served.post(YES, "/v2/rerank/more").status_code == 404


def test_mixedbread_gets_its_list(served: Served) -> None:
    body = {"query": "river", "input": ["a cat", "a river"], "top_k": 1}
    reply = served.post(body, "/v1/reranking").json()
    (one,) = reply["data"]
    assert reply["object"] == "list"
    assert (one["index"], one["score"]) == (1, pytest.approx(0.952889))
    assert "input" not in one
    returned = served.post(body | {"return_input": True, "evidence": True}).json()["data"][0]
    assert (returned["input"], returned["evidence"]) == ("a river", "a river")


@pytest.mark.parametrize(
    "more",
    [
        {"documents": [{"content": "a river", "meta": {"page": 1}}]},
        {"documents": [{"page_content": "a river", "metadata": {}}]},
        {"documents": [{"text": "a river", "id": 7, "title": None}]},
        {"documents": [{"name": "a", "body": "a river"}], "rank_fields": ["body", "none"]},
        {"documents": None, "passages": None, "input": [{"text": "a river"}]},
        {"documents": ["a river"], "texts": None},
    ],
)
def test_documents_of_other_libraries_are_read(served: Served, more: dict[str, Any]) -> None:
    reply = served.post(YES | more | {"return_documents": True}).json()
    (one,) = reply["results"]
    assert (one["document"], one["logit"]) == ({"text": "a river"}, 3.007)


def test_fields_to_rank_are_joined_in_their_order(served: Served) -> None:
    document = {"title": "by the river", "text": "no", "body": "a town"}
    body = YES | {"documents": [document], "rank_fields": ["body", "title"]}
    assert served.post(body).json()["results"][0]["document"] == {"text": "a town\nby the river"}
    many = body | {"rank_fields": ["body"] * MAX_RANK_FIELDS}
    assert served.post(many).json()["results"][0]["document"] == {"text": "a town"}
    assert served.post(body | {"rank_fields": ["x"]}).json()["results"][0]["verdict"] == "yes"


@pytest.mark.parametrize("name", ["body", 1])
def test_too_many_fields_to_rank_are_refused_before_any_is_read(served: Served, name: Any) -> None:
    body = YES | {"rank_fields": [name] * 1_001}
    reply = served.post(body)
    message = "rank_fields: expected at most 32, found 1,001"
    assert (reply.status_code, reply.json()["detail"]) == (400, message)
    with pytest.raises(ValidationError) as refused:
        RerankBody.model_validate(body)
    assert refused.value.error_count() == 1


def test_an_error_does_not_write_out_a_list() -> None:
    class Unwritten(list[int]):
        def __repr__(self) -> str:
            raise AssertionError

    for key, value, found in (
        ("query", Unwritten(), "array"),
        ("documents", {"a": Unwritten()}, "object"),
        ("top_n", "x", "'x'"),
    ):
        with pytest.raises(ArgumentError, match=f"^{key}: .*, found {found}$"):
            read_call(YES | {key: value}, {})


def test_packed_bodies_are_unpacked_within_the_limit(served: Served) -> None:
    raw = b"\xef\xbb\xbf" + orjson.dumps(YES)
    assert served.post(raw, content_type="text/plain").status_code == 200
    packed = gzip.compress(raw)
    assert served.post(packed, content_encoding="gzip").json()["results"]
    assert served.post(zlib.compress(raw), content_encoding="deflate").json()["results"]
    for body, encoding, status, message in (
        (packed[:-9], "gzip", 400, "body: not gzip: it ends too early"),
        (raw, "gzip", 400, "body: not gzip: "),
        (raw, "br", 400, "content-encoding: expected gzip, deflate or none, found 'br'"),
        (gzip.compress(bytes(MAX_BODY + 1)), "gzip", 413, "body: expected at most 16 MiB"),
    ):
        reply = served.post(body, content_encoding=encoding)
        assert (reply.status_code, reply.json()["detail"][: len(message)]) == (status, message)


def test_all_members_of_a_packed_body_are_read(served: Served) -> None:
    raw = orjson.dumps(
        YES | {"more": random.Random(0).randbytes(2**17).hex()}
    )  # longer than a part
    members = [gzip.compress(raw[:50]), gzip.compress(b""), gzip.compress(raw[50:])]
    packed = b"".join(members)
    for padding in (b"", bytes(512), b"\r\n", bytes(2**17) + b"more"):
        assert len(served.post(packed + padding, content_encoding="gzip").json()["results"]) == 3
    reply = served.post(zlib.compress(orjson.dumps(YES)) + b"\n", content_encoding="deflate")
    assert len(reply.json()["results"]) == 3
    for body, status, message in (
        (packed[:-9], 400, "body: not gzip: it ends too early"),
        (gzip.compress(bytes(MAX_BODY // 2)) * 2 + packed, 413, "body: expected at most 16 MiB"),
        (packed + gzip.compress(b"") * MAX_MEMBERS, 413, "body: expected at most 1,000 members"),
    ):
        reply = served.post(body, content_encoding="gzip")
        assert (reply.status_code, reply.json()["detail"][: len(message)]) == (status, message)


def test_a_line_of_the_log_is_one_line(served: Served) -> None:
    served.lines.clear()
    assert served.client.get("/a%0A200 POST /").status_code == 404
    (line,) = served.lines
    assert "\n" not in line


def test_monitors_and_pages_ask_with_other_methods() -> None:
    with Served("secret") as served:
        for path in ("/health", "/ready", "/"):
            assert served.client.head(path).status_code == 200
        asked = {"origin": "https://page.example", "access-control-request-method": "POST"}
        allowed = served.client.options("/v1/rerank", headers=asked)
        assert allowed.status_code == 200, "browsers send no key there"
        refused = served.post(YES, origin="https://page.example")
        assert refused.status_code == 401
        assert refused.headers["access-control-allow-origin"] == "https://page.example"


def test_an_emoji_that_was_cut_in_two_is_replaced(served: Served) -> None:
    raw = rb'{"query": "river", "documents": ["a river \ud83d", "\ud83d\ude00"]}'
    texts = [one["document"]["text"] for one in served.post(raw).json()["results"]]
    assert texts == ["a river \ufffd", "\U0001f600"]
