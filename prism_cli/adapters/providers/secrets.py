"""Masking of keys in foreign text, in any encoding in which a server may repeat them.

Every reply of a server and every error message of a client library is masked before it is parsed,
stored or reported.
"""

import asyncio
import codecs
import re
import unicodedata
from base64 import b32encode, b64encode
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any
from urllib.parse import unquote_plus

import httpx2
import orjson

from prism_cli.domain.markup import html_unescaped

KEY = "[key]"
WITHHELD = "[withheld: it repeats a key]"
SHORTEST = 8
"""Minimum length of a secret; placeholders such as `none` are not masked."""
_SHORTEST_WORD = 20
"""Minimum length of a key of letters alone; shorter ones are words."""
_PLACEHOLDERS = ("token-abc123", "YOUR_API_KEY", "NOT_NEEDED")
"""Further ones: vLLM's and others' documentation."""
_CUT = 12
"""Consecutive characters of a key or of its encoding that count as a leak."""
_GRAM = 6
_STEP = _CUT - _GRAM + 1
"""Any _CUT characters contain a gram of _GRAM characters that starts at a multiple of _STEP."""
_LAYERS = 3
_LONG = 1_000_000
"""Length above which a text is searched line by line."""
_JSON_ESCAPE = re.compile(
    r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|([0-3][0-7]{2})|(.))", re.DOTALL
)
_JSON_LETTERS = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_BYTE = "(?:(?:0x|u\\+00)?[2-7][0-9a-f]|[0-9]{1,3})"
_BYTES = re.compile(rf"(?<![\w.]){_BYTE}(?:[^\w.]{{1,64}}{_BYTE}){{7,}}(?![\w.])", re.IGNORECASE)
"""Lists of numbers that may be the bytes of a key: [115, 107], 73:6b, 0x73 0x6B, =73=6B."""
_INDEX = re.compile(r'"[0-9]{1,4}"\s*:')
"""Index of a byte in a JavaScript typed array as JSON: {"0": 115, "1": 107}."""
_USERINFO = re.compile(r"(?<=://)[^/@\s]+(?=@)")
_URLSAFE = str.maketrans("+/", "-_")
_DESCRIBED = ("content-encoding", "content-length", "content-type", "transfer-encoding")


def is_placeholder(key: str) -> bool:
    """Return whether a key is a word that stands for none, such as `not-needed`: shorter than any
    provider's key, without a digit or a capital, or from a server's documentation."""
    return key in _PLACEHOLDERS or (
        len(key) < _SHORTEST_WORD and not any(char.isdigit() or char.isupper() for char in key)
    )


class Secrets:
    """Masks the keys of all providers in what any of them sends."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._keys = sorted({key for key in keys if len(key) >= SHORTEST}, key=len, reverse=True)
        marks = {mark for key in self._keys for mark in _marks(key)}
        self._short = sorted(mark for mark in marks if len(mark) < _CUT)
        self._marks = "\n".join(sorted(marks))
        self._plain = "\n".join(map(_lower, self._keys))
        self._grams = frozenset().union(*map(_grams, marks))

    def masked(self, text: str) -> str:
        """Return `text` without keys and passwords in URLs; WITHHELD if it has an encoded key."""
        text = _USERINFO.sub(KEY, text)
        for key in self._keys:
            text = text.replace(key, KEY)
        if self._plainly_held(text):
            decoded = "\n".join(map(_lower, _decoded(text) - {text}))
            if any(key in decoded for key in self._plain.split("\n")):
                return WITHHELD
            text = self._without_pieces(text)
        return WITHHELD if self._held(text) else text

    def masked_reply(
        self, response: httpx2.Response, stopped: Callable[[], bool] = lambda: False
    ) -> httpx2.Response:
        """Return the reply, whose body has been read, without keys in its headers and body.

        Raises:
            asyncio.CancelledError: `stopped` became true while a long body was searched.
        """
        headers = [(name, self.masked(value)) for name, value in response.headers.multi_items()]
        response.encoding = "utf-8"  # as JSON is parsed, whatever charset the server declares
        text = response.text
        if self._held(text, stopped):
            content = self._masked_body(text).encode("utf-8", "replace")
            headers = [header for header in headers if header[0].lower() not in _DESCRIBED]
            headers.append(("content-type", "text/plain; charset=utf-8"))
            return httpx2.Response(response.status_code, headers=_raw(headers), content=content)
        if headers != response.headers.multi_items():
            response.headers = httpx2.Headers(_raw(headers))
        return response

    def _masked_body(self, text: str) -> str:
        """Mask a body as JSON, else line by line with each line as JSON where it is, so that as
        much as possible remains readable."""
        try:
            masked = orjson.dumps(self._masked_value(orjson.loads(text))).decode()
            return WITHHELD if self._held(masked) else masked
        except (orjson.JSONDecodeError, TypeError, RecursionError):
            first, *more = text.splitlines(keepends=True) or [text]
            if not more:
                return self.masked(first)
            masked = "".join(map(self._masked_line, [first, *more]))
            return WITHHELD if self._held(masked) else masked

    def _masked_line(self, line: str) -> str:
        return self._masked_body(line.rstrip("\r\n")) + "\n" if self._held(line) else line

    def _masked_value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.masked(value)
        if isinstance(value, dict):
            return {self.masked(key): self._masked_value(item) for key, item in value.items()}
        return list(map(self._masked_value, value)) if isinstance(value, list) else value

    def _held(self, text: str, stopped: Callable[[], bool] = lambda: False) -> bool:
        """Return True if the text contains a key in any encoding."""
        if len(text) > _LONG:
            lines = text.splitlines()
            if len(lines) == 1:
                return self._plainly_held(text)
            for line in lines:
                if stopped():
                    raise asyncio.CancelledError
                if self._held(line):
                    return True
            return False
        return any(map(self._plainly_held, _decoded(text)))

    def _plainly_held(self, text: str) -> bool:
        text = _lower(text)
        return any(mark in text for mark in self._short) or any(
            text[at : at + _CUT] in self._marks for at in self._suspect(text)
        )

    def _suspect(self, text: str) -> Iterator[int]:
        """Yield the positions where _CUT characters of a mark may begin."""
        for at in range(0, len(text), _STEP):
            if text[at : at + _GRAM] in self._grams:
                yield from range(max(at - _STEP + 1, 0), min(at, len(text) - _CUT) + 1)

    def _without_pieces(self, text: str) -> str:
        """Mask every run of at least _CUT characters of a key, case-insensitively."""
        lower, kept, end = _lower(text), "", 0
        for at in self._suspect(lower):
            if lower[at : at + _CUT] in self._plain:
                kept += "" if at <= end and kept else text[end:at] + KEY
                end = max(end, at + _CUT)
        return kept + text[end:]


def _decoded(text: str) -> set[str]:
    """Return the text and its decodings through up to _LAYERS layers of escapes, each also with
    lists of bytes, decimal or hex, replaced by their characters."""
    texts = newest = {text}
    for _ in range(_LAYERS):
        newest = {decode(form) for form in newest for decode in _DECODERS} - texts
        if not newest:
            break
        texts = texts | newest
    return texts.union(map(_of_numbers, texts))


def _unescaped(text: str) -> str:
    """Undo escapes of JSON strings, in any text."""

    def character(match: re.Match[str]) -> str:
        code = match[1] or match[2]
        if match[3]:
            return chr(int(match[3], 8))
        return chr(int(code, 16)) if code else _JSON_LETTERS.get(match[4], match[4])

    return _JSON_ESCAPE.sub(character, text) if "\\" in text else text


def _of_url(text: str) -> str:
    return unquote_plus(text) if "%" in text or "+" in text else text


def _unbroken(text: str) -> str:
    """Remove line breaks (base64 in mails), the NULs of UTF-16, and zero-width characters."""
    text = text.replace("\n", "").replace("\r", "").replace("\0", "")
    if text.isascii():
        return text
    return "".join(char for char in text if unicodedata.category(char) not in ("Cf", "Mn"))


_DECODERS = (_unescaped, _of_url, html_unescaped, _unbroken)


def _of_numbers(text: str) -> str:
    return _BYTES.sub(_characters, _INDEX.sub("", text))


def _characters(match: re.Match[str]) -> str:
    digits = re.findall("[0-9a-f]+", match[0].lower().replace("0x", "").replace("u+00", ""))
    decimal = bytes(int(item) if item.isdigit() and int(item) < 256 else 32 for item in digits)
    hexadecimal = bytes(int(item, 16) if len(item) == 2 else 32 for item in digits)
    # In UTF-16, every other byte of ASCII text is zero.
    return b" ".join((decimal, hexadecimal)).replace(b"\0", b"").decode(errors="replace")


def _raw(headers: list[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in headers]


def _lower(text: str) -> str:
    """Lower-case the text without changing its length."""
    return text.replace("\u0130", "i").lower()


def _grams(mark: str) -> set[str]:
    return {mark[at : at + _GRAM] for at in range(len(mark) - _GRAM + 1)}


@cache
def _marks(key: str) -> frozenset[str]:
    """Return, in lower case, the forms of a key that leak it: unescaped, reversed, in ROT13, and in
    hex, base32 and base64, of its UTF-8 once or twice and of its UTF-16 once."""
    once = _encoded(key.encode(errors="surrogateescape"))
    wide = (_encoded(key.encode(kind, "surrogatepass")) for kind in ("utf-16-le", "utf-16-be"))
    twice = (_encoded(form.encode()) for form in once)
    forms = _decoded(key).union([key[::-1], codecs.encode(key, "rot13")], once, *twice, *wide)
    return frozenset(_lower(form) for form in forms if len(form) >= SHORTEST)


def _encoded(raw: bytes) -> set[str]:
    """Return the bytes in hex, and for each offset the part of their base32 and base64 that is
    independent of neighbouring bytes."""
    forms = {raw.hex()}
    for encode, bits, group in ((b64encode, 6, 3), (b32encode, 5, 5)):
        for offset in range(group):
            padded = encode(b"\0" * offset + raw).decode()
            own = padded[-(-offset * 8 // bits) : (offset + len(raw)) * 8 // bits]
            forms |= {own, own.translate(_URLSAFE)}
    return forms
