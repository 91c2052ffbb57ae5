"""Models that answer with probabilities in one forward pass and write no text, over some endpoint;
the judge that votes by them."""

from collections.abc import Sequence
from typing import Any, Protocol

import httpx2
import orjson

from prism_cli.adapters.providers.backend import ProviderBackend
from prism_cli.adapters.providers.model_ref import ModelRef
from prism_cli.adapters.providers.packing import SURE, packed
from prism_cli.adapters.providers.replies import AgainError, count_in, share_in
from prism_cli.domain.decision import Decision, Odds, Question
from prism_cli.domain.rubric import DecisionTask
from prism_cli.domain.token_estimate import estimate_tokens
from prism_cli.ports import Reply, Usage

_AROUND_TOKENS = 32
"""Of what a server puts around a question."""
_CONTEXT_TOKENS = 32_000
"""Of a model whose card does not say; only packing asks."""
_SUM_ERROR = 0.02
"""Of the probabilities of a scale."""


class Endpoint(Protocol):
    """How one API takes a decision, and where the probabilities stand in its reply."""

    @property
    def most_questions(self) -> int:
        """A call, where the model's card does not say."""

    @property
    def rereads(self) -> bool:
        """Whether the material is read, and billed, once a question."""

    async def send(self, decision: Decision) -> httpx2.Response:
        """One call; nothing is judged yet."""

    def read(self, found: Any, questions: Sequence[Question]) -> list[Odds | None]:
        """The answer to each question, in order; None where it was refused.

        Raises:
            AgainError: the reply is no answer to these questions.
        """


class DecisionCalls(ProviderBackend):
    """What judges and raters of this kind have: one decision a call."""

    def __init__(self, ref: ModelRef, endpoint: Endpoint, task: str) -> None:
        """`task`: the job and its template, for the fingerprint."""
        super().__init__(ref)
        self._endpoint = endpoint
        self._card = ref.card
        more = orjson.dumps(ref.card.extra_body, option=orjson.OPT_SORT_KEYS).decode()
        self.fingerprint = f"{task} {ref.api} {ref.spec} {more}"

    async def answers_to(self, decision: Decision) -> tuple[list[Odds | None], Usage]:
        """An answer a question, None where it was declined; and what all of them took.

        Raises:
            ProviderError, RefusalError, PrerequisiteError: as `ProviderClient.ask`.
        """
        thought = self.estimated(decision)

        async def send() -> httpx2.Response:
            return await self._endpoint.send(decision)

        def read(found: Any) -> tuple[list[Odds | None], Usage]:
            if not isinstance(found, dict):
                raise AgainError("200 without an object", billed=True)
            odds = self._endpoint.read(found, decision.questions)
            return odds, self._used(found.get("usage"), thought)

        tokens = thought.input_tokens + thought.output_tokens
        return await self._ref.client.ask(send, read, tokens, self._lost)

    def estimated(self, decision: Decision) -> Usage:
        count = len(decision.questions)
        given = _tokens(decision) + estimate_tokens(decision.rubric)
        return self._usage(given * count if self._endpoint.rereads else given, count)

    def _used(self, told: Any, thought: Usage) -> Usage:
        """What the reply says was used, else what was thought."""
        given, answered = count_in(told, "input_tokens"), count_in(told, "output_tokens")
        return self._usage(
            thought.input_tokens if given is None else given,
            thought.output_tokens if answered is None else answered,
        )

    def _usage(self, given: int, answered: int) -> Usage:
        return Usage(given, answered, self._card.usd(given, answered))


class DecisionBackend(DecisionCalls):
    """A CallBackend; payloads are ((query, document text), attempt), values {"vote",
    "probability"}."""

    gives_probability = True

    def __init__(
        self, ref: ModelRef, rubric: str, endpoint: Endpoint, pack: int | None = 1
    ) -> None:
        """`pack` documents of a query share a call at the most; None: as many as it takes."""
        most = ref.card.max_documents or endpoint.most_questions
        self._task = DecisionTask(rubric, min(pack or most, most))
        self.single = self._task.pack == 1
        super().__init__(ref, endpoint, f"decide {self._task.fingerprint}")

    def plan(self, payloads: Sequence[Any]) -> list[list[int]]:
        """The documents of a query together, up to `pack` and to the model's context."""
        if self._task.pack == 1:
            return [[index] for index in range(len(payloads))]
        context = self._card.context_tokens or _CONTEXT_TOKENS
        limit = context * SURE - estimate_tokens(self._task.rubric)
        sizes = (
            (query, _tokens(self._task.decision(query, [document])))
            for (query, document), _ in payloads
        )
        return packed(sizes, self._task.pack, limit)

    def estimate(self, payloads: Sequence[Any]) -> Usage:
        """Tokens and cost of one call."""
        return self.estimated(self._decision(payloads))

    async def answer(self, payloads: Sequence[Any]) -> list[Reply]:
        """A vote and a probability a document, of one query; a refusal where one was declined.

        Raises:
            ProviderError, RefusalError, PrerequisiteError: as `ProviderClient.ask`.
        """
        odds, usage = await self.answers_to(self._decision(payloads))
        shares = usage.shared_by(len(odds))
        return [_vote(one, share) for one, share in zip(odds, shares, strict=True)]

    def _decision(self, payloads: Sequence[Any]) -> Decision:
        return self._task.decision(payloads[0][0][0], [document for (_, document), _ in payloads])


def probability(value: Any, name: str) -> float:
    """A number in [0, 1].

    Raises:
        AgainError: it is none.
    """
    share = share_in(value)
    if share is None:
        raise AgainError(f"{value!r} as the answer to {name}; expected P(yes)", billed=True)
    return share


def distribution(values: Sequence[Any], name: str) -> list[float]:
    """A probability a level, made to sum to 1; rounding on the way is allowed for.

    Raises:
        AgainError: they are none.
    """
    odds = [probability(value, name) for value in values]
    total = sum(odds)
    if abs(total - 1) > _SUM_ERROR:
        raise AgainError(f"probabilities that sum to {total:.3f} for {name}", billed=True)
    return [one / total for one in odds]


def _vote(odds: Any, usage: Usage) -> Reply:
    if odds is None:
        return Reply({}, "the model declined to answer this question", usage)
    odds = round(odds, 6)
    return Reply({"vote": "yes" if odds > 0.5 else "no", "probability": odds}, usage=usage)


def _tokens(decision: Decision) -> int:
    """Of material and questions, about."""
    asked = sum(estimate_tokens(text) for one in decision.questions for text in one.texts)
    return estimate_tokens(decision.material) + asked + _AROUND_TOKENS
