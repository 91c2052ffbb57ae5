"""The process of a server: the model loads behind it, signals drain it."""

import asyncio
import contextlib
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from types import FrameType

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from prism_cli.errors import UsageError
from prism_cli.serving.model_queue import CLOSE_SECONDS
from prism_cli.serving.process_end import end_process
from prism_cli.serving.ranker import Ranker
from prism_cli.serving.service import Service

BACKLOG = 2048
MAX_HEAD = 256 * 1024
"""Bytes of a request's headers."""
THREADS = 32
"""Threads that tokenize documents and compare texts with them."""
Life = Callable[[object], contextlib.AbstractAsyncContextManager[None]]


def listening_socket(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        UsageError: the address is taken, or not of this machine.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise UsageError(
            f"--host {host} --port {port}: {error.strerror or error}; choose another port with "
            "--port, 0 for a free one"
        ) from None


def address(listening: socket.socket) -> str:
    """Return the URL of a listening socket."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class LimitedHttp(HttpToolsProtocol):
    """HTTP whose requests have at most MAX_HEAD bytes of headers, about; uvicorn sets no limit."""

    _head_bytes: int | None = None

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._head_bytes = None

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._head_bytes is not None:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD:
                self.send_400_response("expected headers of at most 256 KiB, found more")


class Server(uvicorn.Server):
    """A server whose first signal drains it, and whose second stops it at once."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle SIGINT and SIGTERM while the server runs."""
        handled = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in handled}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Drain at the first signal; stop at once at the second, or while the model loads."""
        if self._service.loading:
            end_process(0)  # the thread that loads it cannot be interrupted otherwise
        if self.should_exit:
            end_process(128 + sig)  # a pass of the model cannot be interrupted otherwise
        self._service.drain()
        self.should_exit = True
        # Python waits for its threads without end: that of a large document may take minutes.
        seconds = (self.config.timeout_graceful_shutdown or 0) + CLOSE_SECONDS + 1
        last = threading.Timer(seconds, end_process, (0,))
        last.daemon = True
        last.start()


def lifespan(
    service: Service,
    load: Callable[[], Ranker],
    on_failure: Callable[[], None] = lambda: None,
    beside: contextlib.AbstractAsyncContextManager[None] | None = None,
) -> Life:
    """Return the application's life: the model loads behind the server, and its thread ends with
    it.

    Args:
        on_failure: called if the model cannot be loaded, or fails for good.
        beside: entered and left with the application.
    """

    @asynccontextmanager
    async def life(_app: object) -> AsyncIterator[None]:
        async def loading() -> None:
            await service.load(load)
            await service.wait_for_failure()
            on_failure()

        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS))
        task = asyncio.create_task(loading())
        try:
            async with beside or contextlib.nullcontext():
                yield
        finally:
            task.cancel()
            await service.close()

    return life


def run_server(
    app_of: Callable[[Life], ASGIApp],
    service: Service,
    listening: socket.socket,
    load: Callable[[], Ranker],
    grace: float,
    beside: contextlib.AbstractAsyncContextManager[None] | None = None,
) -> None:
    """Serve until a signal.

    Args:
        app_of: makes the application from its life.

    Raises:
        PrismError: the model could not be loaded, or failed for good.
    """

    def stop() -> None:
        server.should_exit = True

    life = lifespan(service, load, stop, beside)
    config = uvicorn.Config(
        app_of(life),
        http=LimitedHttp,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=max(1, round(grace)),
        server_header=False,
    )
    server = Server(config, service)
    server.run(sockets=[listening])
    if service.failure is not None:
        raise service.failure
