"""One file over HTTP: with timeouts, a bound on the whole, taken up again where it stopped."""

import time
from collections.abc import Mapping
from pathlib import Path

import httpx2

from prism_cli.errors import PrerequisiteError

_CONNECT_SECONDS, _STALL_SECONDS = 5.0, 30.0
_ATTEMPTS = 3
_PARTIAL, _NOT_SATISFIABLE = 206, 416


class UnreachableError(PrerequisiteError):
    """The host does not answer at all."""


def host_of(url: str) -> str:
    """Scheme, name and port."""
    return url.removesuffix(httpx2.URL(url).raw_path.decode())


def download(
    url: str, target: Path, *, seconds: float, headers: Mapping[str, str] | None = None
) -> None:
    """Fetch `url` to `target`, whole or not at all; TARGET.part is what has come so far.

    A connection that breaks or stalls is taken up again from there, by this call or a later one.

    Args:
        seconds: of the whole transfer, attempts included.

    Raises:
        UnreachableError: no connection to the host.
        PrerequisiteError: an error status, or no end within `seconds` or a few attempts.
    """
    part = target.with_name(f"{target.name}.part")
    deadline = time.monotonic() + seconds
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            _transfer(url, part, deadline, headers or {})
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise UnreachableError(_told(host_of(url), type(error).__name__)) from error
        except httpx2.TransportError as error:
            if attempt == _ATTEMPTS:
                why = f"{type(error).__name__}, {attempt} times"
                raise PrerequisiteError(_told(url, why)) from error
        else:
            part.replace(target)
            return


def _transfer(url: str, part: Path, deadline: float, headers: Mapping[str, str]) -> None:
    have = part.stat().st_size if part.is_file() else 0
    patience = httpx2.Timeout(_STALL_SECONDS, connect=_CONNECT_SECONDS)
    asked = {**headers, "Accept-Encoding": "identity"}
    if have:
        asked["Range"] = f"bytes={have}-"
    with httpx2.stream(
        "GET", url, headers=asked, timeout=patience, follow_redirects=True
    ) as answer:
        if answer.status_code == _NOT_SATISFIABLE and have:  # nothing is left, or another file
            return
        if answer.is_error:
            raise PrerequisiteError(_told(url, f"HTTP {answer.status_code}"))
        with part.open("ab" if answer.status_code == _PARTIAL else "wb") as file:
            for chunk in answer.iter_bytes(1 << 16):
                file.write(chunk)
                if time.monotonic() > deadline:
                    raise PrerequisiteError(
                        _told(
                            url,
                            f"not whole within its time, {file.tell() >> 20} MiB are kept; the "
                            "same command goes on there",
                        )
                    )


def _told(url: str, why: str) -> str:
    return f"cannot be fetched from {url}: {why}"
