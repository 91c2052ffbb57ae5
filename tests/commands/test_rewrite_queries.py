"""`prism rewrite-queries` through the real command, against a local server."""

import json
from pathlib import Path
from typing import Any

import pytest

from prism_cli.domain.keywords import RewriteTask
from prism_cli.engine.batch import client
from tests.door import prism
from tests.factories import make_pair, make_pairs, read_jsonl, write_jsonl
from tests.servers.batches import BatchPlan
from tests.servers.fault_server import FaultServer
from tests.servers.replies import Answers
from tests.servers.script import Settings

WORDS = ("rewrite-queries", "in.jsonl", "-o", "out.jsonl", "--generator", "lab/writer")


def provider_file(server: FaultServer, key: str = "") -> Path:
    path = Path("lab.toml")
    path.write_text(
        f'[providers.lab]\napi = "openai"\nbase_url = "{server.base_url}/v1"\nkey_env = "{key}"\n'
        "[providers.lab.models.writer]\nusd_per_million_input = 1.0\nusd_per_million_output = 2.0\n"
        "answer_tokens = [256]\n"
    )
    return path


def written(model: str, text: str) -> str:
    """Reply with keywords, SKIP for item 1, and a question for item 2."""
    if "item 1\n" in text:
        return "SKIP"
    return "what is that?" if "item 2\n" in text else "**item kind**"


def test_queries_become_keywords_and_no_reply_is_paid_for_twice() -> None:
    write_jsonl(Path("in.jsonl"), [*make_pairs(4), make_pair(3, doc_id="other")])
    with FaultServer(answers=Answers(chat=written)) as server:
        words = (*WORDS, "--provider-file", provider_file(server))
        done = prism(*words, "--fraction", "1", "--json")
        assert done.returncode == 0, done.stderr
        assert len(server.calls) == 3 + 3  # item 2 is asked three times
        rerun = prism(*words, "--fraction", "1", "--ablation", "--overwrite", "-q")
        assert rerun.returncode == 0, rerun.stderr
        assert len(server.calls) == 6
    figures = json.loads(done.stdout)["figures"]["queries"]
    counts = {figure["outcome"]: (figure["queries"], figure["rows"]) for figure in figures}
    assert counts["rewritten"] == (2, 3)
    assert counts["skipped"] == counts["refused"] == (1, 1)
    rows = read_jsonl(Path("out.jsonl"))
    assert [row["query_style"] for row in rows] == ["keyword", "original"] + ["original"] * 2 + [
        "keyword", "original",
    ] * 2  # fmt: skip
    assert (rows[0]["query"], rows[0]["original_query"]) == ("item kind", "what is item 0")


def test_a_forecast_sends_nothing_and_includes_reasoning_tokens() -> None:
    write_jsonl(Path("in.jsonl"), make_pairs(1))
    with FaultServer(answers=Answers(chat=written)) as server:
        words = (*WORDS, "--provider-file", provider_file(server), "--fraction", "1")
        done = prism(*words, "--dry-run", "--json")
        assert done.returncode == 0, done.stderr
        assert len(server.calls) == 0
    (model,) = json.loads(done.stdout)["models"]
    assert (model["questions"], model["output tokens"]) == (1, 64 + 255)


def test_a_missing_key_is_named() -> None:
    write_jsonl(Path("in.jsonl"), make_pairs(1))
    done = prism("rewrite-queries", "in.jsonl", "--generator", "deepseek/deepseek-chat")
    assert done.returncode == 3
    assert "DEEPSEEK_API_KEY" in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "generator: expected a value, found none; give --generator"),
        (("--generator", "nobody/model"), "expected extractive, hf:smollm2"),
        (("--generator", "hf:smollm2", "--reuse", "in.jsonl"), "--reuse"),
        (("--generator", "hf:smollm2", "--fraction", "2"), "fraction"),
    ],
)
def test_invalid_use_is_reported(words: tuple[str, ...], message: str) -> None:
    write_jsonl(Path("in.jsonl"), make_pairs(1))
    done = prism("rewrite-queries", "in.jsonl", *words)
    assert done.returncode == 2
    assert message in done.stderr


def test_the_extractive_rewriter_needs_no_model_and_counts_skipped_queries() -> None:
    rewrites = {
        "How many boats moor in Orme?": "many boats moor Orme",
        "Why is the quay wet?": None,
        "Qual è la capitale d'Italia?": None,
    }
    rows = [make_pair(number, query=query) for number, query in enumerate(rewrites)]
    write_jsonl(Path("in.jsonl"), [*rows, make_pair(0, query=rows[0]["query"], doc_id="other")])
    words = ("rewrite-queries", "in.jsonl", "-o", "out.jsonl", "--generator", "extractive",
             "--fraction", "1", "--ablation")  # fmt: skip
    done = prism(*words, "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["usage"]["asked"] == 3  # the same reply is not requested again
    figures = summary["figures"]["queries"]
    counts = {figure["outcome"]: (figure["queries"], figure["rows"]) for figure in figures}
    assert counts["asked"] == (3, 4)
    assert counts["rewritten"] == (1, 2)
    assert counts["skipped"] == counts["refused"] == (1, 1)
    output = read_jsonl(Path("out.jsonl"))
    query, keywords = next(iter(rewrites.items()))
    assert [(row["query"], row["query_style"]) for row in output] == [
        (keywords, "keyword"), (query, "original"), ("Why is the quay wet?", "original"),
        ("Qual è la capitale d'Italia?", "original"), (keywords, "keyword"), (query, "original"),
    ]  # fmt: skip
    assert output[0]["original_query"] == query
    assert output[0]["query_id"] == output[1]["query_id"] == output[4]["query_id"]
    before = Path("out.jsonl").read_bytes()
    assert prism(*words, "--overwrite", "--fresh").returncode == 0
    assert Path("out.jsonl").read_bytes() == before


@pytest.mark.parametrize("batches", ["false", "true"])
def test_a_reply_on_which_the_parser_fails_is_paid_for_thrice_and_never_again(
    batches: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(task: RewriteTask, payload: str, text: str) -> dict[str, Any]:
        return {"keywords": "item kind"} if text == "fine" else {"keywords": str(int("1" * 5000))}

    monkeypatch.setattr(RewriteTask, "read", read)
    monkeypatch.setattr(client, "FIRST_PAUSE", 0.02)
    monkeypatch.setattr(client, "LONGEST_PAUSE", 0.02)
    write_jsonl(Path("in.jsonl"), make_pairs(4))
    answers = Answers(chat=lambda model, text: "hostile" if "item 2\n" in text else "fine")
    with FaultServer(answers=answers, settings=Settings(batch=BatchPlan(polls=1))) as server:
        file = provider_file(server)
        file.write_text(file.read_text().replace("api =", f"batches = {batches}\napi ="))
        words = (*WORDS, "--provider-file", file, "--fraction", "1", "--json")
        batch = ("--batch",) if batches == "true" else ()
        done = prism(*words, *batch)
        assert done.returncode == 0, done.stderr
        kind = "batch_line" if batch else "chat"
        assert len([call for call in server.calls if call.kind == kind]) == 3 + 3
        calls = len(server.calls)
        assert prism(*words, *batch, "--overwrite").returncode == 0
        assert len(server.calls) == calls
    figures = json.loads(done.stdout)["figures"]["queries"]
    counts = {figure["outcome"]: figure["queries"] for figure in figures}
    assert (counts["rewritten"], counts["refused"]) == (3, 1)
