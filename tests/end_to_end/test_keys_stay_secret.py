"""Keys that a server repeats in any encoding are in no file and no message."""

import base64
import html
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.door import prism
from tests.factories import make_pair, write_jsonl

KEY = 'sk-pl/anted+"4711"\\x<&>'
OTHER = "sk-other-0815-hidden"
"""Of a provider that is not asked."""


def escaped(key: str) -> str:
    return json.dumps(key)[1:-1].replace("/", "\\/").replace("+", "\\u002b")


def in_base64(key: str) -> str:
    return base64.b64encode(f"a:{key}".encode()).decode()


FORMS: list[Callable[[str], str]] = [
    escaped, in_base64, html.escape, lambda key: quote(key, safe=""), str,
]  # fmt: skip


def answer(text: str) -> bytes:
    """Return a judge's reply with the text verbatim."""
    reply = json.dumps(
        {"choices": [{"finish_reason": "stop", "message": {"content": "TEXT"}}], "usage": None}
    )
    return reply.replace("TEXT", text).encode()


class Echo(BaseHTTPRequestHandler):
    """Handler that answers with `status` and a body with both keys in the next of FORMS."""

    status = 200
    asked = 0

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        form = FORMS[Echo.asked % len(FORMS)]
        Echo.asked += 1
        text = f"{form(KEY)} and {form(OTHER)}"
        body = answer(text) if self.status == 200 else f'{{"error": "{text}"}}'.encode()
        self.send_response(self.status)
        self.send_header("x-echo", quote(KEY))
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("LAB_KEY", KEY)
    monkeypatch.setenv("DEEPSEEK_API_KEY", OTHER)
    monkeypatch.setattr(Echo, "asked", 0)
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()


@pytest.mark.parametrize("status", [200, 400, 429, 500])
def test_a_repeated_key_reaches_no_file_and_no_message(
    status: int, url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PRISM_STATE", str(tmp_path / "state"))
    monkeypatch.setattr(Echo, "status", status)
    Path("providers.toml").write_text(
        f'[providers.lab]\napi = "openai"\nbase_url = "{url}"\nkey_env = "LAB_KEY"\n'
        "timeout_seconds = 0.4\ndeadline_seconds = 0.4\n"
    )
    write_jsonl(Path("rows.jsonl"), [make_pair(n, document=f"Item {n}") for n in range(12)])
    words = ("--judge", "lab/j", "--provider-file", "providers.toml", "--accept-pending")
    done = prism("relabel", "rows.jsonl", "-o", "out.jsonl", *words)
    output = prism("doctor", *words[:4])
    assert Echo.asked >= len(FORMS)
    texts = {"stderr": done.stderr + output.stderr, "stdout": done.stdout + output.stdout}
    for path in tmp_path.rglob("*"):
        if path.is_file():
            texts[path.name] = path.read_bytes().decode("latin-1")
    assert len(texts) > 5
    for name, text in texts.items():
        for key in (KEY, OTHER):
            for form in (*FORMS, lambda key: json.dumps(key)[1:-1]):
                encoded = form(key)
                secret = encoded[4:-4] if form is in_base64 else encoded
                assert secret not in text, name
