"""The page at `/` in a real browser, with a real server and a scripted model."""

import functools
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest

from prism_cli.domain.token_estimate import estimate_tokens
from tests.reporting.pages import HOSTILE
from tests.serving.test_mcp_command import address, process
from tests.serving.test_server import figure, until

playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
expect = playwright.expect
expect.set_options(timeout=30_000)
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: apt install chromium")
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
)  # fmt: skip
ATTACK = (
    "</script><script>document.title='ran'</script><img src=x onerror=\"document.title='ran'\">"
)
RIVER = "It rained. The river is long. Cats sleep."
CONTRAST = """() => {
  const channels = colour => colour.match(/[\\d.]+/g).map(Number);
  const light = ([red, green, blue]) => {
    const linear = part => (part /= 255) <= .04045 ? part / 12.92 : ((part + .055) / 1.055) ** 2.4;
    return .2126 * linear(red) + .7152 * linear(green) + .0722 * linear(blue);
  };
  const behind = one => {
    for (; one; one = one.parentElement) {
      const paint = channels(getComputedStyle(one).backgroundColor);
      if (paint.length < 4 || paint[3] > 0) return paint;
    }
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const one = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !one.checkVisibility()) continue;
    const pair = [light(channels(getComputedStyle(one).color)), light(behind(one))].sort();
    found.push([(Math.max(...pair) + .05) / (Math.min(...pair) + .05), one.textContent]);
  }
  return found;
}"""


@contextmanager
def server(*words: str, **environment: str) -> Iterator[str]:
    """Start `prism serve` with the scripted model, and return its address."""
    command = ["-m", "tests.serving.fake_prism", "serve", "--port", "0", *words]
    with process(command, subprocess.PIPE, **environment) as one:
        assert one.stderr
        url = address(one.stderr)
        if "FAKE_LOAD_SECONDS" not in environment:
            until(lambda: httpx2.get(f"{url}/ready").status_code == 200)
        yield url


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with server(FAKE_PASS_SECONDS="0.02") as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        one = driver.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield one
        one.close()


class Visit:
    """A page with what its console said and where it sent requests."""

    def __init__(self, browser: Any, url: str, **options: Any) -> None:
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.said: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(url)

    def fill(self, query: str, documents: list[str]) -> None:
        self.page.locator("#query").fill(query)
        self.page.locator("#documents").evaluate(
            "(box, text) => { box.value = text;"
            " box.dispatchEvent(new Event('input', {bubbles: true})); }",
            "\n---\n".join(documents),
        )

    def rank(self, query: str, documents: list[str]) -> None:
        self.fill(query, documents)
        self.page.get_by_role("button", name="Rank").click()

    def says(self, text: str) -> None:
        expect(self.page.get_by_role("status")).to_contain_text(text)

    def alerts(self, text: str) -> None:
        expect(self.page.get_by_role("alert")).to_contain_text(text)


@pytest.fixture
def visit(browser: Any, url: str) -> Iterator[Visit]:
    one = Visit(browser, url)
    yield one
    one.context.close()


def focused(page: Any) -> str:
    return str(page.evaluate("document.activeElement.id"))


def test_a_ranking_by_keyboard_alone(visit: Visit) -> None:
    page, keys = visit.page, visit.page.keyboard
    order = []
    for _ in range(6):
        keys.press("Tab")
        order.append(focused(page))
    assert order == ["query", "documents", "evidence", "rank", "stop", "example"]
    keys.press("Enter")
    assert page.locator("#query").input_value() == "How long do whole eggs keep in the fridge?"
    for _ in range(5):
        keys.press("Shift+Tab")
    assert focused(page) == "query"
    keys.press("Control+A")
    keys.type("eggs")
    keys.press("Enter")
    visit.says("of 3 answer")
    assert focused(page) == "query"
    for _ in range(3):
        keys.press("Tab")
    keys.press("Enter")
    expect(page.locator("#rank")).to_have_attribute("aria-disabled", "true")
    visit.says("of 3 answer")
    assert focused(page) == "rank"
    keys.press("Shift+Tab")
    keys.press("Space")
    keys.press("Shift+Tab")
    keys.press("Control+Enter")
    visit.says("Waiting")
    visit.says("of 3 answer")
    assert focused(page) == "documents"
    expect(page.locator("#tokens")).to_be_hidden()
    assert visit.said == []


def test_scores_come_before_evidence_and_focus_stays_in_a_row(browser: Any) -> None:
    with server(FAKE_PASS_SECONDS="0.3") as url:
        visit = Visit(browser, url)
        visit.rank("river", [RIVER, "a cat", "A river in spring."])
        visit.says("evidence is being written")
        rows = visit.page.locator("#results > li")
        assert [row[:3] for row in rows.all_inner_texts()] == ["yes", "yes", "no\n"]
        assert visit.page.locator(".evidence").count() == 0
        assert visit.page.get_by_text("evidence is being written …").count() == 2
        summary = rows.nth(2).locator("summary")
        summary.focus()
        visit.says("2 of 3 answer")
        assert visit.page.locator(".evidence").count() == 2
        assert summary.evaluate("one => one === document.activeElement")
        visit.context.close()


@pytest.mark.parametrize(
    ("query", "sentence", "document"),
    [
        ("river", "The river is long.", RIVER),
        ("river", "The river 🏞️ is long.", "👩🏽‍🚀🎉 𝔸 day. The river 🏞️ is long. 🐈 sleep."),
        ("river", "The river is long.", "It rained.\r\n\r\nThe river is long.\r\nCats sleep."),
        ("النهر", "النهر طويل جدا.", "هطل المطر اليوم. النهر طويل جدا. القط ينام."),
        ("הנהר", "הנהר ארוך מאוד.", "ירד גשם היום. הנהר ארוך מאוד. 🐈 החתול ישן."),
    ],
    ids=["ascii", "astral", "crlf", "arabic", "hebrew"],
)
def test_cited_sentences_are_marked(visit: Visit, query: str, sentence: str, document: str) -> None:
    visit.rank(query, [document, "a cat"])
    visit.says("1 of 2 answers")
    assert visit.page.locator(".evidence").all_inner_texts() == [sentence]
    assert visit.page.locator("mark").all_text_contents() == [sentence]
    shown = visit.page.locator(".document").first
    assert shown.text_content() == document.replace("\r\n", "\n")
    direction = shown.evaluate("one => getComputedStyle(one).direction")
    assert direction == ("ltr" if query == "river" else "rtl")


def test_tokens_of_evidence_and_documents_are_shown(visit: Visit) -> None:
    documents = [RIVER, "Ein Fluß, 3.200 km lang; 中文文本 🎉 नमस्ते ABC."]
    visit.rank("river", documents)
    visit.says("1 of 2 answers")
    read = 2 * estimate_tokens("The river is long.")
    whole = sum(map(estimate_tokens, documents))
    assert visit.page.locator("#readtokens").inner_text() == f"{read} tokens"
    assert visit.page.locator("#wholetokens").inner_text() == f"{whole} tokens"
    visit.says(f"about {read} tokens of evidence instead of {whole}")


def test_the_curl_line_sends_the_same_request(visit: Visit) -> None:
    documents = [
        'it\'s "a" river $HOME `id` $(id) \\n \\\\ %s !! \\',
        "JSON\nEOF\n'JSON'\nJSON\n\n\triver 🎉\u2028 @file",
    ]
    visit.fill("river", documents)
    visit.page.get_by_text("The same request with curl").click()
    command = visit.page.locator("#curl").text_content()
    done = subprocess.run(
        ["bash", "-c", command + "\n"], capture_output=True, text=True, timeout=60, check=True
    )
    results = json.loads(done.stdout)["results"]
    assert sorted(one["document"]["text"] for one in results) == sorted(documents)


def test_stop_gives_the_work_up(browser: Any) -> None:
    with server(FAKE_PASS_SECONDS="0.2") as url:
        visit = Visit(browser, url)
        visit.rank("river", [f"river {number} " + "x" * 900 for number in range(100)])
        until(lambda: figure(url, "prism_queued_bytes") > 0)
        visit.page.get_by_role("button", name="Stop").click()
        visit.says("Stopped.")
        expect(visit.page.get_by_role("alert")).to_be_empty()
        until(lambda: figure(url, "prism_queued_bytes") == 0)
        assert figure(url, "prism_pairs_total") < 100
        visit.rank("river", ["a river"])
        visit.says("1 of 1 answers")
        visit.context.close()


def test_a_key_is_asked_for_and_sent_by_curl_too(browser: Any) -> None:
    with server(PRISM_API_KEYS="sesame") as url:
        visit = Visit(browser, url)
        expect(visit.page.locator("#key")).to_be_hidden()
        visit.rank("river", ["a river"])
        visit.alerts("expected a key")
        assert focused(visit.page) == "key"
        visit.page.locator("#key").fill("wrong")
        visit.page.keyboard.press("Enter")
        visit.alerts("expected a key")
        visit.page.locator("#key").fill("sesame")
        visit.page.keyboard.press("Enter")
        visit.says("1 of 1 answers")
        expect(visit.page.get_by_role("alert")).to_be_empty()
        visit.context.grant_permissions(["clipboard-read", "clipboard-write"])
        visit.page.get_by_text("The same request with curl").click()
        visit.page.get_by_role("button", name="Copy").click()
        expect(visit.page.locator("#copy")).to_have_text("Copied")
        command = visit.page.evaluate("navigator.clipboard.readText()")
        assert "sesame" not in command
        environment = {**os.environ, "PRISM_API_KEY": "sesame"}
        done = subprocess.run(
            ["bash", "-c", command + "\n"], env=environment, capture_output=True, timeout=60
        )
        assert b'"results"' in done.stdout
        visit.context.close()


def fulfil(reply: dict[str, Any], route: Any) -> None:
    route.fulfill(**reply)


def test_refusals_are_told_in_words(visit: Visit) -> None:
    page = visit.page
    visit.rank("river", [" "])
    visit.alerts("Give at least one document.")
    visit.rank("river", ["a"] * 1001)
    visit.alerts("expected at most 1,000, found 1,001")
    body = {"message": "the queue is full: retry in 3 s"}
    for reply, message in (
        ({"status": 429, "json": body, "headers": {"retry-after": "3"}}, "the queue is full"),
        ({"status": 502, "body": "<html>Bad gateway</html>"}, "The server answered with 502"),
        ({"status": 200, "body": ""}, "The connection ended before the result."),
        (
            {"status": 200, "body": 'event: error\ndata: {"message": "the model failed"}\n\n'},
            "the model failed",
        ),
    ):
        answer = functools.partial(fulfil, reply)
        page.route("**/v1/rerank", answer)
        visit.rank("river", ["a river"])
        visit.alerts(message)
        visit.says("No ranking.")
        page.unroute("**/v1/rerank")


def test_a_server_that_loads_is_waited_for_and_one_that_left_is_told(browser: Any) -> None:
    with server(FAKE_LOAD_SECONDS="2", FAKE_PASS_SECONDS="0.3") as url:
        visit = Visit(browser, url)
        visit.rank("river", ["a river"])
        visit.says("The model is not ready.")
        visit.says("1 of 1 answers")
        visit.rank("river", [f"river {number}" for number in range(40)])
        visit.says("evidence is being written")
    visit.alerts("The connection ended before the result.")
    visit.says("Scores, without the rest.")
    assert visit.page.locator("#results > li").count() == 40
    expect(visit.page.get_by_text("evidence is being written …")).to_have_count(0)
    visit.rank("river", ["a river"])
    visit.alerts("The server does not answer.")
    visit.context.close()


def test_hostile_text_does_nothing(browser: Any) -> None:
    with server("--name", ATTACK + "/*EXAMPLE*/") as url:
        visit = Visit(browser, url)
        assert visit.page.locator("#model").inner_text() == ATTACK + "/*EXAMPLE*/"
        documents = [f"{ATTACK} river {text}" for text in HOSTILE.values()]
        documents = [one.encode("utf-8", "replace").decode().replace("\0", "") for one in documents]
        visit.rank("river", documents)
        visit.says(f"{len(documents)} answer")
        visit.rank(ATTACK, [f"{ATTACK}. {ATTACK}"])
        visit.says("1 of 1 answers")
        assert ATTACK in visit.page.locator(".evidence").inner_text()
        visit.page.get_by_text("The same request with curl").click()
        assert visit.page.title() == "prism"
        assert visit.page.locator("img, #results script, h1 + h1").count() == 0
        assert visit.said == []
        assert visit.requests
        assert all(one.startswith((url, "data:")) for one in visit.requests)
        # The console would have told: a style that the policy does not know is refused.
        visit.page.evaluate("document.body.setAttribute('style', 'color: red')")
        until(lambda: any("Content Security Policy" in line for line in visit.said), 10)
        visit.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "scale"), [(1280, 1), (640, 2), (390, 2), (320, 2)])
def test_the_page_fits_and_has_contrast(
    browser: Any, url: str, width: int, scale: int, scheme: str
) -> None:
    visit = Visit(
        browser, url, viewport={"width": width, "height": 800}, device_scale_factor=scale,
        color_scheme=scheme, reduced_motion="reduce",
    )  # fmt: skip
    visit.rank("river", [f"{'W' * 300} river.", RIVER * 40, "a cat " * 90])
    visit.says("2 of 3 answer")
    closed = visit.page.locator("details:not([open]) > summary")
    while closed.count():
        closed.first.click()
    assert visit.page.evaluate("document.documentElement.scrollWidth") == width
    found = visit.page.evaluate(CONTRAST)
    assert len(found) > 20
    assert min(found)[0] >= 4.5, min(found)
    background = visit.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == {"light": "rgb(253, 253, 251)", "dark": "rgb(21, 23, 26)"}[scheme]
    assert visit.page.evaluate("document.getAnimations().length") == 0
    visit.context.close()


def test_a_screen_reader_finds_names(visit: Visit) -> None:
    visit.rank("river", [RIVER, "a cat"])
    visit.says("1 of 2 answers")
    seen = visit.page.locator("body").aria_snapshot()
    for part in (
        'heading "prism" [level=1]', 'textbox "Question"', 'textbox "Documents"',
        'checkbox "Contribution and evidence" [checked]', 'button "Rank"',
        'heading "Ranking" [level=2]', 'list "Ranking"', 'group "Document 1"', "status",
    ):  # fmt: skip
        assert part in seen, part
    session = visit.context.new_cdp_session(visit.page)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    controls = [
        node for node in nodes
        if any(one["name"] == "focusable" for one in node.get("properties", []))
        and node["role"]["value"] != "RootWebArea"
    ]  # fmt: skip
    assert len(controls) >= 9
    assert all(node["name"]["value"] for node in controls if node["role"]["value"] != "generic")


def test_two_hundred_documents_are_shown_at_once(browser: Any) -> None:
    with server() as url:
        visit = Visit(browser, url)
        text = "The river is long. " + "It rained in the hills for a day. " * 150
        documents = [f"{number} {text}" for number in range(200)]
        visit.page.locator("#query").fill("river")
        visit.context.grant_permissions(["clipboard-read", "clipboard-write"])
        visit.page.evaluate(
            "text => navigator.clipboard.writeText(text)", "\n---\n".join(documents)
        )
        visit.page.locator("#documents").focus()
        began = time.perf_counter()
        visit.page.keyboard.press("Control+V")
        expect(visit.page.locator("#count")).to_have_text(re.compile("200 documents"))
        assert time.perf_counter() - began < 8  # about 1; by Chromium's own insertion 30
        visit.page.locator("#evidence").uncheck()
        visit.page.get_by_role("button", name="Rank").click()
        visit.says("200 of 200 answer")
        assert visit.page.locator("#results > li").count() == 200
        work = visit.page.evaluate(
            "() => { const began = performance.now(); changed(); return performance.now() - began }"
        )
        assert work < 1000  # a key press; about 20 ms
        assert visit.page.locator(".document").first.text_content() == ""  # filled when opened
        visit.context.close()
