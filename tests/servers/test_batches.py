"""Batch files: shuffled, with errors, expired, failed, cancelled."""

import json
from collections import Counter
from typing import Any

import httpx2

from tests.servers.asking import question
from tests.servers.batches import BatchPlan
from tests.servers.fault_server import FaultServer
from tests.servers.replies import hashed
from tests.servers.script import Settings


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
    batch: dict[str, Any] = client.post(f"{base}/batches", json=order).json()
    return batch


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
        batch = submit(client, base, batch_file(*(f"text {n}" for n in range(8))))
        polled = [client.get(f"{base}/batches/{batch['id']}").json() for _ in range(3)]
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
        batch = submit(client, base, batch_file("a", "b", "c"))
        expired = client.get(f"{base}/batches/{batch['id']}").json()
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
