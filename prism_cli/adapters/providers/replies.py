"""What a provider's HTTP reply means: usable, again later, never, or nobody home.

Statuses by RFC 9110 and the providers' own pages; Retry-After by RFC 9110, section 10.2.3.
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

_AGAIN = {408, 409, 424, 425, 429}
_FINAL = {400, 413, 422}
_WORDS = 200
_CONTENT_FILTER = {"content_filter", "content_policy_violation", "moderation_blocked"}
_ACCOUNT = {
    "account_deactivated", "api_key_invalid", "arrearage", "billing_hard_limit_reached",
    "billing_not_active", "exceeded_current_quota_error", "invalid_api_key", "invalidapikey",
    "1113",
}  # fmt: skip
"""Codes of a key or an account that is of no use, whatever the status: some send 400 or 429. 1113
is Zhipu's for an account without money."""
_MODEL = {
    "invalid_model", "model_not_found", "unknown_parameter", "unsupported_parameter",
    "unsupported_value", "1211",
}  # fmt: skip
"""Codes of a model, or of a setting of it, that no row can do anything about. 1211 is Zhipu's."""
_BAD_KEY = re.compile(r"(incorrect|invalid) api key|((your|the) )?api key.*(valid|expired)", re.I)
_NO_MODEL = re.compile(r"model not exist|invalid model\b|\S+ is not a valid model id", re.I)
"""Beginnings of messages whose codes say nothing: of Gemini, of DeepSeek and OpenRouter."""
LONGEST_WAIT_BY_OUR_CLOCK = 60.0
"""Seconds, where a server names a date to come back at and not its own: our clock may be wrong."""
_ROUNDING = 1e-6
_MOST = 1e12
"""Of a count that can be one; sqlite's integers end somewhere, too."""

_ESCAPE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
    rb"|\\.",
    re.DOTALL,
)
"""In JSON: a surrogate pair (12 bytes), half of one (6), or another escape's first two bytes."""


class AgainError(ProviderError):
    """A call failed for now.

    Attributes:
        too_many: status 429.
        wait: seconds that the provider asks to wait; None where it does not say.
        billed: the call may have been paid for all the same.
        quota: it speaks of a used-up quota: of money with OpenAI, of this minute with others.
    """

    def __init__(
        self,
        why: str,
        *,
        too_many: bool = False,
        wait: float | None = None,
        billed: bool = False,
        quota: bool = False,
    ) -> None:
        super().__init__(why)
        self.too_many, self.wait, self.billed, self.quota = too_many, wait, billed, quota


class UnreachableError(AgainError):
    """No connection came about: refused, no such host, no valid certificate."""


class NoSuchModelError(PrerequisiteError):
    """The provider does not know this model, or not so; its others may do."""


def _loaded(content: bytes) -> Any:
    """The JSON of a body; an escaped half of a surrogate pair in it is read as U+FFFD.

    Raises:
        orjson.JSONDecodeError: no JSON.
    """
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        escapes = _ESCAPE.sub(lambda found: rb"\ufffd" if len(found[0]) == 6 else found[0], content)
        return orjson.loads(escapes)


def json_of(response: httpx2.Response) -> Any:
    """The JSON of a good reply; the body has been read.

    Raises:
        AgainError: 408, 409, 424 (TEI's where its model failed), 425, 429, 5xx, and a 2xx that is
            no JSON or carries an error.
        RefusalError: 400, 413, 422.
        PrerequisiteError: 401, 402, 403, 404, a redirect, all others, and any that speaks of key,
            account or model.
    """
    status = response.status_code
    if 200 <= status < 300:
        try:
            found = _loaded(response.content)
        except orjson.JSONDecodeError:
            raise AgainError(
                f"{status} with something that is no JSON: {_plain(response.text)!r}", billed=True
            ) from None
        inside = found.get("error") if isinstance(found, dict) else None
        if not inside:
            return found
        code = str(inside.get("code")) if isinstance(inside, dict) else ""
        status = int(code) if re.fullmatch("[45][0-9][0-9]", code) else 500
    error = _error(response)
    words = _error_words(error)
    codes = _codes(error)
    told = f"status {status}{f' ({words})' if words else ''}"
    if codes & _ACCOUNT or (status == 400 and _BAD_KEY.match(words)):
        raise PrerequisiteError(told)
    if codes & _MODEL or (status == 400 and _NO_MODEL.match(words)):
        raise NoSuchModelError(told)
    if status in _AGAIN or status >= 500:
        raise AgainError(
            told,
            too_many=status == 429,
            wait=_retry_after(response.headers),
            quota="insufficient_quota" in codes,
        )
    if status in _FINAL or _filtered(error, codes):
        raise RefusalError(told)
    if 300 <= status < 400:
        raise PrerequisiteError(
            f"status {status}: it sends us to {response.headers.get('location', '?')!r}, and keys "
            "do not follow; correct base_url in the provider file"
        )
    if status == 404:
        raise NoSuchModelError(f"{told}: no such model or address")
    raise PrerequisiteError(told)


def error_within(error: Any) -> None:
    """An error where the answer should stand, in a reply of status 200.

    Raises:
        AgainError: there is one: the server failed on the way.
        RefusalError: it speaks of a content filter.
    """
    if error:
        told = f"200 with an error in the answer ({_error_words(error)})"
        if _filtered(error, _codes(error)):
            raise RefusalError(told)
        raise AgainError(told, billed=True)


def count_in(found: Any, *path: str) -> int | None:
    """The count that stands in a reply under these names; None where there is none that can be
    one: it decides what a run has cost."""
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    is_number = isinstance(found, int | float) and not isinstance(found, bool)
    return math.ceil(found) if is_number and 0 <= found <= _MOST else None


def share_in(value: Any) -> float | None:
    """The number in [0, 1] that a value is, give or take what rounding does; None where it is
    none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    nearest = min(max(float(value), 0.0), 1.0)
    return nearest if abs(value - nearest) <= _ROUNDING else None


def content_of(response: httpx2.Response) -> bytes:
    """The bytes of a good reply that need not be JSON.

    Raises: as `json_of`.
    """
    if response.status_code != 200:
        json_of(response)
    return response.content


def _retry_after(headers: httpx2.Headers) -> float | None:
    text = headers.get("retry-after", "").strip()
    seconds = number_in(text)
    if seconds is not None:
        return max(0.0, seconds) if seconds < math.inf else None
    until, now = _moment(text), _moment(headers.get("date", ""))
    if until is None:
        return None
    if now is not None:  # by the server's own clock
        return max(0.0, until - now)
    return min(max(0.0, until - time.time()), LONGEST_WAIT_BY_OUR_CLOCK)


def _moment(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
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
        return found.get("error") or found.get("detail") or found
    return found


def _codes(error: Any) -> set[str]:
    """What an error calls itself, in lower case."""
    if not isinstance(error, dict):
        return set()
    details = error.get("details")
    inner = [one for one in details if isinstance(one, dict)] if isinstance(details, list) else []
    named = [*(error.get(name) for name in ("code", "type")), *(one.get("reason") for one in inner)]
    return {str(one).lower() for one in named if one is not None}


def _filtered(error: Any, codes: set[str]) -> bool:
    metadata = error.get("metadata") if isinstance(error, dict) else None
    flagged = isinstance(metadata, dict) and "flagged_input" in metadata  # OpenRouter's 403
    return flagged or bool(_CONTENT_FILTER & codes)


def _error_words(error: Any) -> str:
    if isinstance(error, dict):
        error = error.get("message") or error.get("error") or orjson.dumps(error).decode()
    return _plain(str(error))


def printable(text: str) -> str:
    """Foreign text on one line, without what would steer a terminal."""
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())


def _plain(text: str) -> str:
    """The beginning of a foreign text, fit for a terminal and a log."""
    return printable(text[: 4 * _WORDS])[:_WORDS]
