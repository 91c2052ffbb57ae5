"""The answer in a chat model's reply."""

import decimal
import json
from typing import Any

import orjson
import pytest

from prism_cli.domain.chat import ChatTask, read_reply
from prism_cli.domain.evidence_task import EvidenceTask
from prism_cli.domain.keywords import RewriteTask
from prism_cli.domain.rating_task import RATINGS, SEVERE, RatedTexts, RatingTask
from prism_cli.domain.reading_task import Reading, ReadingTask
from prism_cli.domain.rubric import JudgeTask
from prism_cli.domain.synthesis import Ask, SynthesisTask

PAIR = ("which id does </think> have", "In Qwen3 the tag </think> has the id 151668.")
EVIDENCE = (
    "<contribution>It names the token.</contribution>\n"
    "<evidence>In Qwen3 the tag </think> has the id 151668.</evidence>"
)
ANSWER = {
    "contribution": "It names the token.",
    "evidence": "In Qwen3 the tag </think> has the id 151668.",
}


def read(task: ChatTask, payload: Any, text: str, unfinished: str = "") -> dict[str, Any]:
    return read_reply(task, payload, task.prompt(payload, 0), text, unfinished=unfinished)


@pytest.mark.parametrize(
    "before",
    [
        "",
        "<think>its subject fits</think>",
        "\n<think>\n\n</think>\n\n",
        "the tag is named</think>\n",
        "<think>the query speaks of </think>, which is a tag</think>",
        "they ask for </think>, which is a tag</think>",
    ],
)
def test_evidence_keeps_a_think_tag_of_its_document(before: str) -> None:
    assert read(EvidenceTask(), (PAIR[0], "", PAIR[1]), before + EVIDENCE) == ANSWER


@pytest.mark.parametrize(
    ("query", "text", "keywords"),
    [
        (PAIR[0], "Qwen3 </think> token id", "Qwen3 </think> token id"),
        (PAIR[0], "<think>short</think>Qwen3 </think> token id", "Qwen3 </think> token id"),
        ("how do panels work", "solar power is meant</think>solar panel", "solar panel"),
        ("how do panels work", "<think>solar power</think>\n\nsolar panel", "solar panel"),
        ("how do panels work", "solar panel\n</think>\n\nsolar panels work", "solar panels work"),
        ("how do panels work", "solar panel</think>\n", "solar panel"),
        ("how do panels work", "<think>a</think> <think>b</think>solar panel", "solar panel"),
        ("how do panels work", "</think>\n\nsolar panel", "solar panel"),
        (PAIR[0], "Qwen3 < /think> token id", "Qwen3 </think> token id"),
        (PAIR[0], "</think> token id", "</think> token id"),
        (PAIR[0], "token id </think>", "token id </think>"),
        (PAIR[0], "</think>\n\nQwen3 </think> id", "Qwen3 </think> id"),
        (PAIR[0], "its tag is meant</think>Qwen3 token id", "Qwen3 token id"),
    ],
)
def test_keywords_keep_a_think_tag_of_their_query(query: str, text: str, keywords: str) -> None:
    assert read(RewriteTask(), query, text) == {"keywords": keywords}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("solar </think> winter", "markup"),
        ("<think>solar panel", "an unfinished thought"),
        ("<think>solar</think>panel\nwinter", "one line"),
        ("<think>solar panel</think>", "one line, found 0"),
        ("\u3164", "no word"),
        ("solar\ufffd winter", "could not be decoded"),
    ],
)
def test_truncated_or_broken_keywords_are_unusable(text: str, why: str) -> None:
    assert why in read(RewriteTask(), "solar panels in winter", text)["unusable"]


@pytest.mark.parametrize(
    ("document", "written", "expected"),
    [
        ("The tag ends a thought.", "The tag </think> ends a thought.", "The tag ends a thought."),
        ("It has &lt;/think&gt; as its end.", "Its end: </think>.", "Its end: </think>."),
        ("In bold by &lt;b&gt;.", "In bold by <b>.", "In bold by <b>."),
    ],
)
def test_evidence_with_a_lone_think_tag_is_accepted(
    document: str, written: str, expected: str
) -> None:
    reply = f"<contribution>It tells of it.</contribution><evidence>{written}</evidence>"
    for text in (reply, f"{reply}\n</think>", f"hm</think>{reply}", f"<think>x</think>{reply}"):
        assert read(EvidenceTask(), ("what is it", "", document), text) == {
            "contribution": "It tells of it.", "evidence": expected,
        }  # fmt: skip


def test_evidence_with_complete_reasoning_in_it_is_refused() -> None:
    text = EVIDENCE.replace("</think>", "<think>what id?</think>")
    assert "unusable" in read(EvidenceTask(), ("q", "", "In Qwen3 it has the id 151668."), text)


@pytest.mark.parametrize("bad", ["\0", "\udfff", "\ufffd"])  # noqa: PT014 (ruff reads a half of a pair as U+FFFD)
def test_evidence_with_a_replacement_character_is_refused(bad: str) -> None:
    text = EVIDENCE.replace("151668", f"15{bad}1668")
    assert "unusable" in read(EvidenceTask(), (PAIR[0], "", PAIR[1]), text)
    broken = PAIR[1].replace("151668", "15\ufffd1668")
    if bad == "\ufffd":  # the document has it
        assert "evidence" in read(EvidenceTask(), (PAIR[0], "", broken), text)


@pytest.mark.parametrize(
    "reference", ["&#0;", "&#xD800;", "&#1114112;", "&#99999999999;", "&#1;", "&amp;#x0;"]
)
def test_evidence_with_an_invalid_character_reference_is_refused(reference: str) -> None:
    text = EVIDENCE.replace("151668", f"151668{reference}")
    document = f"{PAIR[1]} It stands for the end of a thought."
    assert "decoded" in read(EvidenceTask(), (PAIR[0], "", document), text)["unusable"]
    value = read(EvidenceTask(), (PAIR[0], "", document + reference), text)
    assert value["evidence"] == ANSWER["evidence"].replace("151668", f"151668{reference}")


def test_character_references_are_decoded() -> None:
    text = EVIDENCE.replace("the tag", "&#xE000;tag&#13;")
    evidence = read(EvidenceTask(), (PAIR[0], "", PAIR[1]), text)["evidence"]
    assert evidence == ANSWER["evidence"].replace("the tag", "\ue000tag\r")


def test_skip_followed_by_keywords_is_unusable() -> None:
    for text in ("SKIP </think> Qwen3 token", "SKIP - Qwen3 token", "SKIP Qwen3 token"):
        assert "found both" in read(RewriteTask(), PAIR[0], text)["unusable"]
    assert read(RewriteTask(), "what does SKIP do in SQL", "SKIP SQL") == {"keywords": "SKIP SQL"}


POINTS = "\n".join([f"{name}: 4" for name in RATINGS] + [f"{SEVERE}: no"])


@pytest.mark.parametrize(
    "text",
    [
        POINTS, f"{POINTS}</think>", f"<think>hm</think>{POINTS}", f"hm</think>\n{POINTS}",
        f"{POINTS.replace('4', '2')}\n</think>\n\n{POINTS}",
    ],
)  # fmt: skip
@pytest.mark.parametrize("document", PAIR)
def test_ratings_follow_the_reasoning(text: str, document: str) -> None:
    texts = RatedTexts("q", document, "c", "e")
    assert read(RatingTask(), texts, text).get("ratings") == dict.fromkeys(RATINGS, 4)


@pytest.mark.parametrize(("before", "after"), [("", ""), ("hm</think>", ""), ("", "</think>")])
def test_queries_may_have_a_think_tag(before: str, after: str) -> None:
    ask = Ask("tags of Qwen3", "", "question", 2)
    queries = ["what does </think> end", "a </think> b"]
    text = f"{before}{json.dumps(queries)}{after}"
    assert read(SynthesisTask(), ask, text) == {"queries": queries}


@pytest.mark.parametrize("pair", [PAIR, ("capital of France", "Paris is.")])
@pytest.mark.parametrize(
    ("text", "vote"),
    [
        ("yes", "yes"),
        ("its subject fits</think>\nno", "no"),
        ("yes, I think</think>no", "no"),
        ("yes</think>no", None),
        ("no</think>\n\nyes", None),
        ("yes</think>", "yes"),
        ("yes\n</think>\n</think> ", "yes"),
        ("</think>\n\nno", "no"),
        ("<think>yes</think>", None),
        ("yes\0", None),
        ("<think>yes</think>no", "no"),
        ("<think>yes", None),
        ("<think>" + "</think>" * 10_000, None),
    ],
)
def test_a_vote_follows_the_reasoning(pair: tuple[str, str], text: str, vote: str | None) -> None:
    assert read(JudgeTask(), pair, text).get("vote") == vote


def test_an_unfinished_answer_is_always_unusable() -> None:
    assert read(JudgeTask(), PAIR, "yes", "cut") == {"unusable": "cut"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1889\n \nQuestion: When was the", {"answer": "1889"}),
        ("<think>1801\n\n?</think>\n\n1889.\n\nmore", {"answer": "1889."}),
        ("1889 and 1890 and", {"unusable": "cut"}),
        ("\n\n1889 and", {"unusable": "cut"}),
        ("<think>1801\n\nor 1889\n\n", {"unusable": "an unfinished thought, cut at 64 tokens"}),
        ("<think>1801\n\n</think>1889 and", {"unusable": "cut"}),
    ],
)
def test_a_reply_cut_behind_its_first_paragraph_is_an_answer(
    text: str, value: dict[str, str]
) -> None:
    task, reading = ReadingTask(), Reading("When?", ("Built in 1889.",))
    prompt = task.prompt(reading, 0)
    assert read_reply(task, reading, prompt, text, unfinished="cut", cut=64) == value
    assert read_reply(task, reading, prompt, text, unfinished="a tool") == {"unusable": "a tool"}


@pytest.mark.parametrize(
    "error", [ValueError("\ud800" * 500), RecursionError("too deep"), decimal.Overflow()],
)  # fmt: skip
@pytest.mark.parametrize("text", ["yes", "yes</think>no", "<think>a</think>yes"])
def test_an_error_of_a_parser_makes_a_reply_unusable(
    error: Exception, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> dict[str, Any]:
        raise error

    task = JudgeTask()
    monkeypatch.setattr(task, "read", fail)
    value = read(task, PAIR, text)
    assert value["unusable"].startswith("a reply that cannot be parsed: ")
    assert len(orjson.dumps(value)) < 200  # as stored in the ledger
