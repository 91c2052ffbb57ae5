"""Transports of the MCP tool, HTTP and standard input, with whole characters alone."""

import os
import re
import sys
from io import BufferedIOBase, TextIOWrapper
from typing import BinaryIO

from mcp.server import MCPServer
from mcp.server.transport_security import RequestBodyLimitMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from prism_cli.serving.mcp_tool import MAX_BYTES
from prism_cli.serving.messages import with_whole_characters

MCP_PATH = "/mcp"
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]|\xed[\xa0-\xbf]")


def mcp_app(server: MCPServer, host: str) -> ASGIApp:
    """Return the server as an application for MCP_PATH, over streamable HTTP without sessions.

    Args:
        host: address that is listened on; on loopback, calls by the pages of other hosts are
            refused.
    """
    inner = server.streamable_http_app(
        streamable_http_path=MCP_PATH, stateless_http=True, host=host,
        max_request_body_size=MAX_BYTES,
    )  # fmt: skip

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def receive_whole() -> Message:
            message = await receive()
            if "body" in message:
                message["body"] = _whole(message["body"])
            return message

        await inner(scope, receive_whole, send)

    return RequestBodyLimitMiddleware(app, MAX_BYTES)  # it joins the parts of a body


def mend_standard_input() -> None:
    """Give the server its standard input by lines with whole characters.

    Child processes read nothing of it, as where the server opens it itself.
    """
    lines = os.fdopen(os.dup(0), "rb")
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    sys.stdin = TextIOWrapper(_WholeLines(lines))


class _WholeLines(BufferedIOBase):
    def __init__(self, lines: BinaryIO) -> None:
        self._lines = lines

    def readable(self) -> bool:
        return True

    def read1(self, _size: int = -1, /) -> bytes:
        line = self._lines.readline()
        return line and _whole(line.removesuffix(b"\n")) + b"\n"


def _whole(message: bytes) -> bytes:
    """Return a message with whole characters; one without surrogates is not read for it."""
    return with_whole_characters(message) if _SURROGATE.search(message) else message
