"""The System One shape: named yes-or-no questions ("noul") about a state.

Source: https://api.typesafe.ai/openapi.json, as `transformers serve` offers it.
"""

from typing import Any

import httpx2

from prism_cli.adapters.judges.decision_backend import probability, question_name
from prism_cli.adapters.providers.catalog import Named
from prism_cli.adapters.providers.replies import AgainError
from prism_cli.domain.rubric import Decision


class SystemOne:
    """An Endpoint. The rubric stands in the state: once a call, before what it is about."""

    most_questions = 64
    rereads = True

    def __init__(self, named: Named) -> None:
        self._named = named

    async def send(self, decision: Decision) -> httpx2.Response:
        """One call."""
        questions = {
            question_name(number): {
                "type": "noul",
                "instructions": asked,
                "criteria": {"true": yes, "false": no},
            }
            for number, (asked, yes, no) in enumerate(decision.questions)
        }
        body = {
            "model": self._named.model,
            "state": f"{decision.rubric}\n\n{decision.material}",
            "questions": questions,
        }
        return await self._named.channel.post("systemone", body | self._named.card.extra_body)

    def read(self, found: Any, count: int) -> list[float | None]:
        """The answers by name, exactly one a question.

        Raises:
            AgainError: other answers than to these questions.
        """
        answers = found.get("answers")
        names = [question_name(number) for number in range(count)]
        if not isinstance(answers, dict) or answers.keys() != set(names):
            told = ", ".join(answers)[:80] if isinstance(answers, dict) else "none"
            raise AgainError(f"200 with answers to {told}; asked were {count}", billed=True)
        return [_read(answers[name], name) for name in names]


def _read(answer: Any, name: str) -> float:
    answer = answer if isinstance(answer, dict) else {}
    if answer.get("type", "noul") != "noul":
        raise AgainError(f"{str(answer)[:80]!r} as the answer to {name}", billed=True)
    return probability(answer.get("noul"), name)
