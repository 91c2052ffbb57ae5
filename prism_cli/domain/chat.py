"""What is asked of a chat model, and how its words are read: the contract of every chat task."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from prism_cli.rows.texts import text_fault
from prism_cli.wording import counted

WORD_TOKENS = 8
"""Of an answer in one word. Up to this bound it is complete when the tokens end; a larger one
leaves room for a thought, so an answer that ends there was cut."""
THOUGHT, THOUGHT_END = "<think>", "</think>"
_MOST_ENDS = 8
"""Of thoughts that are tried as the end of the thought."""
_BLANK = re.compile(r"[^\S\r\n]")
_UNDECODED = "\ufffd"


@dataclass(frozen=True, slots=True)
class Prompt:
    """One question to a chat model.

    Attributes:
        system: the same for all rows, so that providers can keep it.
        answer_tokens: most tokens of the answer; None for a one-word answer, which each model
            gives in tokens of its own.
        temperature: from 0 to 2.
    """

    system: str
    user: str
    answer_tokens: int | None = None
    temperature: float = 0.0


class UnusableReplyError(ValueError):
    """A well-formed reply that is none of those accepted; the message says what it was."""


class ChatTask(Protocol):
    """A job for chat models: judging, rewriting, writing evidence."""

    @property
    def name(self) -> str:
        """What the job is, such as `judge`."""

    @property
    def fingerprint(self) -> str:
        """Changes with the template and with all that decides a prompt besides its payload."""

    def prompt(self, payload: Any, attempt: int) -> Prompt:
        """The question; `attempt` counts from 0, after replies that could not be used."""

    def read(self, payload: Any, text: str) -> dict[str, Any]:
        """The value of a reply.

        Raises:
            UnusableReplyError: the text is no answer to this question.
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
    """The task's value, or {"unusable": why}.

    A thought that the server left in the reply is taken off. It stands at the beginning: it opens
    with `<think>`, or the chat template has opened it and only its end is there. Where an end of a
    thought is text, or may be, is told by `_answers`. A value that holds NUL, half of a surrogate
    pair, or what a server writes for bytes that are no text, is unusable.

    Args:
        unfinished: why the text is no finished answer; "" where it is one.
        cut: tokens after which the text was cut, where an answer may have stood before; else 0.
    """
    if unfinished:
        return {"unusable": unfinished}

    def read(answer: str) -> dict[str, Any]:
        value = task.read(payload, answer)
        for part in value.values():
            if isinstance(part, str) and (fault := _fault(part, prompt.user)):
                raise UnusableReplyError(fault)
        return value

    why = ""
    word = prompt.answer_tokens is None
    for answer in _answers(text, read, word=word, known="/think>" in prompt.user):
        try:
            return read(answer)
        except UnusableReplyError as error:
            why = why or str(error)
    why = why or "an unfinished thought"
    return {"unusable": f"{why}, cut at {counted(cut, 'token')}" if cut else why}


def _answers(text: str, read: Callable[[str], object], *, word: bool, known: bool) -> Iterator[str]:
    """What may be the answer in a reply, likeliest first; nothing in an unfinished thought.

    Whole thoughts at the beginning are left out. Of what follows, an end of a thought with nothing
    behind it is left out, too. Another one is text where an answer stands before it and the answer
    is one word, or blanks stand on both sides; it may be text, and the whole is tried, where the
    prompt speaks of it and it is not joined to a word. Else the answer is what follows it; if that
    is none, the whole.

    Args:
        read: raises UnusableReplyError for what is no answer.
        word: the answer is one word.
        known: the prompt's material speaks of an end of a thought.
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
    if known and not any(map(str.isalnum, sides)):
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
