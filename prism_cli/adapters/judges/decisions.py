"""OpenAI's Decisions API: predicates and scores over one input."""

from collections.abc import Sequence
from typing import Any

import httpx2

from prism_cli.adapters.judges.decision_backend import distribution, probability
from prism_cli.adapters.providers.model_ref import ModelRef
from prism_cli.adapters.providers.replies import AgainError
from prism_cli.domain.decision import Decision, Odds, Question, Statement


class OpenAIDecisions:
    """An Endpoint; a predicate is the statement that the document helps."""

    most_questions = 400
    rereads = False

    def __init__(self, ref: ModelRef) -> None:
        self._ref = ref

    async def send(self, decision: Decision) -> httpx2.Response:
        """One call, the rubric as the system's message."""
        sent: dict[str, Any] = {
            "model": self._ref.model,
            "input": [
                {"type": "message", "role": "system", "content": decision.rubric},
                {"type": "message", "role": "user", "content": decision.material},
            ],
            "questions": [_asked(question) for question in decision.questions],
        }
        return await self._ref.client.post("decisions", sent | self._ref.card.extra_body)

    def read(self, found: Any, questions: Sequence[Question]) -> list[Odds | None]:
        """The answers, which come in the order of the questions.

        Raises:
            AgainError: other answers than to these questions.
        """
        answers = found.get("answers")
        if not isinstance(answers, list) or len(answers) != len(questions):
            told = f"{len(answers)} answers" if isinstance(answers, list) else "no answers"
            raise AgainError(f"200 with {told} to {len(questions)} questions", billed=True)
        return [_read(*both) for both in zip(answers, questions, strict=True)]


def _asked(question: Question) -> dict[str, Any]:
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


def _read(answer: Any, question: Question) -> Odds | None:
    answer = answer if isinstance(answer, dict) else {}
    kind, name = answer.get("type"), question.name
    expected = "predicate" if isinstance(question, Statement) else "score"
    if kind not in (expected, "refusal") or answer.get("name") not in (name, None):
        raise AgainError(f"{str(answer)[:80]!r} as the answer to {name}", billed=True)
    if kind == "refusal":
        return None
    if isinstance(question, Statement):
        return probability(answer.get("probability"), name)
    told = answer.get("probabilities")
    told = [one for one in told if isinstance(one, dict)] if isinstance(told, list) else []
    by_label = {str(one.get("label")): one.get("probability") for one in told}
    points = [str(point) for point in range(1, len(question.levels) + 1)]
    return distribution([by_label.get(point) for point in points], name)
