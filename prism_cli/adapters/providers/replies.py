"""Classification of providers' HTTP replies: usable, retryable, refused, or provider unusable.

Sources: RFC 9110 and the providers' own pages for statuses; RFC 9110, section 10.2.3, for
Retry-After.
"""

import math
import re
import time
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2
import orjson

from prism_cli.errors import PrerequisiteError, ProviderError, RefusalError
from prism_cli.rows.number import number_in

_RETRYABLE = {408, 409, 424, 425, 429}
_FINAL = {400, 413, 422}
_SHOWN_CHARS = 200
_CONTENT_FILTER = {"content_filter", "content_policy_violation", "moderation_blocked"}
_ACCOUNT = {
    "account_deactivated", "api_key_invalid", "arrearage", "billing_hard_limit_reached",
    "billing_not_active", "exceeded_current_quota_error", "invalid_api_key", "invalidapikey",
    "1113",
}  # fmt: skip
"""Error codes of an unusable key or account, whatever the status: some providers send 400 or 429.
1113 is Zhipu's code for an account without money."""
_MODEL = {
    "invalid_model", "model_not_found", "unknown_parameter", "unsupported_parameter",
    "unsupported_value", "1211",
}  # fmt: skip
"""Error codes of an unknown model or unsupported setting, the same for all rows; 1211: Zhipu's."""
_BAD_KEY = re.compile(r"(incorrect|invalid) api key|((your|the) )?api key.*(valid|expired)", re.I)
_NO_MODEL = re.compile(
    r"(the )?model (does )?not (exist|found)\b|invalid model\b|\S+ is not a valid model id", re.I
)
"""Messages of Gemini (_BAD_KEY), DeepSeek and OpenRouter, whose codes are not specific."""
LONGEST_WAIT_BY_OUR_CLOCK = 60.0
"""Longest wait, in seconds, for a Retry-After date without a Date: our clock may be wrong."""
_ROUNDING = 1e-6
_MAX_COUNT = 1e12
"""Maximum plausible count; it also fits sqlite's integers."""

_ESCAPE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
    rb"|\\.",
    re.DOTALL,
)
"""JSON escapes: a surrogate pair (12 bytes), a lone surrogate (6), or the start of another (2)."""


class RetryableError(ProviderError):
    """Raised when a call failed and may be retried.

    Attributes:
        too_many: the status was 429.
        wait: seconds that the provider asks to wait; None if it does not say.
        billed: the call may have been billed nevertheless.
        quota: the error reports a used-up quota: of money at OpenAI, of this minute at others.
    """

    def __init__(
        self,
        reason: str,
        *,
        too_many: bool = False,
        wait: float | None = None,
        billed: bool = False,
        quota: bool = False,
    ) -> None:
        super().__init__(reason)
        self.too_many, self.wait, self.billed, self.quota = too_many, wait, billed, quota


class UnreachableError(RetryableError):
    """Raised when no connection was made: refused, unknown host, or invalid certificate."""


class BlockedError(RefusalError):
    """Raised when a firewall before the API refused the call, perhaps for a word in it."""


class NoSuchModelError(PrerequisiteError):
    """Raised when the provider rejects this model or its settings; its other models may work."""


def loads(content: bytes) -> Any:
    """Parse JSON of a provider, with or without a BOM; a lone surrogate escape is read as U+FFFD.

    Raises:
        orjson.JSONDecodeError: it is not JSON.
    """
    content = content.removeprefix(b"\xef\xbb\xbf")
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        repaired = _ESCAPE.sub(lambda m: rb"\ufffd" if len(m[0]) == 6 else m[0], content)
        return orjson.loads(repaired)


def parse_json(response: httpx2.Response) -> Any:
    """Return the JSON of a successful reply whose body has been read.

    Raises:
        RetryableError: 408, 409, 424 (TEI: its model failed), 425, 429, 5xx, and a 2xx that is not
            JSON or contains an error.
        RefusalError: 400, 413, 422.
        BlockedError: 403 with a body that is not JSON.
        PrerequisiteError: 401, 402, 403, 404, a redirect, any other status, and any error about
            the key, the account or the model.
    """
    status = response.status_code
    if 200 <= status < 300:
        try:
            body = loads(response.content)
        except orjson.JSONDecodeError:
            raise RetryableError(
                f"{status} with a body that is not JSON: {_plain(response.text)!r}", billed=True
            ) from None
        embedded = body.get("error") if isinstance(body, dict) else None
        if not embedded:
            return body
        code = embedded.get("code") if isinstance(embedded, dict) else None
        code = str(code) if isinstance(code, str | int) else ""
        status = int(code) if re.fullmatch("[45][0-9][0-9]", code) else 500
    error = _error(response)
    message = error_message(error)
    codes = _codes(error)
    reason = f"status {status}{f' ({message})' if message else ''}"
    if codes & _ACCOUNT or (status == 400 and _BAD_KEY.match(message)):
        raise PrerequisiteError(reason)
    if codes & _MODEL or (status == 400 and _NO_MODEL.match(message)):
        raise NoSuchModelError(reason)
    if status in _RETRYABLE or status >= 500:
        raise RetryableError(
            reason,
            too_many=status == 429,
            wait=_retry_after(response.headers),
            quota="insufficient_quota" in codes,
        )
    if is_of_a_firewall(response):
        raise BlockedError(f"{reason}, as of a firewall")
    if status in _FINAL or _filtered(error, codes):
        raise RefusalError(reason)
    if 300 <= status < 400:
        raise PrerequisiteError(
            f"status {status}: redirects to {response.headers.get('location', '?')!r}; redirects "
            "are not followed, as they could leak the key; correct base_url in the provider file"
        )
    if status == 404:
        raise NoSuchModelError(f"{reason}: no such model or address")
    raise PrerequisiteError(reason)


def is_of_a_firewall(response: httpx2.Response) -> bool:
    """Return whether a firewall, not the API, has sent the reply: 403 that is not JSON."""
    if response.status_code != 403:
        return False
    try:
        loads(response.content)
    except orjson.JSONDecodeError:
        return True
    return False


def raise_embedded_error(error: Any) -> None:
    """Raise if a reply of status 200 holds an error in place of the answer.

    Raises:
        RetryableError: the server failed while it answered.
        RefusalError: the error reports a content filter.
    """
    if error:
        reason = f"200 with an error in the answer ({error_message(error)})"
        if _filtered(error, _codes(error)):
            raise RefusalError(reason)
        raise RetryableError(reason, billed=True)


def count_at(value: Any, *path: str) -> int | None:
    """Return the count under this path of keys; None if implausible, as it sets the cost."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return math.ceil(value) if is_number and 0 <= value <= _MAX_COUNT else None


def as_probability(value: Any) -> float | None:
    """Return `value` as a number in [0, 1], clipped within rounding error; else None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    nearest = min(max(float(value), 0.0), 1.0)
    return nearest if abs(value - nearest) <= _ROUNDING else None


def parse_bytes(response: httpx2.Response) -> bytes:
    """Return the bytes of a successful reply, JSON or not; raise as `parse_json` does."""
    if response.status_code != 200:
        parse_json(response)
    return response.content


def _retry_after(headers: httpx2.Headers) -> float | None:
    text = headers.get("retry-after", "").strip()
    seconds = number_in(text)
    if seconds is not None:
        return max(0.0, seconds) if seconds < math.inf else None
    until, now = _moment(text), _moment(headers.get("date", ""))
    if until is None:
        return None
    if now is not None:  # the server's clock
        return max(0.0, until - now)
    return min(max(0.0, until - time.time()), LONGEST_WAIT_BY_OUR_CLOCK)


def _moment(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None


def _error(response: httpx2.Response) -> Any:
    try:
        body = loads(response.content)
    except orjson.JSONDecodeError:
        return response.text
    if isinstance(body, list) and body:
        body = body[0]
    if isinstance(body, dict):
        return body.get("error") or body.get("detail") or body
    return body


def _codes(error: Any) -> set[str]:
    """Return the error's codes, types and reasons in lower case."""
    if not isinstance(error, dict):
        return set()
    details = error.get("details")
    details = (
        [item for item in details if isinstance(item, dict)] if isinstance(details, list) else []
    )
    codes = [error.get("code"), error.get("type"), *(item.get("reason") for item in details)]
    return {str(code).lower() for code in codes if isinstance(code, str | int)}


def _filtered(error: Any, codes: set[str]) -> bool:
    metadata = error.get("metadata") if isinstance(error, dict) else None
    flagged = isinstance(metadata, dict) and "flagged_input" in metadata  # OpenRouter's 403
    return flagged or bool(_CONTENT_FILTER & codes)


def error_message(error: Any) -> str:
    """Return the message of an error, else its beginning."""
    if isinstance(error, dict):
        error = error.get("message") or error.get("error") or error
    return shown(error)


def shown(value: Any) -> str:
    """Return the beginning of a foreign value, as JSON unless it is a string, for a message; `repr`
    fails where a value is nested deeply."""
    try:
        return _plain(value if isinstance(value, str) else orjson.dumps(value).decode())
    except orjson.JSONEncodeError:
        return "something nested too deeply"


def printable(text: str) -> str:
    """Return foreign text on one line, without control characters."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def _plain(text: str) -> str:
    """Return the beginning of a foreign text, safe for a terminal and a log."""
    return printable(text[: 4 * _SHOWN_CHARS])[:_SHOWN_CHARS]
