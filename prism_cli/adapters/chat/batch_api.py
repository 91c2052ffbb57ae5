"""Client of OpenAI's Files and Batches APIs at one provider."""

import asyncio
import io
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any, BinaryIO, TypeVar
from urllib.parse import quote

import httpx2
import orjson

from prism_cli.adapters.providers.client import LostCalls, ProviderClient
from prism_cli.adapters.providers.replies import (
    RetryableError,
    count_at,
    error_message,
    loads,
    parse_bytes,
    parse_json,
    shown,
)
from prism_cli.batch_ports import BatchState
from prism_cli.errors import RefusalError

Value = TypeVar("Value")

_FILE_SECONDS = 1800.0
"""Timeout of one attempt to upload or download a file of up to 200 MB."""
_PAGE = 100
_LOOK_SECONDS = 1.0
_MARK = "prism"
_ENDED = ("completed", "failed", "expired", "cancelled")


class BatchApi:
    """A BatchEndpoint. Retries never create a second batch."""

    endpoint = "/v1/chat/completions"

    def __init__(self, client: ProviderClient) -> None:
        self._client = client
        self.name = client.name

    async def upload(self, file: BinaryIO, name: str) -> str:
        """Upload a file and return its id. Raises as `ProviderClient.ask`."""

        async def send() -> httpx2.Response:
            file.seek(0)
            return await self._client.request(
                "POST",
                "files",
                seconds=_FILE_SECONDS,
                data={"purpose": "batch"},
                files={"file": (name, file, "application/jsonl")},
            )

        return await self._ask(send, _id_of, seconds=_FILE_SECONDS)

    async def create(self, file: str, mark: str, settle_seconds: float) -> str:
        """Create the one batch of a file and return its id. Raises as `find`.

        Args:
            settle_seconds: time after which a batch must show in the list.
        """
        sent_at: float | None = None

        async def read_page(after: str | None) -> dict[str, Any]:
            return _check_page(parse_json(await self._page(after)))

        async def send() -> httpx2.Response:
            nonlocal sent_at
            while sent_at is not None:  # the call may have succeeded although its reply was lost
                if batch := await self._search(mark, file, read_page):
                    return httpx2.Response(200, json={"id": batch})
                if time.monotonic() - sent_at > settle_seconds:
                    break
                await asyncio.sleep(_LOOK_SECONDS)
            order = {
                "input_file_id": file,
                "endpoint": self.endpoint,
                "completion_window": "24h",
                "metadata": {_MARK: mark},
            }
            try:
                reply = await self._client.post("batches", order)
            finally:
                sent_at = time.monotonic()
            if reply.status_code == 429:
                sent_at = None  # it was not accepted
            return reply

        return await self._ask(send, _id_of)

    async def find(self, mark: str, file: str) -> str | None:
        """Return the id of the newest batch that carries `mark` or is of the input file `file`, as
        some providers drop the metadata.

        Raises: as `ProviderClient.ask`; RefusalError also where the server repeats a page.
        """
        return await self._search(
            mark, file, lambda after: self._ask(partial(self._page, after), _check_page)
        )

    async def _search(
        self, mark: str, file: str, read_page: Callable[[str | None], Awaitable[dict[str, Any]]]
    ) -> str | None:
        after: str | None = None
        while True:
            page = await read_page(after)
            batch = _find(page["data"], mark, file)
            if batch or not page.get("has_more") or not page["data"]:
                return batch
            before, after = after, _id_of(page["data"][-1])
            if after == before:  # the batch may be on a page that cannot be asked for
                raise RefusalError(
                    f"{self.name}: its list of batches gives the same page again and again, so it "
                    "is unknown whether a batch was created, and nothing is sent twice. Remove old "
                    "batches there; or --accept-lost-replies gives up one that is not found, and "
                    "its questions are asked, and perhaps paid for, again"
                )

    async def look(self, batch: str) -> BatchState | None:
        """Return the state of a batch; None if it is unknown. Raises as `ProviderClient.ask`."""

        send = partial(self._client.request, "GET", f"batches/{quote(batch, safe='')}")
        return await self._ask(send, _state_of, parse=_unless_unknown(parse_json))

    async def fetch(self, file: str) -> list[tuple[bytes, int, bytes]] | None:
        """Return the replies in a file; None if it is unknown. Raises as `ProviderClient.ask`."""
        path = f"files/{quote(file, safe='')}/content"
        send = partial(self._client.request, "GET", path, seconds=_FILE_SECONDS)
        parse = _unless_unknown(parse_bytes)
        content = await self._ask(send, lambda body: body, parse=parse, seconds=_FILE_SECONDS)
        return None if content is None else list(_replies(content))

    async def _page(self, after: str | None) -> httpx2.Response:
        params = {"limit": _PAGE} | ({} if after is None else {"after": after})
        return await self._client.request("GET", "batches", params=params)

    async def _ask(
        self,
        send: Callable[[], Awaitable[httpx2.Response]],
        read: Callable[[Any], Value],
        *,
        parse: Callable[[httpx2.Response], Any] = parse_json,
        seconds: float | None = None,
    ) -> Value:
        return await self._client.ask(
            send, read, lambda: 0, LostCalls(), parse=parse, seconds=seconds
        )


def _id_of(body: Any) -> str:
    """Return the `id` of an object; raise RetryableError if it has none."""
    name = body.get("id") if isinstance(body, dict) else None
    if not isinstance(name, str) or not name:
        raise RetryableError("200 without an id")
    return name


def _check_page(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict) or not isinstance(body.get("data"), list):
        raise RetryableError("200 without a list of batches")
    return body


def _unless_unknown(parse: Callable[[httpx2.Response], Any]) -> Callable[[httpx2.Response], Any]:
    """Return a parser that returns None for status 404."""
    return lambda response: None if response.status_code == 404 else parse(response)


def _find(batches: list[Any], mark: str, file: str) -> str | None:
    """Return the id of the batch that carries `mark` or is of the input file `file`."""
    for batch in batches:
        metadata = batch.get("metadata") if isinstance(batch, dict) else None
        if isinstance(metadata, dict) and metadata.get(_MARK) == mark:
            return _id_of(batch)
        if file and isinstance(batch, dict) and batch.get("input_file_id") == file:
            return _id_of(batch)
    return None


def _state_of(batch: Any) -> BatchState | None:
    if batch is None:
        return None
    if not isinstance(batch, dict) or not isinstance(batch.get("status"), str):
        raise RetryableError("200 without a status")
    counts = (count_at(batch, "request_counts", name) for name in ("completed", "failed", "total"))
    completed, failed, total = counts
    files = (batch.get("output_file_id"), batch.get("error_file_id"))
    errors = batch.get("errors")
    errors = errors.get("data") if isinstance(errors, dict) else None
    messages = [
        error["message"]
        for error in (errors if isinstance(errors, list) else ())
        if isinstance(error, dict) and error.get("message")
    ]
    return BatchState(
        batch["status"] in _ENDED,
        batch["status"],
        ": ".join([batch["status"], *map(shown, messages[:1])]),
        completed,
        failed,
        total or 0,
        tuple(file for file in files if isinstance(file, str) and file),
    )


def _replies(content: bytes) -> Iterator[tuple[bytes, int, bytes]]:
    """Yield (key, status, body) of each valid line of an output or error file."""
    for raw in io.BytesIO(content):
        try:
            line = loads(raw)
            key = bytes.fromhex(line["custom_id"])
        except (ValueError, KeyError, TypeError):
            continue
        response, error = line.get("response"), line.get("error")
        status = response.get("status_code") if isinstance(response, dict) else None
        if isinstance(status, int) and 100 <= status < 600:
            try:
                body = orjson.dumps(response.get("body"))
            except orjson.JSONEncodeError:
                status, body = 0, b"a reply that is nested too deeply"
            yield key, status, body
        elif isinstance(error, dict):
            yield key, 0, error_message(error).encode()
