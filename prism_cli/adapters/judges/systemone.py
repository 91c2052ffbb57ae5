"""The System One API: named questions about a state, answered by yes or no ("noul") or by score.

Source: https://api.typesafe.ai/openapi.json, also served by `transformers serve`.
"""

from collections.abc import Sequence
from typing import Any

import httpx2

from prism_cli.adapters.judges.decision_backend import distribution, probability
from prism_cli.adapters.providers.model_ref import ModelRef
from prism_cli.adapters.providers.replies import RetryableError, shown
from prism_cli.domain.decision import Decision, Probability, Question, Statement


class SystemOne:
    """An Endpoint. The state begins with the rubric, so that a call sends it once."""

    most_questions = 64
    rereads = True

    def __init__(self, ref: ModelRef) -> None:
        self._ref = ref

    async def send(self, decision: Decision) -> httpx2.Response:
        """Send one call."""
        questions = {question.name: _form(question) for question in decision.questions}
        body = {
            "model": self._ref.model,
            "state": f"{decision.rubric}\n\n{decision.material}",
            "questions": questions,
        }
        return await self._ref.client.post("systemone", body | self._ref.card.extra_body)

    def read(self, body: Any, questions: Sequence[Question]) -> list[Probability | None]:
        """Return the answers, one per question, matched by name.

        Raises:
            RetryableError: the reply does not answer these questions.
        """
        answers = body.get("answers")
        names = {question.name for question in questions}
        if not isinstance(answers, dict) or answers.keys() != names:
            answered = ", ".join(answers)[:80] if isinstance(answers, dict) else "none"
            raise RetryableError(
                f"200 with answers to {answered}; expected answers to {len(questions)} questions",
                billed=True,
            )
        return [_read(answers[question.name], question) for question in questions]


def _form(question: Question) -> dict[str, Any]:
    kind, criteria = _kind(question)
    return {"type": kind, "instructions": question.question, "criteria": criteria}


def _kind(question: Question) -> tuple[str, dict[str, str] | list[str]]:
    if isinstance(question, Statement):
        return "noul", {"true": question.if_yes, "false": question.if_no}
    return "score", list(question.levels)


def _read(answer: Any, question: Question) -> Probability:
    answer = answer if isinstance(answer, dict) else {}
    kind, _ = _kind(question)
    if answer.get("type", kind) != kind:
        raise RetryableError(f"{shown(answer)} as the answer to {question.name}", billed=True)
    if isinstance(question, Statement):
        return probability(answer.get("noul"), question.name)
    levels = answer.get("probabilities")
    levels = levels if isinstance(levels, dict) else {}
    points = range(len(question.levels))
    return distribution([levels.get(str(point)) for point in points], question.name)
