"""Backends for decision endpoints, whose models return probabilities in one forward pass and write
no text; among them the judge that votes by these probabilities."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol

import httpx2
import orjson

from prism_cli.adapters.providers.backend import ProviderBackend
from prism_cli.adapters.providers.model_ref import ModelRef
from prism_cli.adapters.providers.packing import SAFETY_SHARE, pack_calls
from prism_cli.adapters.providers.replies import RetryableError, as_probability, count_at, shown
from prism_cli.domain.decision import Decision, Probability, Question
from prism_cli.domain.rubric import DecisionTask
from prism_cli.domain.scoring import answer_of
from prism_cli.domain.token_estimate import estimate_tokens
from prism_cli.ports import Reply, Usage

_AROUND_TOKENS = 32
"""Tokens that a server adds around a question."""
_CONTEXT_TOKENS = 32_000
"""Context of a model whose card has none; used for packing only."""
_SUM_ERROR = 0.02
"""Tolerance of the sum of a scale's probabilities."""


class Endpoint(Protocol):
    """Request and reply format of one decision API.

    Attributes:
        most_questions: maximum questions per call, unless the model's card has another limit.
        rereads: True if the material is read and billed once per question.
    """

    most_questions: int
    rereads: bool

    async def send(self, decision: Decision) -> httpx2.Response:
        """Send one call and return the raw reply."""

    def read(self, body: Any, questions: Sequence[Question]) -> list[Probability | None]:
        """Return the answer to each question, in order; None if it was refused.

        Raises:
            RetryableError: the reply does not answer these questions.
        """


class DecisionCalls(ProviderBackend):
    """Base class of judges and raters on decision endpoints: one decision per call."""

    def __init__(self, ref: ModelRef, endpoint: Endpoint, task: str) -> None:
        """`task` names the task and its template in the fingerprint."""
        super().__init__(ref)
        self._endpoint = endpoint
        self._card = ref.card
        extra = orjson.dumps(ref.card.extra_body, option=orjson.OPT_SORT_KEYS).decode()
        self.fingerprint = f"{task} {ref.api} {ref.spec} {extra}"

    async def answers_to(self, decision: Decision) -> tuple[list[Probability | None], Usage]:
        """Return an answer per question, None if it was declined, and the usage of the call."""
        estimate = self.estimated(decision)

        def read(body: Any) -> tuple[list[Probability | None], Usage]:
            if not isinstance(body, dict):
                raise RetryableError("200 without an object", billed=True)
            answers = self._endpoint.read(body, decision.questions)
            return answers, self._used(body.get("usage"), estimate)

        tokens = estimate.input_tokens + estimate.output_tokens
        send = partial(self._endpoint.send, decision)
        return await self._ref.client.ask(send, read, lambda: tokens, self._lost)

    def estimated(self, decision: Decision) -> Usage:
        """Return the estimated tokens and cost of a decision."""
        count = len(decision.questions)
        tokens = _tokens(decision) + estimate_tokens(decision.rubric)
        return self._usage(tokens * count if self._endpoint.rereads else tokens, count)

    def _used(self, usage: Any, estimate: Usage) -> Usage:
        """Return the usage in the reply, else the estimate; also where a server says 0 tokens."""
        inputs, outputs = count_at(usage, "input_tokens"), count_at(usage, "output_tokens")
        return self._usage(
            inputs or estimate.input_tokens,
            estimate.output_tokens if outputs is None else outputs,
        )

    def _usage(self, inputs: int, outputs: int) -> Usage:
        return Usage(inputs, outputs, self._card.usd(inputs, outputs))


class DecisionBackend(DecisionCalls):
    """A CallBackend from ((query, document text), attempt) to {"vote", "probability"}."""

    gives_probability = True

    def __init__(
        self, ref: ModelRef, rubric: str, endpoint: Endpoint, pack: int | None = 1
    ) -> None:
        """At most `pack` documents of a query share a call; None: as many as the API takes."""
        limit = ref.card.max_documents or endpoint.most_questions
        self._task = DecisionTask(rubric, min(pack or limit, limit))
        self.single = self._task.pack == 1
        super().__init__(ref, endpoint, f"decide {self._task.fingerprint}")

    def plan(self, payloads: Sequence[Any]) -> list[list[int]]:
        """Return groups of documents of one query, up to `pack` and to the model's context."""
        if self._task.pack == 1:
            return super().plan(payloads)
        context = self._card.context_tokens or _CONTEXT_TOKENS
        limit = context * SAFETY_SHARE - estimate_tokens(self._task.rubric)
        sizes = (
            (query, _tokens(self._task.decision(query, [document])))
            for (query, document), _ in payloads
        )
        return pack_calls(sizes, self._task.pack, limit)

    def estimate(self, payloads: Sequence[Any]) -> Usage:
        """Return the estimated tokens and cost of one call."""
        return self.estimated(self._decision(payloads))

    async def answer(self, payloads: Sequence[Any]) -> list[Reply]:
        """Return vote and probability per document of one query, or a refusal."""
        answers, usage = await self.answers_to(self._decision(payloads))
        shares = usage.shared_by(len(answers))
        return [_vote(answer, share) for answer, share in zip(answers, shares, strict=True)]

    def _decision(self, payloads: Sequence[Any]) -> Decision:
        return self._task.decision(payloads[0][0][0], [document for (_, document), _ in payloads])


def probability(value: Any, name: str) -> float:
    """Return `value`, the answer to question `name`, as a number in [0, 1].

    Raises:
        RetryableError: it is not such a number.
    """
    number = as_probability(value)
    if number is None:
        raise RetryableError(
            f"{shown(value)} as the answer to {name}; expected P(yes)", billed=True
        )
    return number


def distribution(values: Sequence[Any], name: str) -> list[float]:
    """Return a probability per level, normalized to the sum 1.

    Raises:
        RetryableError: a value is not in [0, 1], or the sum is not 1 up to rounding.
    """
    probabilities = [probability(value, name) for value in values]
    total = sum(probabilities)
    if abs(total - 1) > _SUM_ERROR:
        raise RetryableError(f"probabilities that sum to {total:.3f} for {name}", billed=True)
    return [share / total for share in probabilities]


def _vote(p_yes: Any, usage: Usage) -> Reply:
    if p_yes is None:
        return Reply({}, "the model declined to answer this question", usage)
    p_yes = round(p_yes, 6)
    return Reply({"vote": answer_of(p_yes), "probability": p_yes}, usage=usage)


def _tokens(decision: Decision) -> int:
    """Estimate the tokens of material and questions."""
    texts = (text for question in decision.questions for text in question.texts)
    return estimate_tokens(decision.material) + sum(map(estimate_tokens, texts)) + _AROUND_TOKENS
