"""Query synthesis: the prompt, accepted replies, and the filter for queries."""

from dataclasses import replace
from typing import Any

import orjson
import pytest

from prism_cli.domain.chat import UnusableReplyError
from prism_cli.domain.synthesis import (
    EXACT,
    INSTRUCTION,
    MAX_QUERY_TOKENS,
    NEAR,
    STYLES,
    Ask,
    Earlier,
    SynthesisTask,
    fault,
    question,
    shares,
    sifted,
)

TASK = SynthesisTask()
ASK = Ask("Questions a nurse asks about wound care", "", "question", 3)


@pytest.mark.parametrize(
    ("reply", "queries"),
    [
        ('["a b", "c"]', ["a b", "c"]),
        ('```json\n[\n "a",\n "b"\n]\n```', ["a", "b"]),
        ('Here they are:\n["a"]\nDo you want [more]?', ["a"]),
        ('["say \\"ah\\"", "伤口怎么护理"]', ['say "ah"', "伤口怎么护理"]),
        ('["AT&amp;T &lt;3", "R&amp;D"]', ["AT&T <3", "R&D"]),
        ('["a \\ud83d cut emoji"]', ["a \ufffd cut emoji"]),
        ('Here are 3 queries [English], as of [2026]:\n["a", "b"]', ["a", "b"]),
    ],
)
def test_the_first_array_of_strings_counts(reply: str, queries: list[str]) -> None:
    value = TASK.read(ASK, reply)
    assert value == {"queries": queries}
    orjson.dumps(value)  # as stored in the ledger


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        ("", "found none"),
        ("1. how to clean a wound\n2. when to call a doctor", "found none"),
        ("[]", "empty"),
        ('["whole", "torn in the mid', "torn"),
        ('["a", {"query": "b"}]', "found object"),
        ("[1, 2]", "found number 1"),
        ("[" * 100_000, "torn"),
        ("[one, two]", "torn"),
        (f"[{'1' * 5000}]", "torn"),
        ("[x] " * 8 + '["a"]', "torn"),
    ],
)
def test_other_replies_are_unusable(reply: str, why: str) -> None:
    with pytest.raises(UnusableReplyError, match=why):
        TASK.read(ASK, reply)


def test_the_question_has_all_that_changes_a_reply() -> None:
    others = [
        replace(ASK, instruction="other"), replace(ASK, language="Chinese"),
        replace(ASK, style="keyword"), replace(ASK, count=4), replace(ASK, earlier=("a",)),
        replace(ASK, earlier=("b",)), replace(ASK, series=1),
    ]  # fmt: skip
    assert len({question(ask) for ask in [ASK, *others]}) == 8
    prompt = TASK.prompt(replace(ASK, earlier=('say "ah"', "伤口")), 0)
    assert '["say \\"ah\\"", "伤口"]' in prompt.user
    assert prompt.user.startswith("Instruction: Questions a nurse asks about wound care\n")
    assert prompt.system == INSTRUCTION.strip()
    assert len({TASK.prompt(ASK, attempt).temperature for attempt in range(3)}) == 3
    assert (prompt.answer_tokens or 0) >= 3 * STYLES["question"].tokens


@pytest.mark.parametrize(
    ("changed", "query", "reason"),
    [
        ({}, " how  to clean\na wound? ", ""),
        ({}, "is 5 < 6 and x->y in C++", ""),
        ({}, "می‌خواهم زخم را تمیز کنم", ""),
        ({}, " ?! ", "empty"),
        ({}, "how to <b>clean</b> a wound", "markup"),
        ({}, "say <|im_end|> now", "markup"),
        ({}, "**how to clean a wound**", "markup"),
        ({}, "- how to clean a wound", "markup"),
        ({}, "how to\x07 clean", "control characters"),
        ({}, "how to\u202e clean", "control characters"),
        ({}, "how to \ufffd clean", "control characters"),
        ({}, "word " * (5 * MAX_QUERY_TOKENS), "too long"),
        ({"style": "keyword"}, "one two three four five six seven", ""),
        ({"style": "keyword"}, "one two three four five six seven eight", "no keywords"),
        ({"style": "keyword"}, "clean wound how?", "no keywords"),
        ({"language": "Chinese"}, "伤口感染 iPhone 怎么办", ""),
        ({"language": "Chinese"}, "iPhone 15 Pro", ""),
        ({"language": "Chinese"}, "how to clean a wound", "another language"),
        ({"language": "English"}, "如何清洁伤口", "another language"),
        ({"language": "Klingon"}, "如何清洁伤口", ""),
    ],
)
def test_queries_are_kept_or_dropped_with_a_reason(
    changed: dict[str, Any], query: str, reason: str
) -> None:
    ((cleaned, reasons_found),) = sifted(replace(ASK, **changed), [query])
    assert reasons_found == reason
    assert cleaned == " ".join(query.split())


def test_surplus_queries_are_dropped() -> None:
    reasons = [reason for _, reason in sifted(ASK, ["a", "b", "c", "d"])]
    assert reasons == ["", "", "", "more than were asked for"]


def test_a_reply_without_a_usable_query_is_unusable() -> None:
    german = ["wie wird eine Wunde mit dem Verband und der Salbe gereinigt"] * 2
    assert fault(ASK, {"queries": ["<b>", "a"]}) is None
    assert "no query to keep: markup" in (fault(ASK, {"queries": ["<b>a</b>"]}) or "")
    reason = fault(replace(ASK, language="English"), {"queries": german})
    assert reason == "queries in another language: German, expected English"
    assert fault(replace(ASK, language="German"), {"queries": german}) is None


def test_near_duplicates_by_letters_or_order_but_not_by_numbers() -> None:
    earlier = Earlier("wound care of the elderly")
    assert earlier.reason("What is the best dressing for a burn?") == ""
    assert earlier.reason("what is the best dressing for a burn") == EXACT
    assert earlier.reason("What is the best dressing for burns?") == NEAR
    assert earlier.reason("What is the best dressing for a bedsore?") == ""
    assert earlier.reason("elderly wound care tips home") == ""
    assert earlier.reason("tips home: wound care, elderly") == NEAR
    assert earlier.reason("iphone 12 battery life") == ""
    assert earlier.reason("iphone 13 battery life") == ""
    assert earlier.reason("如何在家清洁深层伤口？") == ""
    assert earlier.reason("如何在家里清洁深层伤口") == NEAR
    assert earlier.reason("如何在家缝合深层伤口") == ""
    assert earlier.reason("Wound care of the elderly!") == EXACT


@pytest.mark.parametrize("first", range(3))
def test_shares_are_even_and_the_remainder_rotates(first: int) -> None:
    styles = ["a", "b", "c"]
    assert shares(20, styles, first) == {
        style: 6 if style == styles[first - 1] else 7 for style in "abc"
    }
    assert shares(1, styles, first) == {styles[first]: 1}
