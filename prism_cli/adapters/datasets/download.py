"""Download of a file over HTTP, with timeouts, a time limit and resumption."""

import time
from collections.abc import Mapping
from pathlib import Path

import httpx2

from prism_cli.errors import PrerequisiteError

_CONNECT_SECONDS, _STALL_SECONDS = 5.0, 30.0
_ATTEMPTS = 3
_PARTIAL, _NOT_SATISFIABLE = 206, 416


class UnreachableError(PrerequisiteError):
    """Raised when no connection to the host is possible."""


def host_of(url: str) -> str:
    """Return scheme, name and port of a URL."""
    return url.removesuffix(httpx2.URL(url).raw_path.decode())


def download(
    url: str, target: Path, *, seconds: float, headers: Mapping[str, str] | None = None
) -> None:
    """Download `url` to `target` atomically; TARGET.part holds a partial download.

    A connection that breaks or stalls is resumed from there, by this call or a later one.

    Args:
        seconds: time limit of the whole transfer, including retries.

    Raises:
        UnreachableError: no connection to the host.
        PrerequisiteError: an error status, or an incomplete download after `seconds` or _ATTEMPTS
            attempts.
    """
    part = target.with_name(f"{target.name}.part")
    deadline = time.monotonic() + seconds
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            _transfer(url, part, deadline, headers or {})
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise UnreachableError(_message(host_of(url), type(error).__name__)) from error
        except httpx2.TransportError as error:
            if attempt == _ATTEMPTS:
                reason = f"{type(error).__name__}, {attempt} times"
                raise PrerequisiteError(_message(url, reason)) from error
        else:
            part.replace(target)
            return


def _transfer(url: str, part: Path, deadline: float, headers: Mapping[str, str]) -> None:
    resume_at = part.stat().st_size if part.is_file() else 0
    timeout = httpx2.Timeout(_STALL_SECONDS, connect=_CONNECT_SECONDS)
    request_headers = {**headers, "Accept-Encoding": "identity"}
    if resume_at:
        request_headers["Range"] = f"bytes={resume_at}-"
    with httpx2.stream(
        "GET", url, headers=request_headers, timeout=timeout, follow_redirects=True
    ) as response:
        if response.status_code == _NOT_SATISFIABLE and resume_at:
            return  # the file is complete, or has changed
        if response.is_error:
            raise PrerequisiteError(_message(url, f"HTTP {response.status_code}"))
        with part.open("ab" if response.status_code == _PARTIAL else "wb") as file:
            for chunk in response.iter_bytes(1 << 16):
                file.write(chunk)
                if time.monotonic() > deadline:
                    raise PrerequisiteError(
                        _message(
                            url,
                            f"incomplete within its time limit; {file.tell() >> 20} MiB are kept, "
                            "and the same command resumes there",
                        )
                    )


def _message(url: str, reason: str) -> str:
    return f"cannot be downloaded from {url}: {reason}"
