"""Parsing of the first choice of a chat completion, and the check that it is finished.

Only a finished answer counts. `finish_reason` says how it ended, in OpenAI's terms or in those of
the server behind a router: Anthropic, Gemini, Cohere, Mistral, Zhipu, DeepSeek, TGI. Some local
servers omit it, or send null or "", for finished replies (OpenAI does so only in streams, which are
not used here). Such a reply counts as finished if its usage has fewer tokens than the limit, or if
one word was requested; otherwise it is unusable.
"""

from dataclasses import dataclass
from typing import Any

from prism_cli.adapters.providers.replies import (
    RetryableError,
    count_at,
    raise_embedded_error,
    shown,
)

_NATURAL = {
    "stop", "end_turn", "stop_sequence", "eos", "eos_token", "end", "end_of_text", "complete",
    "completed", "done", "finished", "normal",
}  # fmt: skip
_CUT = {"length", "max_tokens", "max_length", "max_output_tokens", "model_length", "token_limit"}
_FILTERED = (
    "content_filter", "sensitive", "safety", "prohibited_content", "blocklist", "refusal",
    "recitation", "spii",
)  # fmt: skip
"""Prefixes of finish reasons of content filters: OpenAI, Zhipu, Gemini, Anthropic."""
_FAILED = (
    "error", "network_error", "insufficient_system_resource", "abort", "cancel", "timeout",
    "time_limit",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of a chat model.

    Attributes:
        text: "" if the tokens ran out before the first word.
        refusal: reason of a refusal.
        unfinished: reason why the text is not a finished answer; "" if it is.
        cut: token limit that ended the text, which may still be a complete answer; else 0.
    """

    text: str = ""
    refusal: str | None = None
    unfinished: str = ""
    cut: int = 0


def read_choice(body: Any, bound: int, *, word: bool) -> Answer:
    """Return the answer in the first choice of a reply.

    A finished reply without text is billed and unusable.

    Args:
        bound: maximum tokens of the answer, as requested.
        word: the answer is one word and may end at `bound`.

    Raises:
        RetryableError: there is no choice, an unfinished one without text, or the server failed
            while it answered.
        RefusalError: the choice holds an error that reports a content filter.
    """
    if isinstance(body, dict) and body.get("object") == "error":
        raise_embedded_error(body)
    choices = body.get("choices") if isinstance(body, dict) else None
    first = choices[0] if isinstance(choices, list) and choices else None
    message = first.get("message") if isinstance(first, dict) else None
    if isinstance(first, dict):
        raise_embedded_error(
            first.get("error") or (isinstance(message, dict) and message.get("error"))
        )
    if not isinstance(message, dict):
        raise RetryableError("200 without a choice that has a message", billed=True)
    assert isinstance(first, dict)
    ended, native = (
        shown(first.get(name) or "").lower() for name in ("finish_reason", "native_finish_reason")
    )
    if native in _CUT or native.startswith((*_FILTERED, *_FAILED)):
        ended = native  # the router's own finish_reason is less specific
    if ended.startswith(_FILTERED):
        return Answer(refusal="stopped by the provider's content filter")
    if ended.startswith(_FAILED):
        raise RetryableError(f"200 with an answer that ended with {ended[:40]!r}", billed=True)
    if message.get("tool_calls") or message.get("function_call"):
        return Answer(unfinished="a call of a tool instead of an answer")
    if isinstance(message.get("refusal"), str) and message["refusal"].strip():
        return Answer(refusal=f"the model declined: {message['refusal'][:200]}")
    text = _text(message.get("content"))
    if text.strip():
        unfinished = _unfinished(ended, body, bound, word=word)
        return Answer(text, unfinished=unfinished, cut=bound if ended in _CUT else 0)
    if ended in _CUT:
        return Answer(unfinished=f"no text before the bound of {bound} tokens")
    if ended:
        return Answer(unfinished="an empty reply")
    raise RetryableError("200 with a message without content", billed=True)


def _text(content: Any) -> str:
    """Return the text of a message, joined from its text parts if it has several parts."""
    if isinstance(content, list):
        texts = (part.get("text") for part in content if isinstance(part, dict))
        return "".join(text for text in texts if isinstance(text, str))
    return content if isinstance(content, str) else ""


def _unfinished(ended: str, body: Any, bound: int, *, word: bool) -> str:
    """Return why a text is not finished, or "". Without a finish reason, a text counts as finished
    if the server reports fewer tokens than `bound`."""
    if ended in _NATURAL or (word and (not ended or ended in _CUT)):
        return ""
    if ended in _CUT:
        return f"cut at the bound of {bound} tokens"
    if ended:
        return f"ended with {ended[:40]!r}, not by itself"
    written = count_at(body, "usage", "completion_tokens")
    if written is not None and written < bound:
        return ""
    return "a reply that does not say whether it is finished"
