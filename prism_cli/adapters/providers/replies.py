"""What a provider's HTTP reply means: usable, again later, never, or nobody home.

Statuses by RFC 9110 and the providers' own pages; Retry-After by RFC 9110, section 10.2.3.
"""

import time
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2
import orjson

from prism_cli.errors import PrerequisiteError, ProviderError, RefusalError

_AGAIN = {408, 409, 425, 429}
_FINAL = {400, 413, 422}
_WORDS = 200
_CONTENT_FILTER = {"content_filter", "content_policy_violation", "moderation_blocked"}


class AgainError(ProviderError):
    """A call failed for now.

    Attributes:
        too_many: status 429.
        wait: seconds that the provider asks to wait; None where it does not say.
        billed: the call may have been paid for all the same.
    """

    def __init__(
        self, why: str, *, too_many: bool = False, wait: float | None = None, billed: bool = False
    ) -> None:
        super().__init__(why)
        self.too_many, self.wait, self.billed = too_many, wait, billed


class NoSuchModelError(PrerequisiteError):
    """The provider does not know this model; its others may do."""


def json_of(response: httpx2.Response) -> Any:
    """The JSON of a good reply; the body has been read.

    Raises:
        AgainError: 408, 409, 425, 429, 5xx, and a 200 that is no JSON or carries an error.
        RefusalError: 400, 413, 422.
        PrerequisiteError: 401, 402, 403, 404, a redirect, and all others.
    """
    status = response.status_code
    if status == 200:
        try:
            found = orjson.loads(response.content)
        except orjson.JSONDecodeError:
            raise AgainError(
                f"200 with something that is no JSON: {_plain(response.text)!r}", billed=True
            ) from None
        error = found.get("error") if isinstance(found, dict) else None
        if not error:
            return found
        code = error.get("code") if isinstance(error, dict) else None
        status = code if isinstance(code, int) and 400 <= code < 600 else 500
    words = _error_words(response)
    if status in _AGAIN or status >= 500:
        wait = _retry_after(response.headers)
        raise AgainError(f"status {status}{words}", too_many=status == 429, wait=wait)
    if status in _FINAL or _filtered(response):
        raise RefusalError(f"status {status}{words}")
    if 300 <= status < 400:
        raise PrerequisiteError(
            f"status {status}: it sends us to {response.headers.get('location', '?')!r}, and keys "
            "do not follow; correct base_url in the provider file"
        )
    if status == 404:
        raise NoSuchModelError(f"status 404, no such model or address{words}")
    raise PrerequisiteError(f"status {status}{words}")


def content_of(response: httpx2.Response) -> bytes:
    """The bytes of a good reply that need not be JSON.

    Raises: as `json_of`.
    """
    if response.status_code != 200:
        json_of(response)
    return response.content


def _retry_after(headers: httpx2.Headers) -> float | None:
    text = headers.get("retry-after", "").strip()
    try:
        return max(0.0, float(text)) if text and float(text) < float("inf") else None
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def _error(response: httpx2.Response) -> Any:
    try:
        found = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        return response.text
    if isinstance(found, list) and found:
        found = found[0]
    if isinstance(found, dict):
        return found.get("error") or found.get("message") or found.get("detail") or found
    return found


def _filtered(response: httpx2.Response) -> bool:
    error = _error(response)
    if not isinstance(error, dict):
        return False
    metadata = error.get("metadata")  # OpenRouter's 403 for input that was flagged
    flagged = isinstance(metadata, dict) and "flagged_input" in metadata
    return flagged or bool(_CONTENT_FILTER & {str(error.get("code")), str(error.get("type"))})


def _error_words(response: httpx2.Response) -> str:
    error = _error(response)
    if isinstance(error, dict):
        error = error.get("message") or orjson.dumps(error).decode()
    words = _plain(str(error))
    return f" ({words})" if words else ""


def _plain(text: str) -> str:
    """The beginning of a foreign text, fit for a terminal and a log."""
    printable = "".join(one if one.isprintable() else " " for one in text[: 4 * _WORDS])
    return " ".join(printable.split())[:_WORDS]
