"""OpenAI's Decisions API: predicates over one input, by the openai SDK."""

from functools import cached_property
from typing import Any

import httpx2
import openai

from prism_cli.adapters.chat.model import sdk_client, unwrapped
from prism_cli.adapters.judges.decision_backend import probability, question_name
from prism_cli.adapters.providers.catalog import Named
from prism_cli.adapters.providers.replies import AgainError
from prism_cli.domain.rubric import Decision


class OpenAIDecisions:
    """An Endpoint; a predicate is the statement that the document helps."""

    most_questions = 400
    rereads = False

    def __init__(self, named: Named) -> None:
        self._named = named

    async def send(self, decision: Decision) -> httpx2.Response:
        """One call, the rubric as the system's message."""
        sent: dict[str, Any] = {
            "model": self._named.model,
            "input": [
                {"type": "message", "role": "system", "content": decision.rubric},
                {"type": "message", "role": "user", "content": decision.material},
            ],
            "questions": [
                {"type": "predicate", "name": question_name(number), "instructions": yes}
                for number, (_, yes, _) in enumerate(decision.questions)
            ],
        }
        if self._named.card.extra_body:
            sent["extra_body"] = self._named.card.extra_body
        return await unwrapped(self._client.decisions.with_raw_response.create(**sent))

    def read(self, found: Any, count: int) -> list[float | None]:
        """The answers, which come in the order of the questions.

        Raises:
            AgainError: other answers than to these questions.
        """
        answers = found.get("answers")
        if not isinstance(answers, list) or len(answers) != count:
            told = f"{len(answers)} answers" if isinstance(answers, list) else "no answers"
            raise AgainError(f"200 with {told} to {count} questions", billed=True)
        return [_read(answer, question_name(number)) for number, answer in enumerate(answers)]

    @cached_property
    def _client(self) -> openai.AsyncOpenAI:
        return sdk_client(self._named.channel)


def _read(answer: Any, name: str) -> float | None:
    answer = answer if isinstance(answer, dict) else {}
    kind = answer.get("type")
    if kind not in ("predicate", "refusal") or answer.get("name") not in (name, None):
        raise AgainError(f"{str(answer)[:80]!r} as the answer to {name}", billed=True)
    return None if kind == "refusal" else probability(answer.get("probability"), name)
