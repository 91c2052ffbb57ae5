"""OpenAI's files and batches at one provider."""

from collections.abc import Awaitable, Callable
from typing import Any, BinaryIO, TypeVar
from urllib.parse import quote

import httpx2

from prism_cli.adapters.providers.client import LostCalls, ProviderClient
from prism_cli.adapters.providers.replies import AgainError, content_of, json_of
from prism_cli.ports import BatchState

Value = TypeVar("Value")

_FILE_SECONDS = 1800.0
"""For one attempt to send or fetch a file, which has up to 200 MB."""
_PAGE = 100
_MARK = "prism"
_ENDED = ("completed", "failed", "expired", "cancelled")


class BatchApi:
    """A BatchEndpoint. Nothing here is repeated that could make a second batch."""

    endpoint = "/v1/chat/completions"

    def __init__(self, client: ProviderClient) -> None:
        self._client = client
        self.name = client.name

    async def upload(self, file: BinaryIO, name: str) -> str:
        """The file's name at the provider. Raises as `ProviderClient.ask`."""

        async def send() -> httpx2.Response:
            file.seek(0)
            return await self._client.request(
                "POST",
                "files",
                seconds=_FILE_SECONDS,
                data={"purpose": "batch"},
                files={"file": (name, file, "application/jsonl")},
            )

        return await self._ask(send, _name_of, seconds=_FILE_SECONDS)

    async def create(self, file: str, mark: str) -> str:
        """The name of the one batch of that file. Raises as `ProviderClient.ask`."""
        sent = False

        async def send() -> httpx2.Response:
            nonlocal sent
            if sent:  # the call before may have come through although no answer did
                listed = await self._page(None)
                if listed.status_code != 200 or _marked(json_of(listed), mark):
                    return listed
            sent = True
            batch = {
                "input_file_id": file,
                "endpoint": self.endpoint,
                "completion_window": "24h",
                "metadata": {_MARK: mark},
            }
            return await self._client.post("batches", batch)

        return await self._ask(send, lambda found: _marked(found, mark) or _name_of(found))

    async def find(self, mark: str) -> str | None:
        """The name of the batch that carries `mark`, looked for from the newest on. Raises as
        `ProviderClient.ask`."""
        after: str | None = None
        while True:
            page: dict[str, Any] = await self._ask(_sender(self._page, after), _listing)
            name = _marked(page, mark)
            if name or not page.get("has_more") or not page["data"]:
                return name
            after = _name_of(page["data"][-1])

    async def look(self, batch: str) -> BatchState | None:
        """Where it stands. Raises as `ProviderClient.ask`."""

        async def send() -> httpx2.Response:
            return await self._client.request("GET", f"batches/{quote(batch, safe='')}")

        def parse(response: httpx2.Response) -> Any:
            return None if response.status_code == 404 else json_of(response)

        return await self._ask(send, _state_of, parse=parse)

    async def fetch(self, file: str) -> bytes:
        """A file's content. Raises as `ProviderClient.ask`."""

        async def send() -> httpx2.Response:
            path = f"files/{quote(file, safe='')}/content"
            return await self._client.request("GET", path, seconds=_FILE_SECONDS)

        return await self._ask(send, bytes, parse=content_of, seconds=_FILE_SECONDS)

    async def _page(self, after: str | None) -> httpx2.Response:
        params = {"limit": _PAGE} | ({} if after is None else {"after": after})
        return await self._client.request("GET", "batches", params=params)

    async def _ask(
        self,
        send: Callable[[], Awaitable[httpx2.Response]],
        read: Callable[[Any], Value],
        *,
        parse: Callable[[httpx2.Response], Any] = json_of,
        seconds: float | None = None,
    ) -> Value:
        return await self._client.ask(send, read, 0, LostCalls(), parse=parse, seconds=seconds)


def _sender(
    page: Callable[[str | None], Awaitable[httpx2.Response]], after: str | None
) -> Callable[[], Awaitable[httpx2.Response]]:
    return lambda: page(after)


def _name_of(found: Any) -> str:
    """Raises AgainError where there is none."""
    name = found.get("id") if isinstance(found, dict) else None
    if not isinstance(name, str) or not name:
        raise AgainError("200 without an id")
    return name


def _listing(found: Any) -> dict[str, Any]:
    if not isinstance(found, dict) or not isinstance(found.get("data"), list):
        raise AgainError("200 without a list of batches")
    return found


def _marked(found: Any, mark: str) -> str | None:
    """The name of the batch in a list that carries `mark`."""
    listed = found.get("data") if isinstance(found, dict) else None
    for one in listed if isinstance(listed, list) else ():
        metadata = one.get("metadata") if isinstance(one, dict) else None
        if isinstance(metadata, dict) and metadata.get(_MARK) == mark:
            return _name_of(one)
    return None


def _state_of(found: Any) -> BatchState | None:
    if found is None:
        return None
    if not isinstance(found, dict) or not isinstance(found.get("status"), str):
        raise AgainError("200 without a status")
    counts = found.get("request_counts")
    counts = counts if isinstance(counts, dict) else {}
    done, failed, total = (counts.get(name) or 0 for name in ("completed", "failed", "total"))
    files = (found.get("output_file_id"), found.get("error_file_id"))
    errors = found.get("errors")
    told = errors.get("data") if isinstance(errors, dict) else None
    words = [one["message"] for one in told or () if isinstance(one, dict) and one.get("message")]
    return BatchState(
        found["status"] in _ENDED,
        ": ".join([found["status"], *map(str, words[:1])]),
        done + failed,
        total,
        tuple(one for one in files if isinstance(one, str) and one),
    )
