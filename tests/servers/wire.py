"""Low-level HTTP/1.1: reading requests, and sending replies as bad servers do."""

import asyncio
import gzip
import json
import socket
import struct
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

JSON_TYPE = "application/json"


@dataclass(frozen=True, slots=True)
class Request:
    """Complete request.

    Attributes:
        headers: names in lower case.
        leaves: whether the client closes the connection after the reply.
    """

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    leaves: bool


@dataclass(slots=True)
class Reply:
    """Intended reply; `payload` is any JSON value, or raw bytes.

    Attributes:
        usage: billed input and output tokens.
    """

    payload: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    usage: tuple[int, int] = (0, 0)

    def body(self) -> bytes:
        """Return the bytes of the payload."""
        if isinstance(self.payload, bytes):
            return self.payload
        return json.dumps(self.payload, ensure_ascii=False).encode("utf-8", "surrogatepass")


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    """Return the next request of a connection; None if the client has disconnected.

    Raises:
        ConnectionError: not HTTP, a head of more than 64 KiB, or a body without Content-Length.
    """
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    except asyncio.LimitOverrunError as error:
        raise ConnectionAbortedError("the head is too long") from error
    first, *lines = head[:-4].decode("latin-1").split("\r\n")
    method, _, path = first.removesuffix(" HTTP/1.1").partition(" ")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    if not first.endswith(" HTTP/1.1") or "transfer-encoding" in headers:
        raise ConnectionAbortedError("send HTTP/1.1 with a Content-Length")
    try:
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    except asyncio.IncompleteReadError:
        return None
    return Request(method, path, headers, body, headers.get("connection", "").lower() == "close")


_PHRASES = {status.value: status.phrase for status in HTTPStatus} | {529: "Overloaded"}


def head_of(reply: Reply, length: int | None, **added: str) -> bytes:
    """Return status line and headers; without Content-Length if `length` is None."""
    headers = {"Content-Type": JSON_TYPE, **reply.headers}
    if length is not None:
        headers["Content-Length"] = str(length)
    headers |= {name.replace("_", "-").title(): value for name, value in added.items()}
    lines = [f"HTTP/1.1 {reply.status} {_PHRASES[reply.status]}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


@dataclass(slots=True)
class Connection:
    """Server side of a connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def abandoned(self) -> bool:
        """Whether the client has closed its end."""
        return self.reader.at_eof() or self.writer.is_closing()

    async def send(self, data: bytes) -> None:
        """Send all bytes to the kernel."""
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """End with RST instead of FIN."""
        raw = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def wait_until_left(self, seconds: float) -> None:
        """Discard input until the client disconnects or `seconds` have passed."""
        try:
            async with asyncio.timeout(seconds):
                while await self.reader.read(1 << 16):
                    pass
        except TimeoutError:
            pass


async def whole(connection: Connection, reply: Reply, seconds: float) -> bool:
    """Send a correct reply. Each sender returns whether the connection stays open."""
    body = reply.body()
    if connection.abandoned():
        raise ConnectionResetError("the client has left")
    await connection.send(head_of(reply, len(body)) + body)
    return True


async def closes_after_reply(connection: Connection, reply: Reply, seconds: float) -> bool:
    """Send a complete reply with keep-alive, then close the connection."""
    await whole(connection, reply, 0)
    return False


async def slow_drip(connection: Connection, reply: Reply, seconds: float) -> bool:
    """Send the head at once, then one byte every `seconds`."""
    body = reply.body()
    await connection.send(head_of(reply, len(body)))
    for byte in body:
        await asyncio.sleep(seconds)
        if connection.abandoned():
            raise ConnectionResetError("the client has left")
        await connection.send(bytes([byte]))
    return True


async def no_answer(connection: Connection, reply: Reply, seconds: float) -> bool:
    """Send nothing until the client disconnects (or `seconds` have passed)."""
    await connection.wait_until_left(seconds)
    raise ConnectionResetError("never answered")


async def reset_before(connection: Connection, reply: Reply, seconds: float) -> bool:
    """Send RST before any byte."""
    connection.reset()
    raise ConnectionResetError("on purpose")


async def reset_after_headers(connection: Connection, reply: Reply, seconds: float) -> bool:
    """Send the head, then RST."""
    await connection.send(head_of(reply, len(reply.body())))
    await asyncio.sleep(seconds)  # a slow reader would lose the head to the RST
    connection.reset()
    raise ConnectionResetError("on purpose")


async def half_closed(connection: Connection, reply: Reply, seconds: float) -> bool:
    """Send FIN before any byte; the other direction stays open for reading."""
    connection.writer.write_eof()
    await connection.wait_until_left(seconds)
    raise ConnectionResetError("on purpose")


async def length_too_long(connection: Connection, reply: Reply, seconds: float) -> bool:
    """Announce 100 bytes too many; end the connection after `seconds` of silence."""
    body = reply.body()
    await connection.send(head_of(reply, len(body) + 100) + body)
    await connection.wait_until_left(seconds)
    return False


async def length_too_short(connection: Connection, reply: Reply, seconds: float) -> bool:
    """Announce 10 bytes too few; send them all the same."""
    body = reply.body()
    await connection.send(head_of(reply, len(body) - 10) + body)
    return True


async def truncated_gzip(connection: Connection, reply: Reply, seconds: float) -> bool:
    """Send a truncated gzip stream with a matching Content-Length."""
    packed = gzip.compress(reply.body())
    cut = packed[: len(packed) // 2]
    await connection.send(head_of(reply, len(cut), content_encoding="gzip") + cut)
    return True


async def chunked_cut(connection: Connection, reply: Reply, seconds: float) -> bool:
    """Send chunked encoding that ends within its first chunk."""
    body = reply.body()
    head = head_of(reply, None, transfer_encoding="chunked")
    await connection.send(head + f"{len(body):x}\r\n".encode() + body[: len(body) // 2])
    return False


SENDERS = {
    sender.__name__: sender
    for sender in (
        whole, closes_after_reply, slow_drip, no_answer, reset_before, reset_after_headers,
        half_closed, length_too_long, length_too_short, truncated_gzip, chunked_cut,
    )
}  # fmt: skip
"""How a reply gets out, by name. `sent` in the log is true where the sender does not raise."""
