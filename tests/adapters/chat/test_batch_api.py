"""Batches at a provider: created once, and found by their mark in a list of any length."""

import asyncio
from io import BytesIO

import pytest

from prism_cli.adapters.chat import batch_api
from prism_cli.adapters.chat.batch_api import BatchApi
from prism_cli.adapters.providers.client import ProviderClient
from prism_cli.configs.providers import Provider
from tests.servers.fault_server import FaultServer

LINE = b'{"custom_id": "%d", "method": "POST", "url": "/v1/chat/completions", "body": {}}\n'


def test_a_batch_is_found_by_its_mark_on_any_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_api, "_PAGE", 2)

    async def made_and_sought(base_url: str) -> tuple[list[str], list[str | None]]:
        provider = Provider.model_validate({"api": "openai", "base_url": f"{base_url}/v1"})
        client = ProviderClient("lab", provider)
        endpoint = BatchApi(client)
        files, batches = ["none"], []
        for number in range(5):
            file = await endpoint.upload(BytesIO(LINE % number), f"{number}.jsonl")
            files.append(file)
            batches.append(await endpoint.create(file, f"mark {number}"))
        sought = [await endpoint.find(f"mark {number}", "none") for number in range(6)]
        sought += [await endpoint.find("another mark", file) for file in files]
        await client.close()
        return batches, sought

    with FaultServer() as server:
        batches, sought = asyncio.run(made_and_sought(server.base_url))
    assert len(set(batches)) == 5
    assert sought == [*batches, None, None, *batches]
