"""The extractive rewriter: takes keywords from the query's own words, without a model."""

from collections.abc import Sequence
from typing import Any

from prism_cli.domain.chat import ChatTask, UnusableReplyError
from prism_cli.domain.keyword_extraction import extracted_keywords, rules_fingerprint
from prism_cli.ports import Reply


class ExtractiveRewriter:
    """A BatchBackend; payloads are (query, attempt), and every attempt gives the same reply.

    Args:
        task: validates the keywords as it validates a model's reply.
    """

    spec = "extractive"

    def __init__(self, task: ChatTask) -> None:
        self._task = task
        self.fingerprint = f"{task.name} {task.fingerprint} extractive {rules_fingerprint()}"

    def plan(self, payloads: Sequence[Any]) -> list[list[int]]:
        """Return all payloads as one batch."""
        return [list(range(len(payloads)))]

    def answer(self, payloads: Sequence[Any]) -> list[Reply]:
        """Return the task's value; queries without usable keywords are refused."""
        return [self._reply(query) for query, _ in payloads]

    def _reply(self, query: str) -> Reply:
        try:
            return Reply(self._task.read(query, extracted_keywords(query)))
        except UnusableReplyError as error:
            return Reply({}, refusal=str(error))
