"""A teacher as judge: yes where its score lies above a threshold."""

from collections.abc import Sequence
from typing import Any

from prism_cli.ports import BatchBackend, Reply


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
        self.fingerprint = f"judge above {threshold:g} {teacher.fingerprint}"
        self._teacher = teacher
        self._threshold = threshold

    def plan(self, payloads: Sequence[Any]) -> list[list[int]]:
        """As the teacher's."""
        return self._teacher.plan([pair for pair, _ in payloads])

    def answer(self, payloads: Sequence[Any]) -> list[Reply]:
        """{"vote", "probability"}, the probability being the teacher's score.

        Raises:
            ModelError: as the teacher's.
        """
        replies = self._teacher.answer([pair for pair, _ in payloads])
        return [self._judged(reply) for reply in replies]

    def _judged(self, reply: Reply) -> Reply:
        if reply.refusal is not None:
            return reply
        score = reply.value["score"]
        vote = "yes" if score > self._threshold else "no"
        return Reply({"vote": vote, "probability": score}, usage=reply.usage)
