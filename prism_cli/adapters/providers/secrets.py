"""Keys taken out of what comes from outside, however a server has written them.

What a server sends, and what a library says of a call, passes through here before it is read, kept
or told.
"""

import codecs
import html
import re
import unicodedata
from base64 import b32encode, b64encode
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any
from urllib.parse import unquote_plus

import httpx2
import orjson

KEY = "[key]"
WITHHELD = "[withheld: it repeats a key]"
SHORTEST = 8
"""Characters of a secret; a placeholder such as `none` is left alone."""
_CUT = 12
"""Characters in a row, of a key or of its encoding, that give it away."""
_GRAM = 6
_STEP = _CUT - _GRAM + 1
"""Any _CUT characters hold a whole piece of _GRAM that begins at a multiple of _STEP."""
_LAYERS = 3
_LONG = 1_000_000
"""Characters of a text that is looked through line by line."""
_JSON_ESCAPE = re.compile(
    r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|([0-3][0-7]{2})|(.))", re.DOTALL
)
_JSON_LETTERS = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_BYTE = "(?:(?:0x|u\\+00)?[2-7][0-9a-f]|[0-9]{1,3})"
_BYTES = re.compile(rf"(?<![\w.]){_BYTE}(?:[^\w.]{{1,64}}{_BYTE}){{7,}}(?![\w.])", re.IGNORECASE)
"""Numbers that may be a key's bytes, each by itself: [115, 107], 73:6b, 0x73 0x6B, =73=6B."""
_INDEX = re.compile(r'"[0-9]{1,4}"\s*:')
"""Of a byte in an array of JavaScript as JSON has it: {"0": 115, "1": 107}."""
_USERINFO = re.compile(r"(?<=://)[^/@\s]+(?=@)")
_URLSAFE = str.maketrans("+/", "-_")
_DESCRIBED = ("content-encoding", "content-length", "content-type", "transfer-encoding")


class Secrets:
    """The keys of all providers; each is masked in what any of them sends."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._keys = sorted({key for key in keys if len(key) >= SHORTEST}, key=len, reverse=True)
        marks = {mark for key in self._keys for mark in _marks(key)}
        self._short = sorted(mark for mark in marks if len(mark) < _CUT)
        self._marks = "\n".join(sorted(marks))
        self._plain = "\n".join(map(_lower, self._keys))
        self._grams = frozenset().union(*map(_grams, marks))

    def masked(self, text: str) -> str:
        """`text` without keys and without passwords in addresses; withheld as a whole where a key
        stands in it encoded."""
        text = _USERINFO.sub(KEY, text)
        for key in self._keys:
            text = text.replace(key, KEY)
        if self._plainly_held(text):
            decoded = "\n".join(map(_lower, _decoded(text) - {text}))
            if any(key in decoded for key in self._plain.split("\n")):
                return WITHHELD
            text = self._without_pieces(text)
        return WITHHELD if self._held(text) else text

    def masked_reply(self, response: httpx2.Response) -> httpx2.Response:
        """The reply without keys in its headers and its body, which has been read."""
        headers = [(name, self.masked(value)) for name, value in response.headers.multi_items()]
        text = response.text
        if self._held(text):
            content = self._masked_body(text).encode("utf-8", "replace")
            headers = [one for one in headers if one[0].lower() not in _DESCRIBED]
            headers.append(("content-type", "text/plain; charset=utf-8"))
            return httpx2.Response(response.status_code, headers=_raw(headers), content=content)
        if headers != response.headers.multi_items():
            response.headers = httpx2.Headers(_raw(headers))
        return response

    def _masked_body(self, text: str) -> str:
        """A body as JSON, else line by line, a line as JSON where it is: so that as much of it as
        can be is still read."""
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
            return {self.masked(key): self._masked_value(one) for key, one in value.items()}
        return list(map(self._masked_value, value)) if isinstance(value, list) else value

    def _held(self, text: str) -> bool:
        """Whether a key stands in it, in any encoding."""
        if len(text) > _LONG:
            lines = text.splitlines()
            return any(map(self._held, lines)) if len(lines) > 1 else self._plainly_held(text)
        return any(map(self._plainly_held, _decoded(text)))

    def _plainly_held(self, text: str) -> bool:
        text = _lower(text)
        return any(mark in text for mark in self._short) or any(
            text[at : at + _CUT] in self._marks for at in self._suspect(text)
        )

    def _suspect(self, text: str) -> Iterator[int]:
        """Where _CUT characters of a mark may begin."""
        for at in range(0, len(text), _STEP):
            if text[at : at + _GRAM] in self._grams:
                yield from range(max(at - _STEP + 1, 0), min(at, len(text) - _CUT) + 1)

    def _without_pieces(self, text: str) -> str:
        """Without each run of _CUT characters and more of a key, whatever the case of letters."""
        lower, kept, end = _lower(text), "", 0
        for at in self._suspect(lower):
            if lower[at : at + _CUT] in self._plain:
                kept += "" if at <= end and kept else text[end:at] + KEY
                end = max(end, at + _CUT)
        return kept + text[end:]


def _decoded(text: str) -> set[str]:
    """The text, and what it may stand for after up to so many layers of escapes; and each of these
    with characters in place of lists of their bytes, decimal or hex."""
    found = newest = {text}
    for _ in range(_LAYERS):
        newest = {decode(one) for one in newest for decode in _DECODERS} - found
        if not newest:
            break
        found = found | newest
    return found.union(map(_of_numbers, found))


def _unescaped(text: str) -> str:
    """Without the escapes of JSON strings, whether or not it is one."""

    def character(found: re.Match[str]) -> str:
        code = found[1] or found[2]
        if found[3]:
            return chr(int(found[3], 8))
        return chr(int(code, 16)) if code else _JSON_LETTERS.get(found[4], found[4])

    return _JSON_ESCAPE.sub(character, text) if "\\" in text else text


def _of_url(text: str) -> str:
    return unquote_plus(text) if "%" in text or "+" in text else text


def _of_html(text: str) -> str:
    return html.unescape(text) if "&" in text else text


def _unbroken(text: str) -> str:
    """Without line ends, as of base64 in mails, the zeros of UTF-16, and characters of no width."""
    text = text.replace("\n", "").replace("\r", "").replace("\0", "")
    if text.isascii():
        return text
    return "".join(one for one in text if unicodedata.category(one) not in ("Cf", "Mn"))


_DECODERS = (_unescaped, _of_url, _of_html, _unbroken)


def _of_numbers(text: str) -> str:
    return _BYTES.sub(_characters, _INDEX.sub("", text))


def _characters(found: re.Match[str]) -> str:
    told = re.findall("[0-9a-f]+", found[0].lower().replace("0x", "").replace("u+00", ""))
    decimal = bytes(int(one) if one.isdigit() and int(one) < 256 else 32 for one in told)
    hexadecimal = bytes(int(one, 16) if len(one) == 2 else 32 for one in told)
    # UTF-16 has a zero at every other place
    return b" ".join((decimal, hexadecimal)).replace(b"\0", b"").decode(errors="replace")


def _raw(headers: list[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in headers]


def _lower(text: str) -> str:
    """In lower case, as many characters."""
    return text.replace("\u0130", "i").lower()


def _grams(mark: str) -> set[str]:
    return {mark[at : at + _GRAM] for at in range(len(mark) - _GRAM + 1)}


@cache
def _marks(key: str) -> frozenset[str]:
    """What gives a key away, in lower case: its forms without escapes, it backwards, in ROT13, and
    in hex, base32 and base64, once or twice, of its UTF-8 and once of its UTF-16."""
    once = _encoded(key.encode(errors="surrogateescape"))
    wide = (_encoded(key.encode(kind, "surrogatepass")) for kind in ("utf-16-le", "utf-16-be"))
    twice = (_encoded(one.encode()) for one in once)
    found = _decoded(key).union([key[::-1], codecs.encode(key, "rot13")], once, *twice, *wide)
    return frozenset(_lower(one) for one in found if len(one) >= SHORTEST)


def _encoded(raw: bytes) -> set[str]:
    """The bytes in hex, and what of their base32 and base64 does not depend on the bytes around
    them, by where they begin."""
    found = {raw.hex()}
    for encode, bits, group in ((b64encode, 6, 3), (b32encode, 5, 5)):
        for offset in range(group):
            whole = encode(b"\0" * offset + raw).decode()
            kept = whole[-(-offset * 8 // bits) : (offset + len(raw)) * 8 // bits]
            found |= {kept, kept.translate(_URLSAFE)}
    return found
