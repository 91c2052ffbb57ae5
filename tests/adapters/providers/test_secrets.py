"""Keys are masked in replies, in any encoding."""

import asyncio
import base64
import codecs
import html
import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote, quote_plus

import httpx2
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from prism_cli.adapters.providers.secrets import SHORTEST, WITHHELD, Secrets, is_placeholder

KEY = 'sk /+"\\<&>0815%2F'
Encode = Callable[[str], str]
ENCODINGS: dict[str, Encode] = {
    "plain": str,
    "json": lambda key: json.dumps(key)[1:-1],
    "json_slash": lambda key: json.dumps(key)[1:-1].replace("/", "\\/"),
    "json_all": lambda key: "".join(f"\\u{ord(char):04x}" for char in key),
    "json_upper": lambda key: "".join(f"\\u{ord(char):04X}" for char in key),
    "url": lambda key: quote(key, safe=""),
    "url_light": lambda key: quote(key, safe="+:"),
    "url_form": quote_plus,
    "url_all": lambda key: "".join(f"%{ord(char):02x}" for char in key),
    "html": html.escape,
    "html_decimal": lambda key: "".join(f"&#{ord(char)};" for char in key),
    "html_hex": lambda key: "".join(f"&#X{ord(char):x};" for char in key),
    "base64": lambda key: base64.b64encode(f"x:{key}".encode()).decode(),
    "base64_1": lambda key: base64.b64encode(f"xy:{key}:z".encode()).decode(),
    "base64_2": lambda key: base64.urlsafe_b64encode(f"Bearer {key}".encode()).decode(),
    "base64_lines": lambda key: base64.encodebytes(f"{'x' * 40}{key}".encode()).decode(),
    "hex": lambda key: key.encode().hex(),
    "hex_upper": lambda key: key.encode().hex().upper(),
    "base32": lambda key: base64.b32encode(f"xyz:{key}".encode()).decode(),
    "base64_twice": lambda key: base64.b64encode(base64.b64encode(f"xy:{key}:z".encode())).decode(),
    "hex_base64": lambda key: base64.b64encode(key.encode()).hex(),
    "octal": lambda key: "".join(f"\\{ord(char):03o}" for char in key),
    "zero_width": "\u200b".join,
    "soft_hyphen": lambda key: f"{key[:4]}\u00ad{key[4:]}",
    "bytes": lambda key: str(list(key.encode())),
    "bytes_plain": lambda key: " ".join(map(str, key.encode())),
    "bytes_pretty": lambda key: json.dumps(list(key.encode()), indent=12),
    "bytes_strings": lambda key: json.dumps(list(map(str, key.encode()))),
    "bytes_by_index": lambda key: json.dumps(dict(enumerate(key.encode()))),
    "bytes_utf_16": lambda key: str(list(key.encode("utf-16"))),
    "hex_spaced": lambda key: key.encode().hex(" "),
    "hex_colons": lambda key: key.encode().hex(":").upper(),
    "hex_prefixed": lambda key: ", ".join(map(hex, key.encode())),
    "code_points": lambda key: " ".join(f"U+{ord(char):04X}" for char in key),
    "quoted_printable": lambda key: "".join(f"={ord(char):02X}" for char in key),
    "hex_utf_16": lambda key: key.encode("utf-16-le").hex(),
    "base64_utf_16": lambda key: base64.b64encode(f"x:{key}".encode("utf-16")).decode(),
    "rot13": lambda key: codecs.encode(key, "rot13"),
    "backwards": lambda key: key[::-1],
}
BODIES: dict[str, Callable[[str], str]] = {
    "json": lambda text: json.dumps({"error": {"message": f"bad: {text} given"}}),
    "json_raw": lambda text: f'{{"error": "{text}"}}',
    "json_twice": lambda text: json.dumps({"error": json.dumps({text: [1, text]})}),
    "page": lambda text: f"<html>\n<b>{text}</b> is no key\n</html>",
    "lines": lambda text: f'{{"a": 1}}\n{json.dumps({"a": text})}\n{{"b": 2}}\n',
}


def seen(text: str) -> str:
    """Return all texts that any decoding of `text` reveals."""
    texts = {text}
    for _ in range(3):
        decoded = {html.unescape(form) for form in texts}
        for form in texts:
            decoded |= {undone(form, "%"), undone(form, "\\u")}
        texts |= decoded
    return "\n".join(texts)


def undone(text: str, mark: str) -> str:
    digits = 2 if mark == "%" else 4
    pieces = text.split(mark)
    for place, piece in enumerate(pieces[1:], 1):
        try:
            pieces[place] = chr(int(piece[:digits], 16)) + piece[digits:]
        except ValueError:
            pieces[place] = mark + piece
    return "".join(pieces)


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding_of_a_key_is_masked(encoding: str, body: str) -> None:
    check(KEY, encoding, body)


@settings(max_examples=300, deadline=None)
@given(
    key=st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=8, max_size=60)
    .map(str.strip)
    .filter(lambda key: len(key) >= SHORTEST),
    encoding=st.sampled_from(sorted(ENCODINGS)),
    body=st.sampled_from(sorted(BODIES)),
)
@example("%41%42%43%44%45%46%47%48", "json_all", "json_raw")
@example("a\\nb\\tc&amp;", "html", "json")
def test_no_key_is_left_in_any_encoding(key: str, encoding: str, body: str) -> None:
    check(key, encoding, body)


def check(key: str, encoding: str, body: str) -> None:
    written = ENCODINGS[encoding](key)
    echo = [(b"x-echo", written.strip().encode()), (b"x-name", "Jos\u00e9".encode())]
    response = httpx2.Response(500, text=BODIES[body](written), headers=echo)
    masked = Secrets(["other-key-4711", key]).masked_reply(response)
    left = f"{masked.text}\n{list(masked.headers.values())}"
    assert written not in left
    assert key not in seen(left)
    assert masked.status_code == 500


def test_text_around_a_masked_key_is_kept() -> None:
    secrets = Secrets([KEY])
    body = b'{"choices": [{"message": {"content": "yes"}}], "echo": "sk \\/+\\"\\\\<&>0815%2F"}'
    masked = secrets.masked_reply(httpx2.Response(200, content=body))
    assert masked.json() == {"choices": [{"message": {"content": "yes"}}], "echo": "[key]"}
    lines = secrets.masked_reply(httpx2.Response(200, text=BODIES["lines"](KEY))).text
    assert list(map(json.loads, lines.splitlines())) == [{"a": 1}, {"a": "[key]"}, {"b": 2}]


def test_a_reply_without_a_key_is_the_same_bytes() -> None:
    body = b'{"a":  "5 % of R&D \\u0041 \\\\ + caf\\u00e9"}'
    response = httpx2.Response(200, content=body)
    assert Secrets([KEY, "none", ""]).masked_reply(response).content == body
    assert Secrets(["none"]).masked("none of them") == "none of them"


def test_the_search_of_a_long_body_ends_when_it_is_not_awaited_any_more() -> None:
    response = httpx2.Response(200, content=b'{"a": "no key"}\n' * 80_000)
    answers = iter([False, False, True])
    with pytest.raises(asyncio.CancelledError):
        Secrets([KEY]).masked_reply(response, lambda: next(answers))
    assert next(answers, None) is None


def test_a_truncated_key_and_a_password_in_a_url_are_masked() -> None:
    secrets = Secrets(["sk-planted-0123456789"])
    assert secrets.masked("you gave sk-planted-0123") == "you gave [key]"
    assert secrets.masked("by http://me:secret@proxy/") == "by http://[key]@proxy/"
    assert secrets.masked("b'Bearer sk%2Dplanted-0123456789'") == WITHHELD


def test_a_key_in_a_utf_16_body_is_masked() -> None:
    body = f"your key is {KEY}".encode("utf-16")
    masked = Secrets([KEY]).masked_reply(httpx2.Response(401, content=body))
    assert KEY not in masked.text.replace("\0", "")


LONG = "sk-Planted-0123456789-abcXYZ"


@pytest.mark.parametrize(
    ("piece", "left"),
    [
        (LONG.upper(), ""),
        (LONG.swapcase(), ""),
        (LONG[1:], ""),
        (LONG[:-1], ""),
        (LONG[-12:], ""),
        (LONG[5:17], ""),
        (LONG[:11], LONG[:11]),
        (f"\u0130 {LONG[3:]} and {LONG}", "\u0130 [key] and "),
    ],
)
def test_a_piece_of_a_key_is_masked_whatever_its_letters(piece: str, left: str) -> None:
    masked = Secrets([LONG, "other-key-4711"]).masked(f"you gave {piece}, sir")
    assert masked == f"you gave {left}{'' if left == piece else '[key]'}, sir"


def test_ordinary_text_is_left_alone() -> None:
    page = (Path(__file__).parents[3] / "README.md").read_text()
    keys = [f"{start}{sha256(start.encode()).hexdigest()}" for start in ("sk-", "pa-", "AIza", "x")]
    secrets = Secrets(keys)
    for text in (page, json.dumps({"content": page, "hash": sha256(b"other").hexdigest()})):
        assert secrets.masked(text) == text


@pytest.mark.parametrize("key", ["placeholder", "not-needed", "lm-studio", "token-abc123"])
def test_a_word_in_place_of_a_key_is_a_placeholder(key: str) -> None:
    assert is_placeholder(key)


@pytest.mark.parametrize("key", ["hunter22", "Passphrase", "correct-horse-battery", "x" * 20])
def test_what_may_be_a_key_is_no_placeholder(key: str) -> None:
    assert not is_placeholder(key)


@pytest.mark.parametrize("body", ["page &#" + "9" * 5000, '{"text": "&#' + "0" * 5000 + '"}'])
def test_a_reference_of_thousands_of_digits_is_kept(body: str) -> None:
    reply = Secrets([LONG]).masked_reply(httpx2.Response(200, content=body.encode()))
    assert reply.text == body


def test_a_key_in_references_with_many_zeros_is_masked() -> None:
    body = "".join(f"&#{'0' * 5000}{ord(char)};" for char in LONG)
    assert Secrets([LONG]).masked(body) == WITHHELD
