"""Faults: rules that are matched to each request; the first match applies."""

import math
from collections import Counter, deque
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from email.utils import formatdate
from time import time
from typing import Any

from tests.servers.calls import Call
from tests.servers.replies import hashed
from tests.servers.wire import SENDERS, Reply

STATUSES = {
    "400": "invalid_request_error",
    "401": "invalid_api_key",
    "402": "insufficient_quota",
    "403": "permission_denied",
    "404": "model_not_found",
    "413": "request_too_large",
    "422": "unprocessable_entity",
    "429": "rate_limit_exceeded",
    "500": "server_error",
    "503": "service_unavailable",
    "529": "overloaded_error",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """Rule of a fault. All conditions that are set must hold.

    Attributes:
        name: a status of STATUSES, a sender of `wire`, or a spoiler of SPOILERS.
        model, path, contains, key: the request's model, a part of its path, of its text, its key.
        calls: which of the matching calls, counted from 1; () for each.
        every: each k-th matching call.
        after: number of matching calls without the fault first ("401 after 20 good replies").
        times: maximum number of faults; 0 for no limit.
        per_text: count `calls`, `every` and `times` separately for each (model, text): with
            calls=(1,) each question fails once and is answered when it is retried.
        probability: random by the server's seed, the model, the text and its number of requests.
        seconds: pause between bytes (slow_drip), before the RST (reset_after_headers), or timeout
            of a silent server (no_answer, half_closed, length_too_long); for `delay`, the delay.
        retry_after: the header verbatim; `date+5` becomes an HTTP date in 5 seconds.
        location: target of `redirect`.
        echo_key: an error's message repeats the key, as some servers do.
    """

    name: str
    model: str = ""
    path: str = ""
    contains: str = ""
    key: str = ""
    calls: tuple[int, ...] = ()
    every: int = 0
    after: int = 0
    times: int = 0
    per_text: bool = False
    probability: float = 1.0
    seconds: float = -1.0
    retry_after: str = ""
    location: str = "http://elsewhere.invalid/"
    echo_key: bool = False

    def __post_init__(self) -> None:
        names = STATUSES.keys() | SENDERS.keys() | SPOILERS.keys() | {"delay"}
        if self.name not in names:
            raise ValueError(f"no fault {self.name!r}; known: {', '.join(sorted(names))}")

    def pause(self) -> float:
        """`seconds`, or the default of the fault."""
        usual = {"slow_drip": 0.05, "reset_after_headers": 0.05, "length_too_long": 0.0}
        return self.seconds if self.seconds >= 0 else usual.get(self.name, 3600.0)


class Rules:
    """Faults of one server with their counters."""

    def __init__(self, faults: tuple[Fault, ...], seed: int) -> None:
        self._faults = faults
        self._seed = str(seed)
        self._matched: Counter[tuple[int, str]] = Counter()
        self._struck: Counter[tuple[int, str]] = Counter()
        self._passed: Counter[int] = Counter()

    def pick(self, call: Call, text: str, key: str) -> Fault | None:
        """Return the fault that applies to this call."""
        matching = [
            (place, fault)
            for place, fault in enumerate(self._faults)
            if fault.model in ("", call.model)
            and fault.path in call.path
            and fault.contains in text
            and fault.key in ("", key)
        ]
        picked: Fault | None = None
        for place, fault in matching:
            who = (place, f"{call.model}\0{call.messages}" if fault.per_text else "")
            self._matched[who] += 1
            nth = self._matched[who]
            if (
                picked is None
                and (not fault.calls or nth in fault.calls)
                and (not fault.every or nth % fault.every == 0)
                and self._passed[place] >= fault.after
                and (not fault.times or self._struck[who] < fault.times)
                and self._by_lot(place, fault, call)
            ):
                self._struck[who] += 1
                picked = fault
        if picked is None or picked.name == "delay":
            self._passed.update(place for place, _ in matching)
        return picked

    def _by_lot(self, place: int, fault: Fault, call: Call) -> bool:
        if fault.probability >= 1:
            return True
        key = (place, f"lot\0{call.model}\0{call.messages}")
        self._matched[key] += 1
        nth = str(self._matched[key])
        lot = hashed(self._seed, str(place), call.model, call.messages, nth)
        return lot < fault.probability


class Throttle:
    """Limit of requests per key and model in a sliding window of seconds; 0: none."""

    def __init__(self, most: int, window: float) -> None:
        self._most, self._window = most, window
        self._recent: dict[tuple[str, str], deque[float]] = {}

    def wait(self, auth: str, model: str, now: float) -> int:
        """Return 0 if a request at `now` is allowed, else the whole seconds to wait."""
        if not self._most:
            return 0
        recent = self._recent.setdefault((auth, model), deque())
        while recent and recent[0] <= now - self._window:
            recent.popleft()
        if len(recent) < self._most:
            recent.append(now)
            return 0
        return math.ceil(recent[0] + self._window - now)


def error_payload(dialect: str, status: int, code: str, message: str) -> dict[str, Any]:
    """Return an error in the provider's format, by default OpenAI's."""
    if dialect in ("voyage", "jina"):
        return {"detail": message}
    if dialect == "cohere":
        return {"id": "0", "message": message}
    if dialect == "tei":
        return {"error": message, "error_type": code}
    if dialect == "tavily":
        return {"detail": {"error": message}}
    if dialect == "exa":
        return {"requestId": "0", "error": message, "tag": code.upper()}
    return {"error": {"message": message, "type": code, "param": None, "code": code}}


def error_reply(fault: Fault, dialect: str, key: str) -> Reply:
    """Return the reply of a status fault."""
    status, code = int(fault.name), STATUSES[fault.name]
    message = f"{code.replace('_', ' ').capitalize()}."
    if fault.echo_key:
        message += f" You sent the key {key}."
    headers = {}
    if fault.retry_after.startswith("date+"):
        moment = time() + float(fault.retry_after.removeprefix("date+"))
        headers["Retry-After"] = formatdate(moment, usegmt=True)
    elif fault.retry_after:
        headers["Retry-After"] = fault.retry_after
    return Reply(error_payload(dialect, status, code, message), status, headers)


def spoil(fault: Fault, reply: Reply) -> Reply:
    """Turn a good reply into a bad one; still billed if it is a 200."""
    spoiled = Reply(deepcopy(reply.payload), reply.status, dict(reply.headers), reply.usage)
    return SPOILERS[fault.name](spoiled, fault)


def _redirect(reply: Reply, fault: Fault) -> Reply:
    return Reply(b"", 307, {"Location": fault.location})


def _html(reply: Reply, fault: Fault) -> Reply:
    page = b"<!doctype html><html><body><h1>Please wait</h1></body></html>"
    return Reply(page, headers={"Content-Type": "text/html; charset=utf-8"}, usage=reply.usage)


def _error_object(reply: Reply, fault: Fault) -> Reply:
    return Reply({"error": {"code": 502, "message": "Provider returned error"}}, usage=reply.usage)


def _content_filter_error(reply: Reply, fault: Fault) -> Reply:
    code, message = "content_filter", "The request was refused by the content filter."
    return Reply(error_payload("", 400, code, message), 400)


def _empty_choices(reply: Reply, fault: Fault) -> Reply:
    reply.payload["choices"].clear()
    return reply


def _choice(finish: str | None = None, **message: Any) -> Callable[[Reply, Fault], Reply]:
    def change(reply: Reply, fault: Fault) -> Reply:
        choice = reply.payload["choices"][0]
        choice["message"] |= message
        choice["finish_reason"] = finish or choice["finish_reason"]
        return reply

    return change


def _finish_length(reply: Reply, fault: Fault) -> Reply:
    content = reply.payload["choices"][0]["message"]["content"]
    return _choice("length", content=content[: len(content) // 2])(reply, fault)


def _refusal(reply: Reply, fault: Fault) -> Reply:
    if "choices" in reply.payload:
        return _choice(content=None, refusal="I cannot help with that.")(reply, fault)
    answers = reply.payload["answers"]
    answers[0] = {"type": "refusal", "name": answers[0].get("name")}
    return reply


def results_of(payload: Any) -> list[dict[str, Any]]:
    """Return the list of results in a rerank, decision or search payload."""
    if isinstance(payload, list):
        return payload
    rule: list[dict[str, Any]] = next(
        payload[name] for name in ("data", "results", "answers") if name in payload
    )
    return rule


def _of_results(change: Callable[[list[dict[str, Any]]], None]) -> Callable[[Reply, Fault], Reply]:
    def spoiler(reply: Reply, fault: Fault) -> Reply:
        results = results_of(reply.payload)
        if not isinstance(results, dict):
            change(results)
            return reply
        named = list(results.items())  # System One names its answers
        listed = [answer for _, answer in named]
        change(listed)
        names = [name for name, _ in named] + ["unasked"]
        reply.payload["answers"] = dict(zip(names, listed, strict=False))
        return reply

    return spoiler


def _score_name(result: dict[str, Any]) -> str:
    return next(n for n in ("relevance_score", "score", "probability", "noul") if n in result)


def _missing(results: list[dict[str, Any]]) -> None:
    results.pop()


def _repeated(results: list[dict[str, Any]]) -> None:
    if len(results) > 1:
        results.pop()
    results.append(dict(results[0]))


def _out_of_range(results: list[dict[str, Any]]) -> None:
    results[-1]["index"] = max(result["index"] for result in results) + 1


def _extra(results: list[dict[str, Any]]) -> None:
    more = dict(results[-1])
    if "index" in more:
        more["index"] = max(result["index"] for result in results) + 1
    results.append(more)


def _scored(value: float | None) -> Callable[[list[dict[str, Any]]], None]:
    def change(results: list[dict[str, Any]]) -> None:
        results[0][_score_name(results[0])] = value

    return change


SPOILERS: dict[str, Callable[[Reply, Fault], Reply]] = {
    "redirect": _redirect,
    "html": _html,
    "error_object": _error_object,
    "content_filter_error": _content_filter_error,
    "content_filter_finish": _choice("content_filter", content=None),
    "empty_choices": _empty_choices,
    "null_content": _choice(content=None),
    "finish_length": _finish_length,
    "reasoning_only": _choice(
        "length", content="", reasoning_content="The document may be relevant, as"
    ),
    "refusal": _refusal,
    "results_missing": _of_results(_missing),
    "results_repeated": _of_results(_repeated),
    "results_out_of_range": _of_results(_out_of_range),
    "results_extra": _of_results(_extra),
    "results_nan": _of_results(_scored(math.nan)),
    "results_null": _of_results(_scored(None)),
    "score_out_of_range": _of_results(_scored(1.7)),
}
