"""Errors of object stores that a repeated request cannot mend, with what to set."""

import os
import re
from urllib.parse import urlsplit

from prism_cli.errors import MissingDataError, PrerequisiteError, PrismError
from prism_cli.files.urls import ObjectName, without_secrets

_STATUS = re.compile(r"status code: (\d{3})")
_ANSWER = re.compile(r"status code: (\d{3}[^:\n]*)")
_CODE = re.compile(r"<Code>(\w+)</Code>")
_BAD_KEY = re.compile(r'invalid path: .*?Path "([^"]*)"')
_REGION = re.compile(r"<Region>([\w-]+)</Region>")
_AGAIN = (408, 409, 425, 429)
"""Statuses below 500 that a later request may not get."""
_RIGHTS = {
    "reading": ("read objects", "s3:GetObject and s3:ListBucket"),
    "listing": ("list the bucket", "s3:ListBucket"),
    "writing": ("write objects", "s3:PutObject"),
    "deleting": ("delete objects", "s3:DeleteObject"),
}
"""Action -> the right that it needs, and the name of that right in S3."""
_VARIABLES = {
    "s3": "AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (of temporary keys "
    "AWS_SESSION_TOKEN too)",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
}
_AZURE = "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY (or AZURE_STORAGE_SAS_TOKEN)"
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"}
_UNKNOWN_KEY = {
    "InvalidAccessKeyId", "InvalidToken", "SignatureDoesNotMatch", "InvalidSecurity",
    "AuthenticationFailed", "InvalidAuthenticationInfo",
}  # fmt: skip
_OTHER_REGION = {
    "PermanentRedirect", "TemporaryRedirect", "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
}  # fmt: skip
_HELP = "(`prism help storage`)"


def refusal(name: ObjectName, action: str, error: BaseException) -> PrismError | None:
    """Return the error to raise where a later request would fail, too; None where it may not.

    Args:
        action: "reading", "listing", "writing" or "deleting".
        error: of the client library, whose text carries the store's answer.
    """
    text, variables = str(error), _VARIABLES.get(name.scheme, _AZURE)
    status, code = error_status(text), error_code(text)
    if code == "NoSuchBucket":
        return MissingDataError(f"{name}: there is no bucket {name.bucket}; nothing was done")
    if match := _BAD_KEY.search(text):
        return _error(
            name,
            f"the store has an object there whose key cannot be read: {match[1]!r} (an empty part, "
            ". or .., or a control character). Remove it, or name another folder",
        )
    if "169.254.169.254" in text or "metadata.google.internal" in text:
        return _error(name, f"there are no credentials for this store. Set {variables}")
    if code in _EXPIRED:
        return _error(
            name,
            f"the credentials have expired ({code}). Renew them (such as with `aws sso login`), "
            f"or set {variables}",
        )
    if code in _UNKNOWN_KEY or (status == 401 and not code):
        return _error(
            name, f"the store does not accept the credentials ({code or status}). Set {variables}"
        )
    if code == "RequestTimeTooSkewed":
        return _error(name, "this machine's clock differs from the store's; set it right")
    if code in _OTHER_REGION or "BareRedirect" in text:
        match = _REGION.search(text)
        region = match[1] if match else "that of the bucket"
        return _error(
            name,
            "the bucket is in another region. Set AWS_DEFAULT_REGION (and AWS_REGION, if it is "
            f"set) to {region}",
        )
    if status in (401, 403):
        right, s3_right = _RIGHTS[action]
        permission = f" ({s3_right})" if name.scheme == "s3" else ""
        return _error(
            name,
            f"the store refuses {action} ({code or status}). The credentials need the right to "
            f"{right} there{permission}, or choose others: {variables}",
        )
    if status == 501:
        return _error(
            name,
            f"the store cannot do what {action} needs ({code or status}): prism writes under "
            "conditions (If-None-Match, If-Match), so that two runs do not replace each other's "
            "outputs",
        )
    if status and status < 500 and status not in _AGAIN:
        return _error(name, f"the store answered {words(error)}")
    return None if status else _configuration_error(name, text, error)


def _configuration_error(
    name: ObjectName, text: str, error: BaseException
) -> PrerequisiteError | None:
    """Return the error of settings that let no request reach the store."""
    if "BadScheme" in text:
        return _error(
            name,
            f"{endpoint(name)} is http, which anyone between can read. Set AWS_ENDPOINT_URL to its "
            "https address, or AWS_ALLOW_HTTP=true",
        )
    if "InvalidCertificate" in text:
        return _error(
            name,
            f"the certificate of {endpoint(name)} is not trusted. Set SSL_CERT_FILE to that of its "
            "authority",
        )
    if "InvalidMessage" in text:
        return _error(
            name,
            f"{endpoint(name)} does not speak TLS. Set AWS_ENDPOINT_URL to its http address, with "
            "AWS_ALLOW_HTTP=true if it is another machine",
        )
    sent = "Error performing" in text or "HTTP error" in text
    if text.startswith("Generic ") and not sent:
        variables = _VARIABLES.get(name.scheme, _AZURE)
        return _error(name, f"the store cannot be reached: {words(error)}. Set {variables}")
    return None


def is_unreachable(error: BaseException) -> bool:
    """Return whether no connection was made."""
    return "kind: Connect" in str(error)


def unreachable(name: ObjectName, error: BaseException) -> PrerequisiteError:
    """Return the error for a store to which no connection could be made."""
    reason = "there is no such host" if "dns error" in str(error) else "nobody answers there"
    return _error(
        name,
        f"no connection to {endpoint(name)}: {reason}. Check the network, and AWS_ENDPOINT_URL if "
        "the store is not Amazon's",
    )


def endpoint(name: ObjectName) -> str:
    """Return scheme, host and port of the endpoint, without user and password."""
    found = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL", "")
    if name.scheme != "s3" or not found:
        return "the store"
    parts = urlsplit(found)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def error_status(text: str) -> int:
    """Return the HTTP status of an answer; 0 if there was none."""
    match = _STATUS.search(text)
    return int(match[1]) if match else 0


def error_code(text: str) -> str:
    """Return the store's word for the error; "" if the answer had none, as to a HEAD request."""
    match = _CODE.search(text)
    return match[1] if match else ""


def words(error: BaseException) -> str:
    """Return the status of an answer with the store's word for it, or the first line of another
    error, without addresses, which may hold a signature."""
    text = str(error)
    if match := _ANSWER.search(text):
        code = error_code(text)
        return f"{match[1].strip()} ({code})" if code else match[1].strip()
    line = (text.strip().splitlines() or [type(error).__name__])[0].rpartition(" - ")[2]
    line += " (no reply in time)" * ("kind: Timeout" in text)
    return without_secrets(re.sub(r"https?://\S+", "the store", line))[:300]


def _error(name: ObjectName, reason: str) -> PrerequisiteError:
    return PrerequisiteError(f"{name}: {reason} {_HELP}. Nothing was published")
