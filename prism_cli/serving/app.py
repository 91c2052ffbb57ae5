"""The HTTP server: rerank requests of every dialect, health, and figures."""

import asyncio
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import orjson
from fastapi import FastAPI
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from prism_cli.errors import PrismError, RowError
from prism_cli.reporting.colours import stylesheet
from prism_cli.serving.http_requests import (
    RERANK_PATHS,
    read_body,
    request_id_of,
    served_path,
    timeout_of,
)
from prism_cli.serving.keys import ApiKeys
from prism_cli.serving.messages import (
    EVIDENCE_SUFFIX,
    MAX_DOCUMENTS,
    RerankBody,
    RerankCall,
    read_call,
    read_json,
)
from prism_cli.serving.metrics import CONTENT_TYPE, Metrics
from prism_cli.serving.page import page
from prism_cli.serving.replies import RETRY_LOADING, error_body, log_figures, reply_body, status_of
from prism_cli.serving.service import Service, SlowBodyError, UnavailableError
from prism_cli.serving.stream import events

OPEN_PATHS = ("/", "/health", "/ready", "/metrics")
"""Paths that need no key."""
CHALLENGE = {"www-authenticate": "Bearer"}


@dataclass(frozen=True)
class ServerInfo:
    """The description of a server.

    Attributes:
        model: its name.
        defaults: values of keys that a body has not.
        cors: origins whose pages may call.
    """

    model: str
    version: str
    defaults: Mapping[str, Any] = field(default_factory=dict)
    cors: tuple[str, ...] = ()


class ClientGoneError(Exception):
    """The client left before its reply."""


def create_app(
    service: Service,
    info: ServerInfo,
    keys: ApiKeys,
    log: Callable[[str], None],
    lifespan: Any = None,
    mounted: Mapping[str, ASGIApp] = MappingProxyType({}),
) -> ASGIApp:
    """Return the application.

    Args:
        mounted: path -> application that answers its requests, behind the same keys.
        log: gets one line a request, without texts and keys.
    """
    metrics = Metrics(service)
    app = FastAPI(title="prism", version=info.version, lifespan=lifespan)
    body = {"content": {"application/json": {"schema": RerankBody.model_json_schema()}}}

    async def rerank(request: Request) -> Response:
        return await _reranked(request, service, info)

    for path in RERANK_PATHS:
        app.post(path, openapi_extra={"requestBody": body}, response_model=None)(rerank)

    @app.get("/health")
    @app.head("/health", include_in_schema=False)
    async def health() -> JSONResponse:
        return JSONResponse({"status": "ok"})

    @app.get("/ready")
    @app.head("/ready", include_in_schema=False)
    async def ready() -> JSONResponse:
        if service.ready:
            return JSONResponse({"status": "ready"})
        return _error(503, "the model is not ready", {"retry-after": str(RETRY_LOADING)})

    @app.get("/info")
    async def about() -> JSONResponse:
        if service.max_tokens is None:
            return await ready()
        return JSONResponse(
            {
                "model_id": info.model,
                "model_type": {
                    "reranker": {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}
                },
                "max_input_length": service.max_tokens,
                "max_concurrent_requests": 1024,
                "max_client_batch_size": MAX_DOCUMENTS,
                "version": info.version,
            }
        )

    @app.get("/v1/models")
    @app.get("/models", include_in_schema=False)
    async def models() -> JSONResponse:
        names = (info.model, info.model + EVIDENCE_SUFFIX)
        more = {"object": "model", "created": 0, "owned_by": "prism"}
        return JSONResponse({"object": "list", "data": [{"id": name, **more} for name in names]})

    content, policy = page(info.model, stylesheet())

    @app.get("/", include_in_schema=False)
    @app.head("/", include_in_schema=False)
    async def show() -> Response:
        headers = {"content-security-policy": policy, "x-content-type-options": "nosniff"}
        return HTMLResponse(content, headers=headers)

    @app.get("/metrics")
    async def figures() -> Response:
        return Response(metrics.text(), media_type=CONTENT_TYPE)

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        message = str(error.detail)
        if error.status_code == 404:
            message = "no such path: rerank requests go to /v1/rerank; /docs lists all paths"
        elif error.status_code == 405:
            message = f"expected {(error.headers or {}).get('Allow')}, found {request.method}"
        return _error(error.status_code, message, error.headers)

    @app.exception_handler(Exception)
    async def internal_error(_: Request, error: Exception) -> JSONResponse:
        return _error(500, f"unexpected {type(error).__name__}; see the server's log")

    guarded = Guard(Mounted(app, mounted), keys, metrics, log)
    if not info.cors:
        return guarded
    # Outside of the guard: browsers send no key when they ask whether a page may call.
    return CORSMiddleware(
        guarded,
        allow_origins=list(info.cors),
        allow_methods=["*"],
        allow_headers=["*"],
        expose_headers=["retry-after", "x-request-id"],
    )


class Mounted:
    """Sends the requests of some paths to other applications."""

    def __init__(self, app: ASGIApp, mounted: Mapping[str, ASGIApp]) -> None:
        self._app, self._mounted = app, mounted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._mounted.get(scope.get("path", ""), self._app)
        await app(scope, receive, send)


class Guard:
    """ASGI middleware: keys, request ids, counts, and one line of log for each request.

    Pure ASGI, as middleware that wraps the request hides its disconnect from the handler.
    """

    def __init__(
        self, app: ASGIApp, keys: ApiKeys, metrics: Metrics, log: Callable[[str], None]
    ) -> None:
        self._app, self._keys, self._metrics, self._log = app, keys, metrics, log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        path, status = served_path(scope["path"]), 499
        scope["path"] = path
        headers = Headers(scope=scope)
        request_id = request_id_of(headers)
        scope["prism"] = figures = dict[str, int]()

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = request_id
            await send(message)

        try:
            if path not in OPEN_PATHS and not self._keys.allow(headers):
                found = "another" if self._keys.given(headers) else "none"
                told = f"expected a key of this server, found {found}"
                await _error(401, f"{told}; send `Authorization: Bearer KEY`", CHALLENGE)(
                    scope, receive, counted
                )
            else:
                await self._app(scope, receive, counted)
        except asyncio.CancelledError:  # the grace period has ended
            if status == 499:
                error = UnavailableError("the server is stopping")
                await _refusal(error)(scope, receive, counted)
        except Exception as error:  # the server's door; the reply was sent by `internal_error`
            traceback.print_exception(error)
        finally:
            if path not in OPEN_PATHS:
                seconds = time.perf_counter() - started
                self._metrics.count(status, seconds, ranks=path in RERANK_PATHS)
                shown = path.encode("unicode_escape").decode()  # it may have a line break
                more = "".join(f" {name}={value}" for name, value in figures.items())
                self._log(
                    f"{status} {scope['method']} {shown} {seconds * 1000:.0f} ms{more} "
                    f"id={request_id}"
                )


async def _reranked(request: Request, service: Service, info: ServerInfo) -> Response:
    tei = False
    if request.headers.get("sec-fetch-site") == "cross-site" and not (
        {request.headers.get("origin"), "*"} & set(info.cors)
    ):
        return _error(403, "a page of another site calls; allow its origin with --cors")
    try:
        value = read_json(await _body(request, service.deadline))
        tei = value.get("texts") is not None
        call = read_call(value, info.defaults)
        request.scope["prism"]["documents"] = len(call.documents)
        if call.body.stream:
            return await _streamed(request, service, info, call)
        work = service.rank(
            call.body.query, call.documents, call.options, timeout=timeout_of(request)
        )
        ranking, ticket = await _while_connected(request, work)
        request.scope["prism"] |= log_figures(ranking, ticket)
        returns = request.url.path != "/v2/rerank"
        reply = reply_body(call, ranking, ticket, info.model, returns_documents=returns)
        return Response(orjson.dumps(reply), media_type="application/json")
    except (PrismError, RowError) as error:
        return _refusal(error, tei=tei)
    except (ClientGoneError, ClientDisconnect):
        return Response(status_code=499)  # for the log and the counts


async def _body(request: Request, seconds: float) -> bytes:
    """Return the body.

    Raises:
        SlowBodyError: it did not arrive in time.
        TooLargeError, ArgumentError: as for `read_body`.
    """
    try:
        async with asyncio.timeout(seconds):
            return await read_body(request)
    except TimeoutError:
        raise SlowBodyError(
            f"body: expected all of it within {seconds:g} s, found less; send fewer documents"
        ) from None


async def _streamed(
    request: Request, service: Service, info: ServerInfo, call: RerankCall
) -> StreamingResponse:
    leaving = asyncio.create_task(_gone(request))
    parts = events(
        service, call, info.model, leaving, request.scope["prism"], timeout=timeout_of(request)
    )
    first = await anext(parts)  # an error before any event is a plain reply

    async def all_parts() -> Any:
        yield first
        async for part in parts:
            yield part

    return StreamingResponse(
        all_parts(),
        media_type="text/event-stream",
        headers={"cache-control": "no-store", "x-accel-buffering": "no"},
    )


async def _while_connected(request: Request, work: Awaitable[Any]) -> Any:
    """Return the result of `work`; give it up when the client leaves.

    Raises:
        ClientGoneError: it left.
    """
    running, leaving = asyncio.ensure_future(work), asyncio.create_task(_gone(request))
    try:
        await asyncio.wait({running, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            return running.result()
        raise ClientGoneError
    finally:
        running.cancel()
        leaving.cancel()


async def _gone(request: Request) -> None:
    """Wait until the client of a request that was read has left."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _refusal(error: Exception, *, tei: bool = False) -> JSONResponse:
    status, headers = status_of(error, tei=tei)
    return _error(status, str(error), headers, tei=tei)


def _error(
    status: int, message: str, headers: Mapping[str, str] | None = None, *, tei: bool = False
) -> JSONResponse:
    return JSONResponse(error_body(status, message, tei=tei), status, headers)
