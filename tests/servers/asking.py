"""Requests for tests of the fault server."""

from typing import Any

import httpx2

from tests.servers.fault_server import FaultServer

KEY = "sk-planted-0123456789"


RERANK = {"model": "r", "query": "capital of France", "documents": ["Paris", "Berlin", "Rome"]}


def question(text: str = "is it?", model: str = "m", **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}], **more}


def ask(client: httpx2.Client, server: FaultServer | str, **options: Any) -> httpx2.Response:
    base = server if isinstance(server, str) else server.base_url
    return client.post(f"{base}/v1/chat/completions", json=question(**options))


def said(response: httpx2.Response) -> Any:
    return response.json()["choices"][0]["message"]["content"]
