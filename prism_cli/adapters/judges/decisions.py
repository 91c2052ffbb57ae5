"""OpenAI's Decisions API: predicates and scores about one input."""

from collections.abc import Sequence
from typing import Any

import httpx2

from prism_cli.adapters.judges.decision_backend import distribution, probability
from prism_cli.adapters.providers.model_ref import ModelRef
from prism_cli.adapters.providers.replies import RetryableError, shown
from prism_cli.domain.decision import Decision, Probability, Question, Statement


class OpenAIDecisions:
    """An Endpoint; a predicate states that the document helps."""

    most_questions = 400
    rereads = False

    def __init__(self, ref: ModelRef) -> None:
        self._ref = ref

    async def send(self, decision: Decision) -> httpx2.Response:
        """Send one call with the rubric as system message."""
        body: dict[str, Any] = {
            "model": self._ref.model,
            "input": [
                {"type": "message", "role": "system", "content": decision.rubric},
                {"type": "message", "role": "user", "content": decision.material},
            ],
            "questions": [_form(question) for question in decision.questions],
        }
        return await self._ref.client.post("decisions", body | self._ref.card.extra_body)

    def read(self, body: Any, questions: Sequence[Question]) -> list[Probability | None]:
        """Return the answers, which come in the order of the questions.

        Raises:
            RetryableError: the reply does not answer these questions.
        """
        answers = body.get("answers")
        if not isinstance(answers, list) or len(answers) != len(questions):
            count = f"{len(answers)} answers" if isinstance(answers, list) else "no answers"
            raise RetryableError(f"200 with {count} to {len(questions)} questions", billed=True)
        return [
            _read(answer, question) for answer, question in zip(answers, questions, strict=True)
        ]


def _form(question: Question) -> dict[str, Any]:
    if isinstance(question, Statement):
        return {"type": "predicate", "name": question.name, "instructions": question.if_yes}
    return {
        "type": "score",
        "name": question.name,
        "instructions": question.question,
        "levels": [
            {"label": str(point), "description": words}
            for point, words in enumerate(question.levels, 1)
        ],
    }


def _read(answer: Any, question: Question) -> Probability | None:
    answer = answer if isinstance(answer, dict) else {}
    kind, name = answer.get("type"), question.name
    expected = "predicate" if isinstance(question, Statement) else "score"
    if kind not in (expected, "refusal") or answer.get("name") not in (name, None):
        raise RetryableError(f"{shown(answer)} as the answer to {name}", billed=True)
    if kind == "refusal":
        return None
    if isinstance(question, Statement):
        return probability(answer.get("probability"), name)
    levels = answer.get("probabilities")
    levels = [item for item in levels if isinstance(item, dict)] if isinstance(levels, list) else []
    by_label = {shown(item.get("label")): item.get("probability") for item in levels}
    points = [str(point) for point in range(1, len(question.levels) + 1)]
    return distribution([by_label.get(point) for point in points], name)
