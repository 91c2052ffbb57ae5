"""A teacher as judge: yes where its score lies above a threshold."""

from collections.abc import Sequence
from typing import Any

from prism_cli.domain.voting import score_probability
from prism_cli.ports import BatchBackend, Reply

DECIMALS = 7
"""Of a probability. Scores have six, and may lie half as far from .5 as from the threshold."""


class TeacherJudge:
    """A BatchBackend; payloads are ((query, document), attempt).

    Args:
        spec: as the user wrote it, such as `st:minilm:0.4`; names its votes.
        teacher: answers {"score"} for (query, document).
        threshold: in [0, 1); a score above it is a yes.
    """

    gives_probability = True

    def __init__(self, spec: str, teacher: BatchBackend, threshold: float) -> None:
        self.spec = spec
        self.fingerprint = f"judge 2 above {threshold:g} {teacher.fingerprint}"
        self._teacher = teacher
        self._threshold = threshold

    def plan(self, payloads: Sequence[Any]) -> list[list[int]]:
        """As the teacher's."""
        return self._teacher.plan([pair for pair, _ in payloads])

    def answer(self, payloads: Sequence[Any]) -> list[Reply]:
        """{"vote", "probability"}, the probability being above .5 where the score is
        above the threshold.

        Raises:
            ModelError: as the teacher's.
        """
        replies = self._teacher.answer([pair for pair, _ in payloads])
        return [self._judged(reply) for reply in replies]

    def _judged(self, reply: Reply) -> Reply:
        if reply.refusal is not None:
            return reply
        probability = round(score_probability(reply.value["score"], self._threshold), DECIMALS)
        vote = "yes" if probability > 0.5 else "no"
        return Reply({"vote": vote, "probability": probability}, usage=reply.usage)
