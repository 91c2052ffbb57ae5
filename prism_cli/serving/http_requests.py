"""Parts of an HTTP request besides its JSON: path, body, id, seconds that the caller waits."""

import re
import uuid
import zlib
from collections.abc import Mapping

from starlette.requests import Request

from prism_cli.errors import ArgumentError
from prism_cli.serving.service import TooLargeError

MAX_BODY = 16 * 1024 * 1024
"""Most bytes of a request's body, unpacked."""
MAX_MEMBERS = 1_000
"""Most members of a packed body: small empty ones would keep the server busy."""
RERANK_PATHS = ("/rerank", "/v1/rerank", "/v2/rerank", "/v1/ranking", "/v1/reranking")
_ENDS = frozenset(path.rpartition("/")[2] for path in RERANK_PATHS)
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
_GZIP = b"\x1f\x8b"
_PART = 64 * 1024


def served_path(path: str) -> str:
    """Return the path whose handler answers a request.

    Doubled and trailing slashes are ignored. A path that ends in /rerank, /reranking or /ranking
    is a rerank path, whatever is before that: clients append it to base URLs of their own.
    """
    parts = [part for part in path.split("/") if part]
    if not parts or parts[-1] not in _ENDS:
        return "/" + "/".join(parts)
    return "/v2/rerank" if parts[-2:] == ["v2", "rerank"] else "/v1/rerank"


async def read_body(request: Request) -> bytes:
    """Return the body, unpacked.

    Raises:
        TooLargeError: it has more than MAX_BODY bytes.
        ArgumentError: it is packed by another method than gzip or deflate, or broken.
    """
    packed = bytearray()
    async for part in request.stream():
        packed += part
        if len(packed) > MAX_BODY:
            raise _too_large()
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding in ("identity", ""):
        return bytes(packed)
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise ArgumentError(
            f"content-encoding: expected gzip, deflate or none, found {encoding[:60]!r}"
        )
    try:
        return _unpacked(packed)
    except (zlib.error, EOFError) as error:
        raise ArgumentError(f"body: not {encoding}: {error}") from None


def _unpacked(packed: bytearray) -> bytes:
    """Return what a body of one or more members holds.

    It is read in short parts, as zlib copies what is behind a member.

    Raises:
        TooLargeError: it holds more than MAX_BODY bytes, or has more than MAX_MEMBERS members.
        EOFError, zlib.error: it is cut, or broken.
    """
    body, members, unpacking = bytearray(), 1, zlib.decompressobj(_GZIP_OR_ZLIB)
    for start in range(0, len(packed), _PART):
        part = bytes(packed[start : start + _PART])
        while part:
            if unpacking.eof:
                part = part.lstrip(b"\0")
                if not part:
                    break
                if not _GZIP.startswith(part[:2]):
                    return bytes(body)  # other bytes are padding, which gzip(1) ignores, too
                unpacking, members = zlib.decompressobj(_GZIP_OR_ZLIB), members + 1
            body += unpacking.decompress(part, MAX_BODY + 1 - len(body))
            if len(body) > MAX_BODY:
                raise _too_large()
            if members > MAX_MEMBERS:
                raise TooLargeError(
                    f"body: expected at most {MAX_MEMBERS:,} members, found more; pack it as one"
                )
            part = unpacking.unused_data
    if not unpacking.eof:
        raise EOFError("it ends too early")
    return bytes(body)


def request_id_of(headers: Mapping[str, str]) -> str:
    """Return the id that a proxy or the caller gave the request, else a new one."""
    given = headers.get("x-request-id", "")
    return given if re.fullmatch(r"[\w.:/+=-]{1,128}", given, re.ASCII) else uuid.uuid4().hex


def timeout_of(request: Request) -> float | None:
    """Return the seconds that the caller waits; None if it does not say."""
    try:
        seconds = float(request.headers.get("x-request-timeout", ""))
    except ValueError:
        return None
    return seconds if seconds > 0 else None


def _too_large() -> TooLargeError:
    return TooLargeError(
        f"body: expected at most {MAX_BODY // 2**20} MiB, found more; send the documents in "
        "several requests"
    )
