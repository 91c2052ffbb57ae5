"""A real S3 server (moto's) on the loopback, and a proxy before it that fails as networks do."""

import http.client
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote, unquote, urlsplit

KEYS = {
    "AWS_ACCESS_KEY_ID": "key-of-the-test",
    "AWS_SECRET_ACCESS_KEY": "secret-of-the-test",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@contextmanager
def s3_server() -> Iterator[str]:
    """Yield the URL of an S3 server in a thread."""
    import logging

    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


_SIGNED = (
    "AWS4-HMAC-SHA256 Credential=k/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, "
    "Signature=x"
)
"""moto lets only signed requests read, and does not look at the signature."""


class Bucket:
    """A bucket of the server, past the proxy."""

    def __init__(self, endpoint: str) -> None:
        self._host = urlsplit(endpoint).netloc
        self.name = f"b{uuid.uuid4().hex[:12]}"
        self._request("PUT", "")

    def put(self, key: str, data: bytes) -> None:
        self._request("PUT", key, data)

    def put_many(self, keys: Iterable[str]) -> None:
        """Put objects without content, without a request for each."""
        from moto.core import DEFAULT_ACCOUNT_ID
        from moto.s3.models import s3_backends

        for key in keys:
            s3_backends[DEFAULT_ACCOUNT_ID]["aws"].put_object(self.name, key, b"")

    def make_older(self, key: str, seconds: float) -> None:
        """Set the time of an object's last change back."""
        from moto.core import DEFAULT_ACCOUNT_ID
        from moto.s3.models import s3_backends

        stored = s3_backends[DEFAULT_ACCOUNT_ID]["aws"].get_object(self.name, key)
        stored.last_modified -= timedelta(seconds=seconds)

    def get(self, key: str) -> bytes:
        return self._request("GET", key)

    def etag(self, key: str) -> str:
        from moto.core import DEFAULT_ACCOUNT_ID
        from moto.s3.models import s3_backends

        stored = s3_backends[DEFAULT_ACCOUNT_ID]["aws"].get_object(self.name, key)
        return str(stored.etag)

    def delete(self, key: str) -> None:
        self._request("DELETE", key)

    def names(self) -> list[str]:
        text = self._request("GET", "").decode()
        return [unquote(part.partition("</Key>")[0]) for part in text.split("<Key>")[1:]]

    def __getitem__(self, key: str) -> str:
        return f"s3://{self.name}/{key}"

    def _request(self, method: str, key: str, data: bytes = b"") -> bytes:
        connection = http.client.HTTPConnection(self._host, timeout=30)
        try:
            path = f"/{self.name}/{quote(key)}".rstrip("/")
            connection.request(method, path, data, {"Authorization": _SIGNED})
            reply = connection.getresponse()
            body = reply.read()
            assert reply.status in (200, 204), (method, key, reply.status, body)
            return body
        finally:
            connection.close()


@dataclass
class Fault:
    """What happens to the first `times` requests with this method whose path ends so.

    Attributes:
        kind: a status, with the store's word for it ("503", "403 AccessDenied"), which a reply to
            HEAD lacks; "silent": no reply for two seconds, then none; "cut download": half of the
            body, then the end; "slow": the body in pieces; "cut upload": half of the request is
            read; "lost reply": the request is done, and its reply lost; "dropped": it is not done.
        call: called when the request is read.
    """

    kind: str
    method: str = "GET"
    ending: str = ""
    times: int = 1
    call: Callable[[], Any] | None = None


@dataclass
class FaultyS3:
    """Proxy before an S3 server during a `with` block.

    Attributes:
        faults: not used up yet.
        seen: (method, path) of all requests.
    """

    upstream: str
    faults: list[Fault] = field(default_factory=list)
    seen: list[tuple[str, str]] = field(default_factory=list)
    url: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> "FaultyS3":
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except ConnectionError:
                    self.close_connection = True

            def log_message(self, *_: object) -> None:
                pass

            def _serve(self) -> None:
                proxy.serve(self)

            do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _serve

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def requests(self, method: str, ending: str) -> int:
        """Return the number of such requests so far."""
        return sum(way == method and path.endswith(ending) for way, path in self.seen)

    def _fault(self, method: str, path: str) -> Fault:
        with self._lock:
            self.seen.append((method, path))
            for fault in self.faults:
                if fault.times and fault.method == method and path.endswith(fault.ending):
                    fault.times -= 1
                    return fault
        return Fault("")

    def _refuse(self, request: BaseHTTPRequestHandler, status: str, code: str = "") -> None:
        text = f"<Error><Code>{code}</Code><Message>words</Message></Error>" if code else ""
        body = b"" if request.command == "HEAD" else text.encode()
        request.send_response(int(status))
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def serve(self, request: BaseHTTPRequestHandler) -> None:
        """Pass one request on, or fail."""
        fault = self._fault(request.command, unquote(urlsplit(request.path).path))
        size = int(request.headers.get("Content-Length") or 0)
        if fault.kind == "cut upload":
            request.rfile.read(size // 2)
            request.close_connection = True
            return
        body = request.rfile.read(size)
        if fault.call:
            fault.call()
        if fault.kind[:3].isdigit():
            self._refuse(request, *fault.kind.split())
            return
        if fault.kind in ("dropped", "silent"):
            time.sleep(2 * (fault.kind == "silent"))
            request.close_connection = True
            return
        connection = http.client.HTTPConnection(urlsplit(self.upstream).netloc, timeout=30)
        try:
            connection.request(request.command, request.path, body, dict(request.headers.items()))
            reply = connection.getresponse()
            data = reply.read()
        finally:
            connection.close()
        if fault.kind == "lost reply":
            request.close_connection = True
            return
        request.send_response(reply.status)
        for name, value in reply.getheaders():
            if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                request.send_header(name, value)
        length = reply.getheader("Content-Length") if request.command == "HEAD" else len(data)
        request.send_header("Content-Length", str(length or 0))
        request.end_headers()
        if request.command == "HEAD":
            return
        if fault.kind == "cut download":
            data = data[: len(data) // 2]
            request.close_connection = True
        if fault.kind == "slow":
            for start in range(0, len(data), len(data) // 4 + 1):
                request.wfile.write(data[start : start + len(data) // 4 + 1])
                time.sleep(0.05)
            return
        request.wfile.write(data)
