"""`prism collect web` from the command line, on a local server: each query is paid for once."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.door import prism
from tests.factories import make_pair, read_jsonl, write_jsonl
from tests.mini import MINI
from tests.servers.fault_server import FaultServer
from tests.servers.faults import Fault
from tests.servers.replies import Answers, Page

QUERIES = [
    {"query_id": f"q{n}", "query": f"what is item {n}", "note": {"kept": n}} for n in range(3)
]


def text(query: str, page: int) -> str:
    """Return some 600 characters unlike those of any other page."""
    return " ".join(f"{query.replace(' ', '-')}-{page}-{word}" for word in range(30))


def pages(query: str, count: int) -> Sequence[Page]:
    """Return two good pages, with pages to drop between and after them."""
    end = "\x07\n\n\n\nEnd\u200b of it.\nSkip to content"
    first = f"We use cookies to help you.\n{text(query, 0)}{end}"
    return [
        Page("https://a.test/one?utm_source=x&id=1#top", f"One on\n{query}", first),
        Page("http://A.test/one/?id=1", "One again", text(query, 7)),
        Page("https://b.test/copy", "A copy", f"{text(query, 0)} End of it. More."),
        Page("https://b.test/short", "Short", "Too little."),
        Page("https://b.test/cyrillic", "Другое", "Это совсем другой язык. " * 20),
        Page("javascript:alert(1)", "No address", text(query, 8)),
        Page("https://b.test/two", "", text(query, 1)),
    ][:count]


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXA_API_KEY", "planted-exa")
    monkeypatch.setenv("TAVILY_API_KEY", "planted-tavily")
    write_jsonl(Path("queries.jsonl"), QUERIES)


def providers(base_url: str) -> Path:
    path = Path("providers.toml")
    lines = [
        f'[providers.{provider}]\nbase_url = "{base_url}/{provider}"'
        for provider in ("exa", "tavily")
    ]
    path.write_text("\n".join(lines))
    return path


@pytest.mark.parametrize("provider", ["exa", "tavily"])
def test_pages_become_pairs_and_a_second_run_sends_nothing(provider: str) -> None:
    with FaultServer(answers=Answers(pages=pages)) as server:
        options = ("-o", "web.jsonl", "--provider-file", providers(server.base_url))
        words = ("collect", "web", "queries.jsonl", "--web", provider, *options)
        forecast = prism(*words, "--dry-run", "--json")
        assert (forecast.returncode, server.calls) == (0, [])
        thought = json.loads(forecast.stdout)
        (model,) = thought["models"]
        assert (model["model"], model["calls"]) == (f"{provider}/search", 3)
        assert thought["usd"] == pytest.approx({"exa": 0.021, "tavily": 0.024}[provider])
        done = prism(*words, "--json")
        assert done.returncode == 0, done.stderr
        assert len(server.calls) == 3
        rows = read_jsonl(Path("web.jsonl"))
        before = Path("web.jsonl").read_bytes()
        Path("web.jsonl").unlink()
        assert prism(*words, "--overwrite").returncode == 0
        assert len(server.calls) == 3
    assert Path("web.jsonl").read_bytes() == before
    first, two = rows[:2]
    assert list(first) == [
        "query_id", "query", "doc_id", "title", "document", "source", "source_rank", "url",
        "retrieved_at", "note",
    ]  # fmt: skip
    assert first["document"] == f"{text('what is item 0', 0)}\n\nEnd of it."
    assert (first["title"], first["source"]) == ("One on what is item 0", f"web:{provider}")
    assert first["url"] == "https://a.test/one?utm_source=x&id=1#top"
    assert first["retrieved_at"].endswith("+00:00")
    assert (two["url"], two["title"]) == ("https://b.test/two", "")
    assert [row["query_id"] for row in rows] == ["q0", "q0", "q1", "q1", "q2", "q2"]
    assert [row["note"]["kept"] for row in rows] == [0, 0, 1, 1, 2, 2]
    reasons = (
        "the same address", "nearly the same text", "too short", "another script than the query",
        "no web address",
    )  # fmt: skip
    assert json.loads(done.stdout)["figures"]["pages"] == {"kept": 6} | {
        f"left out: {reason}": 3 for reason in reasons
    }


def test_the_cost_is_taken_from_the_reply() -> None:
    with FaultServer(answers=Answers(pages=pages)) as server:
        done = prism(
            "collect", "queries.jsonl", "--web", "exa", "--results", "2", "--json",
            "--provider-file", providers(server.base_url),
        )  # fmt: skip
    assert json.loads(done.stdout)["usage"]["usd"] == pytest.approx(3 * 0.009)


def test_pair_rows_contribute_their_query_and_each_page_once() -> None:
    same = {"query_id": "q0", "query": "what is item 0"}
    write_jsonl(Path("pairs.jsonl"), [make_pair(0), make_pair(0, doc_id="d9"), same])
    with FaultServer(answers=Answers(pages=pages)) as server:
        file = providers(server.base_url)
        done = prism(
            "collect", "pairs.jsonl", "--web", "exa", "-o", "o.jsonl", "--provider-file", file
        )
        assert (done.returncode, len(server.calls)) == (0, 1)
    rows = read_jsonl(Path("o.jsonl"))
    assert [row["url"] for row in rows] == [
        "https://a.test/one?utm_source=x&id=1#top", "https://b.test/two",
    ]  # fmt: skip
    assert "note" not in rows[0]


@pytest.mark.parametrize("name", ["html", "error_object", "500"])
def test_a_bad_reply_is_retried(name: str) -> None:
    with FaultServer([Fault(name, calls=(1,))], Answers(pages=pages)) as server:
        words = ("collect", "web", "queries.jsonl", "--limit", "1", "-o", "web.jsonl")
        done = prism(*words, "--provider-file", providers(server.base_url))
    assert done.returncode == 0, done.stderr
    assert len(server.calls) == 2
    assert len(read_jsonl(Path("web.jsonl"))) == 2


def test_a_missing_key_is_reported_before_any_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EXA_API_KEY")
    done = prism("collect", "web", "queries.jsonl", "-o", "web.jsonl")
    assert done.returncode == 3
    assert "EXA_API_KEY for exa/search" in done.stderr


def test_a_query_without_a_page_is_dropped() -> None:
    with FaultServer(answers=Answers(pages=lambda query, count: [])) as server:
        words = ("collect", "web", "queries.jsonl", "-o", "web.jsonl", "--json")
        done = prism(*words, "--provider-file", providers(server.base_url))
    assert json.loads(done.stdout)["counts"]["dropped"] == {"no page worth keeping": 3}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["queries.jsonl", "--web", "bing"], "--web bing: expected exa, tavily"),
        (["queries.jsonl", "--web", "openai/gpt-5.4-mini"], "is a chat model of a provider"),
        (["queries.jsonl", "--web", "tavily", "--results", "21"], "at most 20 results"),
        (["web"], "nothing to search for"),
        (["web", "queries.jsonl", "--reuse", "queries.jsonl"], "--reuse"),
        (["web", "queries.jsonl", "--from", "prism"], "--from"),
        (["web", str(MINI)], "queries.jsonl with"),
    ],
)
def test_invalid_use_is_reported(words: list[str], message: str) -> None:
    done = prism("collect", *words, "-o", "web.jsonl")
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert not Path("web.jsonl").exists()


def test_a_folder_named_web_is_an_input() -> None:
    Path("web").mkdir()
    write_jsonl(Path("web/rows.jsonl"), [{"query": "a", "pos": ["b"], "neg": ["c"]}])
    done = prism("collect", "web", "-o", "pairs.jsonl")
    assert done.returncode == 0, done.stderr
    assert len(read_jsonl(Path("pairs.jsonl"))) == 2
