"""A teacher as judge: yes if its score is above a threshold."""

from collections.abc import Sequence
from typing import Any

from prism_cli.domain.scoring import answer_of
from prism_cli.domain.voting import score_probability
from prism_cli.ports import BatchBackend, Reply

DECIMALS = 7
"""Decimals of a probability. Scores have six, and the probability may be half as far from .5 as the
score is from the threshold."""


class TeacherJudge:
    """A BatchBackend; payloads are ((query, document), attempt).

    Args:
        spec: spec as the user wrote it, such as `st:minilm:0.4`; names its votes.
        teacher: returns {"score"} for (query, document).
        threshold: in [0, 1); scores above it are a yes.
    """

    gives_probability = True

    def __init__(self, spec: str, teacher: BatchBackend, threshold: float) -> None:
        self.spec = spec
        self.fingerprint = f"judge 2 above {threshold:g} {teacher.fingerprint}"
        self._teacher = teacher
        self._threshold = threshold

    def plan(self, payloads: Sequence[Any]) -> list[list[int]]:
        """Return the teacher's batches."""
        return self._teacher.plan([pair for pair, _ in payloads])

    def answer(self, payloads: Sequence[Any]) -> list[Reply]:
        """Return {"vote", "probability"} per pair; the probability is above .5 exactly if the score
        is above the threshold.

        Raises:
            ModelError: the teacher fails.
        """
        replies = self._teacher.answer([pair for pair, _ in payloads])
        return [self._judged(reply) for reply in replies]

    def _judged(self, reply: Reply) -> Reply:
        if reply.refusal is not None:
            return reply
        probability = round(score_probability(reply.value["score"], self._threshold), DECIMALS)
        value = {"vote": answer_of(probability), "probability": probability}
        return Reply(value, usage=reply.usage)
