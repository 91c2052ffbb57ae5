"""What is asked of a chat model, and how its words are read: the contract of every chat task."""

from dataclasses import dataclass
from typing import Any, Protocol


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
