"""A loopback server with the paid APIs that fails as real servers do.

    with FaultServer(faults=[Fault("429", calls=(1,), retry_after="2")]) as server:
        ...  # server.base_url, then server.calls

    python -m tests.servers.fault_server --port 0 --log calls.jsonl --script faults.toml

Any prefix of an API's path is accepted and names the provider: `{base_url}/deepseek/v1` and
`{base_url}/voyage/v1` are two providers on one server. The dialect of rerankers is taken from that
prefix (voyage, cohere, jina, vllm, tei), from the path (/v2/rerank is Cohere's), from the request
(`texts` is TEI's), else from the `rerank` option; /search is Exa's or Tavily's in the same way.
"""

import argparse
import asyncio
import json
import re
import signal
import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from tests.servers import retrieval_replies as retrieval
from tests.servers.batches import Batches
from tests.servers.calls import Call, CallLog, auth_digest, digest
from tests.servers.faults import STATUSES, Fault, Rules, Throttle, error_payload, error_reply, spoil
from tests.servers.replies import (
    Answers,
    BadRequestError,
    Body,
    chat,
    decisions,
    systemone,
    text_of,
)
from tests.servers.script import Settings, read_script
from tests.servers.wire import SENDERS, Connection, Reply, Request, read_request

KINDS = {
    "/chat/completions": "chat",
    "/decisions": "decisions",
    "/systemone": "systemone",
    "/rerank": "rerank",
    "/search": "search",
    "/contents": "contents",
    "/models": "models",
}


class FaultServer:
    """Server in a separate thread during the `with` block.

    Attributes:
        base_url: such as http://127.0.0.1:40001, without a path.
        calls: all requests so far, in order of arrival.
    """

    def __init__(
        self,
        faults: Iterable[Fault] = (),
        answers: Answers | None = None,
        settings: Settings | None = None,
        *,
        port: int = 0,
        log: Path | None = None,
        keep_texts: bool = True,
    ) -> None:
        self._settings = settings or Settings()
        self._answers = answers or Answers()
        self._log = CallLog(log, keep_texts)
        self._batches = Batches(self._settings.batch, self._settings.seed, self._batch_line)
        self._tag = re.compile(self._settings.tag)
        self._throttle = Throttle(self._settings.requests_per_window, self._settings.window)
        self._running = 0
        self._port = port
        self._started = threading.Event()
        self._failures: list[BaseException] = []
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self.set_faults(*faults)

    def set_faults(self, *faults: Fault) -> None:
        """Replace the faults and reset their counters."""
        self._rules = Rules(faults, self._settings.seed)

    @property
    def base_url(self) -> str:
        """URL of the server."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def calls(self) -> list[Call]:
        """All requests so far."""
        return self._log.calls

    @property
    def max_concurrent(self) -> int:
        """Maximum number of requests in progress at once."""
        return max((call.concurrent for call in self.calls), default=0)

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.wait()
        if self._failures:
            raise self._failures[0]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        if self._failures and error is None:
            raise self._failures[0]

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._connections: set[asyncio.Task[Any]] = set()
        try:
            server = await asyncio.start_server(
                self._connection, "127.0.0.1", self._port, backlog=1024
            )
        except OSError as error:
            self._failures.append(error)
            self._started.set()
            return
        self._port = server.sockets[0].getsockname()[1]
        self._started.set()
        await self._stop.wait()
        server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        self._log.close()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._connections.add(task)
        task.add_done_callback(self._left)
        # `drain` then waits until the kernel has it all.
        writer.transport.set_write_buffer_limits(0)
        connection = Connection(reader, writer)
        try:
            while (request := await read_request(reader)) and await self._one(connection, request):
                pass
        except (ConnectionError, asyncio.CancelledError):
            pass  # the client, or the server, is gone
        finally:
            writer.close()
            with suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()

    def _left(self, task: asyncio.Task[Any]) -> None:
        """Handle the end of a connection; bugs and inapplicable faults are raised at exit."""
        self._connections.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._failures.append(error)

    async def _one(self, connection: Connection, request: Request) -> bool:
        """Answer one request; return whether the connection stays open."""
        path = urlsplit(request.path).path
        kind = next((KINDS[end] for end in KINDS if path.endswith(end)), "")
        kind = kind or next((k for k in ("files", "batches") if f"/{k}" in path), "unknown")
        dialect = self._dialect(kind, path, request)
        body, text = self._read(kind, request)
        auth = request.headers.get("authorization") or request.headers.get("x-api-key", "")
        key = auth.removeprefix("Bearer ")
        call = self._called(kind, path, body, text, request.body, auth)
        reply = self._limited(call, dialect)
        fault = None if reply else self._rules.pick(call, text, key)
        call.fault = "429" if reply else fault.name if fault else ""
        self._running += 1
        call.concurrent = self._running
        self._log.asked(call)
        try:
            if fault and fault.name in STATUSES:
                reply = error_reply(fault, dialect, key)
            elif reply is None:
                reply = self._good(kind, dialect, path, request, body)
                if fault and reply.status == 200 and fault.name not in (*SENDERS, "delay"):
                    reply = spoil(fault, reply)
            pause = self._settings.delay
            if fault and fault.name == "delay":
                pause += fault.pause()
            if pause:
                await asyncio.sleep(pause)
            sender = SENDERS.get(call.fault, SENDERS["whole"])
            call.status = reply.status
            call.input_tokens, call.output_tokens = reply.usage
            try:
                goes_on = await sender(connection, reply, fault.pause() if fault else 0.0)
                call.sent = True
            finally:
                self._log.ended(call)
            return goes_on and not request.leaves
        finally:
            self._running -= 1

    def _dialect(self, kind: str, path: str, request: Request) -> str:
        prefix = path.split("/", 2)[1]
        if kind == "rerank":
            if prefix in retrieval.RERANKERS:
                return prefix
            if path.endswith("/v2/rerank"):
                return "cohere"
            return "tei" if b'"texts"' in request.body else self._settings.rerank
        if kind == "search":
            return prefix if prefix in retrieval.SEARCHERS else self._settings.search
        return "exa" if kind == "contents" else ""

    def _read(self, kind: str, request: Request) -> tuple[Body, str]:
        """Return the request's JSON object ({} if there is none) and its text."""
        if request.headers.get("content-type", "").startswith("application/json"):
            try:
                body = json.loads(request.body)
                return body, text_of(kind, body)
            except (ValueError, AttributeError, TypeError):
                pass  # `_good` refuses it
        return {}, request.body.decode("utf-8", "replace")

    def _called(self, kind: str, path: str, body: Body, text: str, raw: bytes, auth: str) -> Call:
        match = self._tag.search(text) if self._settings.tag else None
        return Call(
            kind=kind,
            path=path,
            model=str(body.get("model", "")),
            messages=digest(text),
            request=digest(raw),
            auth=auth_digest(auth),
            tag=match[0] if match else "",
            text=text,
        )

    def _limited(self, call: Call, dialect: str) -> Reply | None:
        """Return a 429 if the key exceeds the rate limit of this model."""
        seconds = self._throttle.wait(call.auth, call.model, self._loop.time())
        return error_reply(Fault("429", retry_after=str(seconds)), dialect, "") if seconds else None

    def _good(self, kind: str, dialect: str, path: str, request: Request, body: Body) -> Reply:
        """Return the reply of a healthy API."""
        try:
            if kind == "models":
                data = [{"id": name, "object": "model"} for name in self._settings.models]
                return Reply({"object": "list", "data": data})
            if kind in ("files", "batches"):
                response = self._batches.handle(
                    request.method, request.path, request.headers, request.body
                )
                if response:
                    return response
            if kind in ("unknown", "files", "batches"):
                raise BadRequestError(f"Unknown request URL: {request.method} {path}.", 404)
            if not body:
                raise BadRequestError("We could not parse the JSON body of your request.")
            return self._answer(kind, dialect, body)
        except BadRequestError as error:
            code = STATUSES.get(str(error.status), "invalid_request_error")
            payload = error_payload(dialect, error.status, code, str(error))
            return Reply(payload, error.status)

    def _answer(self, kind: str, dialect: str, body: Body) -> Reply:
        model = body.get("model", "")
        if self._settings.models and model and model not in self._settings.models:
            raise BadRequestError(f"The model '{model}' does not exist.", 404)
        if kind == "rerank":
            return retrieval.rerank(dialect, body, self._answers)
        if kind == "search":
            return retrieval.search(dialect, body, self._answers)
        by_kind = {
            "chat": chat,
            "decisions": decisions,
            "systemone": systemone,
            "contents": retrieval.contents,
        }
        return by_kind[kind](body, self._answers)

    def _batch_line(self, body: Body) -> Reply:
        """Answer and log one line of a batch file."""
        text = text_of("chat", body)
        call = self._called("batch_line", "", body, text, json.dumps(body).encode(), "")
        self._log.asked(call)
        reply = self._answer("chat", "", body)
        call.status, call.sent = reply.status, True
        call.input_tokens, call.output_tokens = reply.usage
        self._log.ended(call)
        return reply


async def _until_signalled() -> None:
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    await stop.wait()


def main() -> None:
    """Run the server as a script: print its base_url once it listens, and end on SIGTERM."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--port", type=int, default=0)
    options.add_argument("--log", type=Path)
    options.add_argument("--script", type=Path)
    options.add_argument("--delay", type=float, help="seconds before each reply")
    options_given = options.parse_args()
    faults, answers, settings = read_script(options_given.script)
    if options_given.delay is not None:
        settings = replace(settings, delay=options_given.delay)
    with FaultServer(
        faults, answers, settings, port=options_given.port, log=options_given.log, keep_texts=False
    ) as server:
        print(server.base_url, flush=True)
        asyncio.run(_until_signalled())


if __name__ == "__main__":
    main()
