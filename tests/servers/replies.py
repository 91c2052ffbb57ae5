"""The good replies of each API, as pure functions of the request, so that tests know the truth."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.servers.calls import digest
from tests.servers.wire import Reply

Body = dict[str, Any]


class BadRequestError(Exception):
    """A request that the API would refuse; the message names the parameter."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


def hashed(*parts: str) -> float:
    """A number in [0, 1) that the texts decide."""
    return int(digest("\0".join(parts), 12), 16) / 16**12


@dataclass(frozen=True, slots=True)
class Page:
    """One page that a search finds."""

    url: str
    title: str
    text: str
    score: float = 0.5


def made_pages(query: str, count: int) -> list[Page]:
    """`count` pages about a query, best first."""
    return [
        Page(
            url=f"https://pages.test/{digest(query)}/{number}",
            title=f"Page {number} on {query}",
            text=f"{query}: what page {number} says about it, in one sentence.",
            score=round(1 / (number + 2), 4),
        )
        for number in range(count)
    ]


@dataclass(frozen=True, slots=True)
class Answers:
    """What the server answers; each may be replaced.

    Attributes:
        probability: (model, text) -> P(yes) in [0, 1]; decides votes, log-probabilities and
            decisions. The text holds all that was asked in one question.
        chat: (model, text) -> the reply's text; None leaves it to `probability`.
        score: (model, query, document) -> relevance in [0, 1].
        pages: (query, count) -> pages found.
    """

    probability: Callable[[str, str], float] = hashed
    chat: Callable[[str, str], str | None] = lambda model, text: None
    score: Callable[[str, str, str], float] = hashed
    pages: Callable[[str, int], Sequence[Page]] = made_pages

    def chat_text(self, model: str, text: str) -> str:
        """The text of a chat reply."""
        said = self.chat(model, text)
        if said is None:
            said = "yes" if self.probability(model, text) > 0.5 else "no"
        return said


def tokens(text: str) -> int:
    """How many tokens the server bills for a text: a quarter of its characters, rounded up."""
    return (len(text) + 3) // 4


def plain(content: Any) -> str:
    """The text of a message's content, an instruction or a state: strings and text parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(plain(part) for part in content)
    if isinstance(content, dict):
        for name in ("content", "text"):
            if name in content:
                return plain(content[name])
    return "" if content is None else json.dumps(content, ensure_ascii=False)


def text_of(kind: str, body: Body) -> str:
    """All text of a request; what `contains` looks into and what the log's hash stands for."""
    if kind == "chat":
        return plain(body.get("messages"))
    if kind == "decisions":
        asked = [plain(question.get("instructions")) for question in body.get("questions", [])]
        return "\n".join([plain(body.get("input")), *asked])
    if kind == "systemone":
        questions = body.get("questions", {}).values()
        asked = [plain(question.get("instructions")) for question in questions]
        return "\n".join([plain(body.get("state")), *asked])
    if kind in ("rerank", "search", "contents"):
        names = ("query", "documents", "texts", "urls", "ids")
        return "\n".join(plain(body[name]) for name in names if name in body)
    return json.dumps(body, ensure_ascii=False)


def need(body: Body, *names: str) -> None:
    """Raise BadRequestError for a parameter that is not there."""
    for name in names:
        if name not in body:
            raise BadRequestError(f"Missing required parameter: '{name}'.")


def chat(body: Body, answers: Answers) -> Reply:
    """POST /chat/completions."""
    need(body, "model", "messages")
    if body.get("stream"):
        raise BadRequestError("This server does not stream.")
    text = text_of("chat", body)
    said = answers.chat_text(body["model"], text)
    words = said.split()
    longest = body.get("max_completion_tokens") or body.get("max_tokens") or math.inf
    # As real servers do: a reply that fills its bound ends by length, even one whole word.
    full = len(words) >= longest
    if len(words) > longest:
        said = " ".join(words := words[: int(longest)])
    choice: Body = {
        "index": 0,
        "message": {"role": "assistant", "content": said, "refusal": None},
        "logprobs": None,
        "finish_reason": "length" if full else "stop",
    }
    if body.get("logprobs"):
        p_yes = answers.probability(body["model"], text)
        count = body.get("top_logprobs") or 0
        choice["logprobs"] = {
            "content": [logprob(word, p_yes, count) for word in words],
            "refusal": None,
        }
    used = tokens(text), len(words)
    payload = {
        "id": f"chatcmpl-{digest(text)}",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": body["model"],
        "choices": [choice],
        "usage": {
            "prompt_tokens": used[0],
            "completion_tokens": used[1],
            "total_tokens": sum(used),
        },
    }
    return Reply(payload, usage=used)


def logprob(word: str, p_yes: float, count: int) -> Body:
    """A token of a reply: yes and no with their probabilities, other words as if certain."""
    chances = {word: 1.0}
    if word.lower() in ("yes", "no"):
        other = "no" if word.lower() == "yes" else "yes"
        likelier = max(p_yes, 1 - p_yes)  # what is said is the likelier of the two
        chances = {word: likelier, other: 1 - likelier}
    made = [
        {"token": token, "logprob": math.log(max(p, 1e-12)), "bytes": list(token.encode())}
        for token, p in chances.items()
    ]
    return made[0] | {"top_logprobs": made[:count]}


def spread(p: float, count: int) -> list[float]:
    """Probabilities of `count` options: `p` for the last, the rest shared evenly."""
    return [1.0] if count == 1 else [(1 - p) / (count - 1)] * (count - 1) + [p]


def decisions(body: Body, answers: Answers) -> Reply:
    """POST /decisions: predicates, choices (strings or booleans) and scores over one input."""
    need(body, "model", "input", "questions")
    questions = body["questions"]
    if not 1 <= len(questions) <= 400:
        raise BadRequestError("Invalid 'questions': expected 1 to 400 of them.")
    found = []
    for question in questions:
        need(question, "type", "instructions")
        text = f"{plain(body['input'])}\n{plain(question['instructions'])}"
        p = answers.probability(body["model"], text)
        answer: Body = {"type": question["type"], "name": question.get("name")}
        if question["type"] == "predicate":
            answer["probability"] = p
        elif question["type"] == "choice":
            values = [choice["value"] for choice in question["choices"]]
            chances = spread(p, len(values))
            answer["confidence"] = max(chances)
            answer["choice"] = values[chances.index(max(chances))]
            pairs = zip(values, chances, strict=True)
            answer["probabilities"] = [{"value": v, "probability": c} for v, c in pairs]
        elif question["type"] == "score":
            labels = [level["label"] for level in question["levels"]]
            chances = spread(p, len(labels))
            answer["confidence"] = max(chances)
            answer["score"] = sum(number * c for number, c in enumerate(chances))
            answer["probabilities"] = [
                {"label": label, "probability": c, "value": number}
                for number, (label, c) in enumerate(zip(labels, chances, strict=True))
            ]
        else:
            raise BadRequestError(f"Invalid question type: {question['type']!r}.")
        found.append(answer)
    used = tokens(text_of("decisions", body)), len(found)
    usage = {
        "input_tokens": used[0],
        "input_tokens_details": {"cache_write_tokens": 0, "cached_tokens": 0},
        "output_tokens": used[1],
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": sum(used),
    }
    return Reply({"answers": found, "model": body["model"], "usage": usage}, usage=used)


def systemone(body: Body, answers: Answers) -> Reply:
    """POST /systemone: named questions about one state; `noul` is P(true)."""
    known = {"model", "state", "questions", "assets"}
    if body.keys() - known or not {"model", "state", "questions"} <= body.keys():
        raise BadRequestError(f"expected model, state, questions; found {sorted(body)}", 422)
    if not 1 <= len(body["questions"]) <= 64:
        raise BadRequestError("questions: expected 1 to 64 of them", 422)
    found: Body = {}
    for name, question in body["questions"].items():
        text = f"{plain(body['state'])}\n{plain(question.get('instructions'))}"
        p = answers.probability(body["model"], text)
        kind, criteria = question.get("type"), question.get("criteria")
        if kind == "noul":
            found[name] = {"type": "noul", "noul": p}
            continue
        if kind not in ("choice", "score") or not criteria:
            raise BadRequestError(f"questions.{name}: expected a noul, choice or score", 422)
        options = list(criteria) if kind == "choice" else [str(n) for n in range(len(criteria))]
        chances = spread(p, len(options))
        best = options[chances.index(max(chances))]
        found[name] = {"type": kind, "confidence": max(chances)}
        found[name]["probabilities"] = dict(zip(options, chances, strict=True))
        if kind == "choice":
            found[name]["choice"] = best
        else:
            found[name]["score"] = sum(number * c for number, c in enumerate(chances))
            found[name]["legend"] = dict(zip(options, criteria, strict=True))
    used = tokens(text_of("systemone", body)), 0
    usage = {"input_tokens": used[0], "output_tokens": 0}
    return Reply({"model": body["model"], "answers": found, "usage": usage}, usage=used)
