"""Good replies of each API, as pure functions of the request."""

import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.servers.calls import digest
from tests.servers.wire import Reply

Body = dict[str, Any]


class BadRequestError(Exception):
    """Raised for a request that the API refuses; the message names the parameter."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


def hashed(*parts: str) -> float:
    """Return a number in [0, 1) that depends on the texts."""
    return int(digest("\0".join(parts), 12), 16) / 16**12


@dataclass(frozen=True, slots=True)
class Page:
    """Page of a search result."""

    url: str
    title: str
    text: str
    score: float = 0.5


def made_pages(query: str, count: int) -> list[Page]:
    """Return `count` pages about a query, best first."""
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
    """Functions that compute the server's answers; each may be replaced.

    Attributes:
        probability: (model, text) -> P(yes) in [0, 1]; decides votes, log-probabilities and
            decisions. The text has all parts of one question.
        chat: (model, text) -> the reply's text; None: by `probability`.
        score: (model, query, document) -> relevance in [0, 1].
        pages: (query, count) -> pages.
    """

    probability: Callable[[str, str], float] = hashed
    chat: Callable[[str, str], str | None] = lambda model, text: None
    score: Callable[[str, str, str], float] = hashed
    pages: Callable[[str, int], Sequence[Page]] = made_pages

    def chat_text(self, model: str, text: str) -> str:
        """Return the text of a chat reply."""
        reply = self.chat(model, text)
        if reply is None:
            reply = "yes" if self.probability(model, text) > 0.5 else "no"
        return reply


def tokens(text: str) -> int:
    """Return the billed tokens of a text: a quarter of its characters, rounded up."""
    return (len(text) + 3) // 4


def plain(content: Any) -> str:
    """Return the text of a message's content, an instruction or a state: strings and text parts."""
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
    """Return all text of a request, for `contains` and the log's hash."""
    if kind == "chat":
        return plain(body.get("messages"))
    if kind == "decisions":
        questions_asked = [
            plain(question.get("instructions")) for question in body.get("questions", [])
        ]
        return "\n".join([plain(body.get("input")), *questions_asked])
    if kind == "systemone":
        questions = body.get("questions", {}).values()
        questions_asked = [plain(question.get("instructions")) for question in questions]
        return "\n".join([plain(body.get("state")), *questions_asked])
    if kind in ("rerank", "search", "contents"):
        names = ("query", "documents", "texts", "urls", "ids")
        return "\n".join(plain(body[name]) for name in names if name in body)
    return json.dumps(body, ensure_ascii=False)


def need(body: Body, *names: str) -> None:
    """Raise BadRequestError for a missing parameter."""
    for name in names:
        if name not in body:
            raise BadRequestError(f"Missing required parameter: '{name}'.")


def chat(body: Body, answers: Answers) -> Reply:
    """POST /chat/completions."""
    need(body, "model", "messages")
    if body.get("stream"):
        raise BadRequestError("This server does not stream.")
    text = text_of("chat", body)
    reply = answers.chat_text(body["model"], text)
    words = reply.split()
    longest = body.get("max_completion_tokens") or body.get("max_tokens") or math.inf
    # As on real servers, a reply that reaches its limit ends by length, even a single word.
    full = len(words) >= longest
    if len(words) > longest:
        words = words[: int(longest)]
        reply = "".join(re.findall(r"\s*\S+", reply)[: len(words)])
    choice: Body = {
        "index": 0,
        "message": {"role": "assistant", "content": reply, "refusal": None},
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
    """Return a token of a reply: yes and no with their probabilities, other words as certain."""
    chances = {word: 1.0}
    if word.lower() in ("yes", "no"):
        other = "no" if word.lower() == "yes" else "yes"
        likelier = max(p_yes, 1 - p_yes)  # the reply is the likelier of the two
        chances = {word: likelier, other: 1 - likelier}
    results = [
        {"token": token, "logprob": math.log(max(p, 1e-12)), "bytes": list(token.encode())}
        for token, p in chances.items()
    ]
    return results[0] | {"top_logprobs": results[:count]}


def spread(p: float, count: int) -> list[float]:
    """Return probabilities of `count` options: `p` for the last, the rest evenly distributed."""
    return [1.0] if count == 1 else [(1 - p) / (count - 1)] * (count - 1) + [p]


def decisions(body: Body, answers: Answers) -> Reply:
    """POST /decisions: predicates, choices (strings or booleans) and scores over one input."""
    need(body, "model", "input", "questions")
    questions = body["questions"]
    if not 1 <= len(questions) <= 400:
        raise BadRequestError("Invalid 'questions': expected 1 to 400 of them.")
    results = []
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
        results.append(answer)
    used = tokens(text_of("decisions", body)), len(results)
    usage = {
        "input_tokens": used[0],
        "input_tokens_details": {"cache_write_tokens": 0, "cached_tokens": 0},
        "output_tokens": used[1],
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": sum(used),
    }
    return Reply({"answers": results, "model": body["model"], "usage": usage}, usage=used)


def systemone(body: Body, answers: Answers) -> Reply:
    """POST /systemone: named questions about one state; `noul` is P(true)."""
    fields = {"model", "state", "questions", "assets"}
    if body.keys() - fields or not {"model", "state", "questions"} <= body.keys():
        raise BadRequestError(f"expected model, state, questions; found {sorted(body)}", 422)
    if not 1 <= len(body["questions"]) <= 64:
        raise BadRequestError("questions: expected 1 to 64 of them", 422)
    probabilities: Body = {}
    for name, question in body["questions"].items():
        text = f"{plain(body['state'])}\n{plain(question.get('instructions'))}"
        p = answers.probability(body["model"], text)
        kind, criteria = question.get("type"), question.get("criteria")
        if kind == "noul":
            probabilities[name] = {"type": "noul", "noul": p}
            continue
        if kind not in ("choice", "score") or not criteria:
            raise BadRequestError(f"questions.{name}: expected a noul, choice or score", 422)
        options = list(criteria) if kind == "choice" else [str(n) for n in range(len(criteria))]
        chances = spread(p, len(options))
        best = options[chances.index(max(chances))]
        probabilities[name] = {"type": kind, "confidence": max(chances)}
        probabilities[name]["probabilities"] = dict(zip(options, chances, strict=True))
        if kind == "choice":
            probabilities[name]["choice"] = best
        else:
            probabilities[name]["score"] = sum(number * c for number, c in enumerate(chances))
            probabilities[name]["legend"] = dict(zip(options, criteria, strict=True))
    used = tokens(text_of("systemone", body)), 0
    usage = {"input_tokens": used[0], "output_tokens": 0}
    return Reply({"model": body["model"], "answers": probabilities, "usage": usage}, usage=used)
