"""Chat tasks: the prompt to a chat model, and the parser of its reply."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from prism_cli.rows.texts import text_fault
from prism_cli.wording import counted

WORD_TOKENS = 8
"""Token limit of a one-word answer. Up to this limit an answer is complete when the tokens run out;
a larger limit leaves room for a thought, so an answer that reaches it was truncated."""
THOUGHT, THOUGHT_END = "<think>", "</think>"
_MOST_ENDS = 8
"""Ends of thoughts that are tried as the end of the thought."""
_BLANK = re.compile(r"[^\S\r\n]")
_PARAGRAPH_END = re.compile(r"\S[^\S\n]*\n\s*\n")
_UNDECODED = "\ufffd"


@dataclass(frozen=True, slots=True)
class Prompt:
    """One question to a chat model.

    Attributes:
        system: the same for all rows, so that providers can cache it.
        answer_tokens: most tokens of the answer; None for a one-word answer, whose tokens depend on
            the model.
        temperature: from 0 to 2.
        paragraph: the answer is the first paragraph; a reply truncated behind it is complete.
    """

    system: str
    user: str
    answer_tokens: int | None = None
    temperature: float = 0.0
    paragraph: bool = False


class UnusableReplyError(ValueError):
    """Raised for a well-formed reply that is not an accepted answer; the message describes it."""


class ChatTask(Protocol):
    """A task for chat models: judging, rewriting, writing evidence.

    Attributes:
        name: the name of the task, such as `judge`.
        fingerprint: a hash of all that determines a prompt, such as the template, except its
            payload.
    """

    name: str
    fingerprint: str

    def prompt(self, payload: Any, attempt: int) -> Prompt:
        """Return the question; `attempt` counts from 0, after unusable replies."""

    def read(self, payload: Any, text: str) -> dict[str, Any]:
        """Return the value of a reply.

        Raises:
            UnusableReplyError: the text is not an answer to this question.
        """


def read_reply(
    task: ChatTask,
    payload: Any,
    prompt: Prompt,
    text: str,
    *,
    unfinished: str = "",
    cut: int = 0,
) -> dict[str, Any]:
    """Return the task's value, or {"unusable": reason}.

    An error of the parser makes the reply unusable, too: it is paid for, and must be stored.
    A thought at the beginning of the reply is removed: it opens with `<think>`, or the chat
    template has opened it and only its end is in the reply. `_answers` decides whether an end of a
    thought is text. A value is unusable if it has NUL, half of a surrogate pair, or the character
    that a server writes for undecodable bytes.

    Args:
        unfinished: why the answer is incomplete; "" where it is complete.
        cut: tokens after which the text was truncated, where an answer may precede that; else 0.
    """
    has_answer = cut and prompt.paragraph and _PARAGRAPH_END.search(text.rpartition(THOUGHT_END)[2])
    if unfinished and not has_answer:
        return {"unusable": unfinished}

    def read(answer: str) -> dict[str, Any]:
        try:
            value = task.read(payload, answer)
        except UnusableReplyError:
            raise
        except (ValueError, ArithmeticError, RecursionError) as error:
            raise UnusableReplyError(f"a reply that cannot be parsed: {error!r:.120}") from error
        for part in value.values():
            if isinstance(part, str) and (fault := _fault(part, prompt.user)):
                raise UnusableReplyError(fault)
        return value

    reason = ""
    word = prompt.answer_tokens is None
    for answer in _answers(text, read, word=word, mentioned="/think>" in prompt.user):
        try:
            return read(answer)
        except UnusableReplyError as error:
            reason = reason or str(error)
    reason = reason or "an unfinished thought"
    return {"unusable": f"{reason}, cut at {counted(cut, 'token')}" if cut else reason}


def _answers(
    text: str, read: Callable[[str], object], *, word: bool, mentioned: bool
) -> Iterator[str]:
    """Yield possible answers of a reply, likeliest first; none for an unfinished thought.

    Complete thoughts at the beginning are removed. In the rest, an end of a thought without text
    after it is removed, too. Another end is text where an answer precedes it and the answer is one
    word, or blanks surround it. It may be text, and the whole is tried first, where the prompt
    mentions it and it does not touch a word. Otherwise the answer is the text after it; if that is
    not an answer, the whole.

    Args:
        read: raises UnusableReplyError for a text that is not an answer.
        word: the answer is one word.
        mentioned: the prompt's material has an end of a thought.
    """
    parts = text.split(THOUGHT_END)
    while parts[0].lstrip().startswith(THOUGHT):
        del parts[0]
        if not parts:
            return
    whole = THOUGHT_END.join(parts)
    before, *after = parts
    sides = (before[-1:], after[0][:1]) if after else ("", "")
    apart = word or all(map(_BLANK.fullmatch, sides))
    if any(map(str.strip, after)) and apart and _is_answer(before, read):
        yield whole
        return
    if mentioned and not any(map(str.isalnum, sides)):
        yield whole
    while len(parts) > 1 and not parts[-1].strip():
        parts.pop()
    for place in range(1, min(len(parts), _MOST_ENDS + 1)):
        yield THOUGHT_END.join(parts[place:])
    yield THOUGHT_END.join(parts)


def _is_answer(text: str, read: Callable[[str], object]) -> bool:
    try:
        read(text)
    except UnusableReplyError:
        return False
    return True


def _fault(text: str, prompt: str) -> str | None:
    if _UNDECODED in text and _UNDECODED not in prompt:
        return "a character that could not be decoded (U+FFFD)"
    return text_fault(text)
