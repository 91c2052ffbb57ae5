"""API keys of callers, compared in constant time and never shown."""

import hmac
from collections.abc import Iterable, Mapping
from hashlib import sha256

VARIABLE = "PRISM_API_KEYS"
"""Environment variable with the keys, separated by commas."""
_HEADERS = ("authorization", "x-api-key", "api-key")


class ApiKeys:
    """The keys that callers may use; without any, every caller is allowed.

    Args:
        keys: only their digests are kept.
    """

    def __init__(self, keys: Iterable[str] = ()) -> None:
        self._digests = [
            sha256(key.strip().encode("utf-8", "surrogateescape")).digest()
            for key in keys
            if key.strip()
        ]

    def __bool__(self) -> bool:
        return bool(self._digests)

    def allow(self, headers: Mapping[str, str]) -> bool:
        """Return True for `Authorization: Bearer KEY`, `Authorization: KEY`, `x-api-key: KEY`, or
        `api-key: KEY`, as Azure's clients send it.

        Args:
            headers: with names in lower case.
        """
        if not self._digests:
            return True
        scheme, _, token = headers.get("authorization", "").partition(" ")
        given = _digest((token if scheme.lower() == "bearer" else scheme).strip())
        others = [_digest(headers.get(name, "").strip()) for name in _HEADERS[1:]]
        # A list: every comparison takes place, so that time says nothing.
        matches = [
            hmac.compare_digest(digest, one) for digest in self._digests for one in (given, *others)
        ]
        return any(matches)

    def given(self, headers: Mapping[str, str]) -> bool:
        """Return True if the headers have a key, whether it is allowed or not."""
        return any(headers.get(name, "").strip() for name in _HEADERS)


def _digest(key: str) -> bytes:
    """Return the digest of a key in a header, whose bytes are read as Latin-1."""
    return sha256(key.encode("latin-1", "replace")).digest()
