"""Queries to keywords through the real command, on a server of ours."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.door import prism
from tests.factories import make_pair, read_jsonl, write_jsonl
from tests.servers.fault_server import FaultServer
from tests.servers.replies import Answers

LAB = '[providers.lab]\napi = "openai"\nbase_url = "{url}/v1"\n'


def rewritten(rows: list[dict[str, Any]], reply: Any, *more: str) -> tuple[Any, Any, int]:
    write_jsonl(Path("in.jsonl"), rows)
    with FaultServer(answers=Answers(chat=reply)) as server:
        Path("lab.toml").write_text(LAB.format(url=server.base_url))
        words = ("rewrite-queries", "in.jsonl", "-o", "out.jsonl", "--generator", "lab/m")
        done = prism(*words, "--provider-file", "lab.toml", "--json", *more)
        assert done.returncode == 0, done.stderr
        calls = len(server.calls)
    return read_jsonl(Path("out.jsonl")), json.loads(done.stdout)["figures"], calls


def outcome(figures: Any, name: str) -> int:
    return next(line["rows"] for line in figures["queries"] if line["outcome"] == name)


def test_all_rows_of_a_query_get_one_rewrite_and_its_old_labels_go() -> None:
    query = "what is the capital city of France"
    rows = [make_pair(n, query=query, query_id="q1", verdict="yes", votes={"j": "yes"})
            for n in range(3)]  # fmt: skip
    found, figures, calls = rewritten(rows, lambda *_: "**capital France**", "--fraction", "1")
    assert calls == 1
    for row in found:
        assert (row["query"], row["original_query"]) == ("capital France", query)
        assert (row["query_style"], row["query_id"]) == ("keyword", "q1")
        assert "verdict" not in row
        assert "votes" not in row
    assert outcome(figures, "rewritten") == 3


def test_labels_are_inherited_only_when_asked_and_the_row_says_so() -> None:
    rows = [make_pair(1, verdict="yes")]
    found, *_ = rewritten(rows, lambda *_: "item one", "--fraction", "1", "--inherit-labels")
    assert (found[0]["verdict"], found[0]["labels_from"]) == ("yes", "original")


def test_the_untouched_twin_follows() -> None:
    rows = [make_pair(1)]
    found, *_ = rewritten(rows, lambda *_: "item one", "--fraction", "1", "--ablation")
    assert [row["query_style"] for row in found] == ["keyword", "original"]
    assert found[0]["query_id"] == found[1]["query_id"]
    assert found[1]["query"] == rows[0]["query"]


@pytest.mark.parametrize("reply", ["one two three four five six seven eight", "What is it?", "a\nb",
                                   "Keywords: item", "首都 法国"])  # fmt: skip
def test_what_is_no_keywords_is_asked_three_times_then_the_query_stays(reply: str) -> None:
    found, figures, calls = rewritten([make_pair(1)], lambda *_: reply, "--fraction", "1")
    assert calls == 3
    assert found[0]["query"] == make_pair(1)["query"]
    assert found[0]["query_style"] == "original"
    assert outcome(figures, "refused") == 1


def test_skip_leaves_the_query_and_is_asked_once() -> None:
    found, figures, calls = rewritten([make_pair(1)], lambda *_: "Skip.", "--fraction", "1")
    assert (calls, found[0]["query_style"], outcome(figures, "skipped")) == (1, "original", 1)


def test_a_share_of_the_queries_by_lot_and_none_that_is_too_long() -> None:
    rows = [make_pair(n, query=f"what is item {n}", query_id=f"q{n}") for n in range(200)]
    rows += [make_pair(200, query="word " * 60, query_id="long")]
    found, *_ = rewritten(rows, lambda *_: "item", "--seed", "3")
    share = sum(row["query_style"] == "keyword" for row in found) / 200
    assert 0.3 < share < 0.5
    assert found[-1]["query"] == "word " * 60
    again, *_ = rewritten(rows, lambda *_: "item", "--seed", "3", "--overwrite")
    assert again == found


def test_chinese_words_are_counted_without_blanks() -> None:
    query = "法国的首都是哪座城市"
    found, *_ = rewritten([make_pair(1, query=query)], lambda *_: "法国 首都", "--fraction", "1")
    assert found[0]["query"] == "法国 首都"
