"""The System One shape: named questions about a state, yes or no ("noul") or by score.

Source: https://api.typesafe.ai/openapi.json, as `transformers serve` offers it.
"""

from collections.abc import Sequence
from typing import Any

import httpx2

from prism_cli.adapters.judges.decision_backend import distribution, probability
from prism_cli.adapters.providers.model_ref import ModelRef
from prism_cli.adapters.providers.replies import AgainError
from prism_cli.domain.decision import Decision, Odds, Question, Statement


class SystemOne:
    """An Endpoint. The rubric stands in the state: once a call, before what it is about."""

    most_questions = 64
    rereads = True

    def __init__(self, ref: ModelRef) -> None:
        self._ref = ref

    async def send(self, decision: Decision) -> httpx2.Response:
        """One call."""
        questions = {question.name: _asked(question) for question in decision.questions}
        body = {
            "model": self._ref.model,
            "state": f"{decision.rubric}\n\n{decision.material}",
            "questions": questions,
        }
        return await self._ref.client.post("systemone", body | self._ref.card.extra_body)

    def read(self, found: Any, questions: Sequence[Question]) -> list[Odds | None]:
        """The answers by name, exactly one a question.

        Raises:
            AgainError: other answers than to these questions.
        """
        answers = found.get("answers")
        if not isinstance(answers, dict) or answers.keys() != {one.name for one in questions}:
            told = ", ".join(answers)[:80] if isinstance(answers, dict) else "none"
            raise AgainError(
                f"200 with answers to {told}; asked were {len(questions)}", billed=True
            )
        return [_read(answers[one.name], one) for one in questions]


def _asked(question: Question) -> dict[str, Any]:
    kind, criteria = _kind(question)
    return {"type": kind, "instructions": question.question, "criteria": criteria}


def _kind(question: Question) -> tuple[str, dict[str, str] | list[str]]:
    if isinstance(question, Statement):
        return "noul", {"true": question.if_yes, "false": question.if_no}
    return "score", list(question.levels)


def _read(answer: Any, question: Question) -> Odds:
    answer = answer if isinstance(answer, dict) else {}
    kind, _ = _kind(question)
    if answer.get("type", kind) != kind:
        raise AgainError(f"{str(answer)[:80]!r} as the answer to {question.name}", billed=True)
    if isinstance(question, Statement):
        return probability(answer.get("noul"), question.name)
    told = answer.get("probabilities")
    told = told if isinstance(told, dict) else {}
    return distribution([told.get(str(at)) for at in range(len(question.levels))], question.name)
