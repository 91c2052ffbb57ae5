"""What is asked of a chat model, and how its words are read: the contract of every chat task."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

WORD_TOKENS = 8
"""Of an answer in one word. Up to this bound it is complete when the tokens end; a larger one
leaves room for a thought, so an answer that ends there was cut."""
_THOUGHT, _THOUGHT_END = "<think>", "</think>"
_MOST_ENDS = 8
"""Of thoughts that are tried as the end of the thought."""


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
    task: ChatTask, payload: Any, prompt: Prompt, text: str, *, unfinished: str = ""
) -> dict[str, Any]:
    """The task's value, or {"unusable": why}.

    A thought that the server left in the reply is taken off. It stands at the beginning: it opens
    with `<think>`, or the chat template has opened it and only its end is there. Where the prompt
    itself speaks of that tag, the answer may, too: then a text that does not open with a thought is
    taken whole if it is an answer, and what follows an end of a thought only if it is not.

    Args:
        unfinished: why the text is no finished answer; "" where it is one.
    """
    if unfinished:
        return {"unusable": unfinished}
    why = ""
    for answer in _answers(text, ambiguous="/think>" in prompt.user):
        try:
            return task.read(payload, answer)
        except UnusableReplyError as error:
            why = why or str(error)
    return {"unusable": why}


def _answers(text: str, *, ambiguous: bool) -> Iterator[str]:
    """What may be the answer in a reply, likeliest first."""
    thought, *after = text.split(_THOUGHT_END)
    opened = thought.lstrip().startswith(_THOUGHT)
    if not opened and (ambiguous or not after):
        yield text
    if opened and not after:
        yield ""
    for place in range(min(_MOST_ENDS if ambiguous else 1, len(after))):
        yield _THOUGHT_END.join(after[place:])
