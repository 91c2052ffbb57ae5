"""What a chat completion says, and whether it is finished.

Only a finished answer is one. How it ended stands in `finish_reason`, in OpenAI's words or in those
of the server behind: Anthropic's, Gemini's, Cohere's, Mistral's, Zhipu's, DeepSeek's, TGI's. Some
local servers leave it out, or send null or "", for replies that are finished; OpenAI's own does so
in parts of a stream alone, which nobody asks for here. Such a reply counts as finished where its
usage has fewer tokens than were allowed, or where one word was asked for; else it is unusable.
"""

from dataclasses import dataclass
from typing import Any

from prism_cli.adapters.providers.replies import AgainError, count_in, error_within

_NATURAL = {
    "stop", "end_turn", "stop_sequence", "eos", "eos_token", "end", "end_of_text", "complete",
    "completed", "done", "finished", "normal",
}  # fmt: skip
_CUT = {"length", "max_tokens", "max_length", "max_output_tokens", "model_length", "token_limit"}
_FILTERED = (
    "content_filter", "sensitive", "safety", "prohibited_content", "blocklist", "refusal",
    "recitation", "spii",
)  # fmt: skip
"""Beginnings of why an answer ended; besides OpenAI's own Zhipu's, Gemini's and Anthropic's."""
_FAILED = (
    "error", "network_error", "insufficient_system_resource", "abort", "cancel", "timeout",
    "time_limit",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Said:
    """What a model said.

    Attributes:
        text: "" where it ran out of tokens before its first word.
        refusal: why it will not answer.
        unfinished: why the text is no answer; "" where it is one.
        cut: the bound in tokens that ended the text, which may be a whole answer; else 0.
    """

    text: str = ""
    refusal: str | None = None
    unfinished: str = ""
    cut: int = 0


def said_in(found: Any, bound: int, *, word: bool) -> Said:
    """What the first choice of a reply says.

    Args:
        bound: tokens of the answer at the most, as it was asked.
        word: the answer is one word and may end at its bound.

    A finished reply without text was paid for and is unusable, as any other that is no answer.

    Raises:
        AgainError: there is no choice, an unfinished one without text, or the server failed on the
            way.
        RefusalError: an error in the choice that speaks of a content filter.
    """
    if isinstance(found, dict) and found.get("object") == "error":
        error_within(found)
    choices = found.get("choices") if isinstance(found, dict) else None
    first = choices[0] if isinstance(choices, list) and choices else None
    message = first.get("message") if isinstance(first, dict) else None
    if isinstance(first, dict):
        error_within(first.get("error") or (isinstance(message, dict) and message.get("error")))
    if not isinstance(message, dict):
        raise AgainError("200 without a choice that has a message", billed=True)
    assert isinstance(first, dict)
    ended, native = (
        str(first.get(name) or "").lower() for name in ("finish_reason", "native_finish_reason")
    )
    if native in _CUT or native.startswith((*_FILTERED, *_FAILED)):
        ended = native  # a router has called it something else
    if ended.startswith(_FILTERED):
        return Said(refusal="stopped by the provider's content filter")
    if ended.startswith(_FAILED):
        raise AgainError(f"200 with an answer that ended with {ended[:40]!r}", billed=True)
    if message.get("tool_calls") or message.get("function_call"):
        return Said(unfinished="a call of a tool instead of an answer")
    if isinstance(message.get("refusal"), str) and message["refusal"].strip():
        return Said(refusal=f"the model declined: {message['refusal'][:200]}")
    text = _text(message.get("content"))
    if text.strip():
        unfinished = _unfinished(ended, found, bound, word=word)
        return Said(text, unfinished=unfinished, cut=bound if ended in _CUT else 0)
    if ended in _CUT:
        return Said(unfinished=f"no text before the bound of {bound} tokens")
    if ended:
        return Said(unfinished="an empty reply")
    raise AgainError("200 with a message without content", billed=True)


def _text(content: Any) -> str:
    """The text of a message; of several parts those that are text."""
    if isinstance(content, list):
        parts = (one.get("text") for one in content if isinstance(one, dict))
        return "".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else ""


def _unfinished(ended: str, found: Any, bound: int, *, word: bool) -> str:
    """Why a text is not finished; a server that does not say how it ended is believed where it
    says that it wrote fewer tokens than it might."""
    if ended in _NATURAL or (word and (not ended or ended in _CUT)):
        return ""
    if ended in _CUT:
        return f"cut at the bound of {bound} tokens"
    if ended:
        return f"ended with {ended[:40]!r}, not by itself"
    written = count_in(found, "usage", "completion_tokens")
    if written is not None and written < bound:
        return ""
    return "a reply that does not say whether it is finished"
