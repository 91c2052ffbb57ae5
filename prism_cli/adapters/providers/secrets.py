"""Keys taken out of what comes from outside, however a server has written them.

What a server sends, and what a library says of a call, passes through here before it is read, kept
or told.
"""

import html
import re
from base64 import b64encode
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote_plus

import httpx2
import orjson

KEY = "[key]"
WITHHELD = "[withheld: it repeats a key]"
SHORTEST = 8
"""Characters of a secret; a placeholder such as `none` is left alone."""
_CUT = 12
"""Characters of a key that was cut at the end of a text."""
_LAYERS = 3
_LONG = 1_000_000
"""Characters of a text that is looked through line by line."""
_JSON_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_JSON_LETTERS = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_USERINFO = re.compile(r"(?<=://)[^/@\s]+(?=@)")
_URLSAFE = str.maketrans("+/", "-_")
_DESCRIBED = ("content-encoding", "content-length", "content-type", "transfer-encoding")


class Secrets:
    """The keys of all providers; each is masked in what any of them sends."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._keys = sorted({key for key in keys if len(key) >= SHORTEST}, key=len, reverse=True)
        plain = {one for key in self._keys for one in _decoded(key) if len(one) >= SHORTEST}
        self._marks = sorted(plain.union(*map(_in_base64, self._keys)))

    def masked(self, text: str) -> str:
        """`text` without keys and without passwords in addresses; withheld as a whole where a key
        stands in it encoded."""
        text = _USERINFO.sub(KEY, text)
        for key in self._keys:
            text = text.replace(key, KEY)
            if key[:_CUT] in text:  # a server may have cut it
                ends = (n for n in range(len(key), _CUT - 1, -1) if text.endswith(key[:n]))
                text = text[:-end] + KEY if (end := next(ends, 0)) else text
        return WITHHELD if self._held(text) else text

    def masked_reply(self, response: httpx2.Response) -> httpx2.Response:
        """The reply without keys in its headers and its body, which has been read."""
        headers = [(name, self.masked(value)) for name, value in response.headers.multi_items()]
        text = response.text
        if self._held(text):
            content = self._masked_body(text).encode("utf-8", "replace")
            headers = [one for one in headers if one[0].lower() not in _DESCRIBED]
            headers.append(("content-type", "text/plain; charset=utf-8"))
            return httpx2.Response(response.status_code, headers=headers, content=content)
        if headers != response.headers.multi_items():
            response.headers = httpx2.Headers(headers)
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
        return any(mark in text for mark in self._marks)


def _decoded(text: str) -> set[str]:
    """The text, and what it may stand for after up to so many layers of escapes."""
    found = newest = {text}
    for _ in range(_LAYERS):
        newest = {decode(one) for one in newest for decode in _DECODERS} - found
        if not newest:
            break
        found = found | newest
    return found


def _unescaped(text: str) -> str:
    """Without the escapes of JSON strings, whether or not it is one."""

    def character(found: re.Match[str]) -> str:
        code = found[1] or found[2]
        return chr(int(code, 16)) if code else _JSON_LETTERS.get(found[3], found[3])

    return _JSON_ESCAPE.sub(character, text) if "\\" in text else text


def _of_url(text: str) -> str:
    return unquote_plus(text) if "%" in text or "+" in text else text


def _of_html(text: str) -> str:
    return html.unescape(text) if "&" in text else text


def _unbroken(text: str) -> str:
    """Without line ends, as of base64 in mails, and without the zeros of UTF-16."""
    return text.replace("\n", "").replace("\r", "").replace("\0", "")


_DECODERS = (_unescaped, _of_url, _of_html, _unbroken)


def _in_base64(key: str) -> set[str]:
    """What of a key's base64 does not depend on the bytes around it, by where it begins."""
    raw, found = key.encode(errors="surrogateescape"), set()
    for offset in range(3):
        whole = b64encode(b"\0" * offset + raw).decode()
        kept = whole[-(-offset * 8 // 6) : (offset + len(raw)) * 8 // 6]
        found |= {kept, kept.translate(_URLSAFE)}
    return found
