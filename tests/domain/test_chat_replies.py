"""Where the answer stands in a chat model's reply."""

from typing import Any

import pytest

from prism_cli.domain.chat import ChatTask, read_reply
from prism_cli.domain.evidence_task import EvidenceTask
from prism_cli.domain.keywords import RewriteTask
from prism_cli.domain.rubric import JudgeTask

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
def test_evidence_keeps_the_tag_that_its_document_has(before: str) -> None:
    assert read(EvidenceTask(), (PAIR[0], "", PAIR[1]), before + EVIDENCE) == ANSWER


@pytest.mark.parametrize(
    ("query", "text", "keywords"),
    [
        (PAIR[0], "Qwen3 </think> token id", "Qwen3 </think> token id"),
        (PAIR[0], "<think>short</think>Qwen3 </think> token id", "Qwen3 </think> token id"),
        ("how do panels work", "solar power is meant</think>solar panel", "solar panel"),
        ("how do panels work", "<think>solar power</think>\n\nsolar panel", "solar panel"),
    ],
)
def test_keywords_keep_the_tag_that_their_query_has(query: str, text: str, keywords: str) -> None:
    assert read(RewriteTask(), query, text) == {"keywords": keywords}


@pytest.mark.parametrize("pair", [PAIR, ("capital of France", "Paris is.")])
@pytest.mark.parametrize(
    ("text", "vote"),
    [
        ("yes", "yes"),
        ("its subject fits</think>\nno", "no"),
        ("yes, I think</think>no", "no"),
        ("<think>yes</think>no", "no"),
        ("<think>yes", None),
        ("<think>" + "</think>" * 10_000, None),
    ],
)
def test_a_vote_stands_behind_the_thought(
    pair: tuple[str, str], text: str, vote: str | None
) -> None:
    assert read(JudgeTask(), pair, text).get("vote") == vote


def test_an_unfinished_answer_is_unusable_whatever_it_says() -> None:
    assert read(JudgeTask(), PAIR, "yes", "cut") == {"unusable": "cut"}
