"""The extractive rewriter: keywords out of the query's own words, without a model."""

from collections.abc import Sequence
from typing import Any

from prism_cli.domain.chat import ChatTask, UnusableReplyError
from prism_cli.domain.keyword_extraction import extracted_keywords, rules_fingerprint
from prism_cli.ports import Reply


class ExtractiveRewriter:
    """A BatchBackend; payloads are (query, attempt), and each attempt gives the same.

    Args:
        task: reads what the rules wrote as it reads a model's reply.
    """

    spec = "extractive"

    def __init__(self, task: ChatTask) -> None:
        self._task = task
        self.fingerprint = f"{task.name} {task.fingerprint} extractive {rules_fingerprint()}"

    def plan(self, payloads: Sequence[Any]) -> list[list[int]]:
        """All at once."""
        return [list(range(len(payloads)))]

    def answer(self, payloads: Sequence[Any]) -> list[Reply]:
        """The task's value; what the rules cannot do, or the task does not take, is refused."""
        return [self._written(query) for query, _ in payloads]

    def _written(self, query: str) -> Reply:
        try:
            return Reply(self._task.read(query, extracted_keywords(query)))
        except UnusableReplyError as error:
            return Reply({}, refusal=str(error))
