"""A judge that answers with P(yes) in one forward pass and writes no text, over some endpoint."""

from collections.abc import Sequence
from typing import Any, Protocol

import httpx2
import orjson

from prism_cli.adapters.providers.backend import ProviderBackend
from prism_cli.adapters.providers.catalog import Named
from prism_cli.adapters.providers.packing import SURE, packed
from prism_cli.adapters.providers.replies import AgainError, count_in, share_in
from prism_cli.domain.rubric import Decision, DecisionTask
from prism_cli.domain.token_estimate import estimate_tokens
from prism_cli.ports import Reply, Usage

_AROUND_TOKENS = 32
"""Of what a server puts around a question."""
_CONTEXT_TOKENS = 32_000
"""Of a model whose card does not say; only packing asks."""


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

    def read(self, found: Any, count: int) -> list[float | None]:
        """P(yes) of each question, unchecked by `probability`; None where it was refused.

        Raises:
            AgainError: the reply is no answer to these questions.
        """


class DecisionBackend(ProviderBackend):
    """A CallBackend; payloads are ((query, document text), attempt), values {"vote",
    "probability"}."""

    gives_probability = True

    def __init__(self, named: Named, rubric: str, endpoint: Endpoint, pack: int | None = 1) -> None:
        """`pack` documents of a query share a call at the most; None: as many as it takes."""
        super().__init__(named)
        most = named.card.max_documents or endpoint.most_questions
        self._task = DecisionTask(rubric, min(pack or most, most))
        self.single = self._task.pack == 1
        self._endpoint = endpoint
        self._card = named.card
        more = orjson.dumps(named.card.extra_body, option=orjson.OPT_SORT_KEYS).decode()
        self.fingerprint = f"decide {self._task.fingerprint} {named.api} {named.spec} {more}"

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
        return self._estimated(self._decision(payloads))

    async def answer(self, payloads: Sequence[Any]) -> list[Reply]:
        """A vote and a probability a document, of one query; a refusal where one was declined.

        Raises:
            ProviderError, RefusalError, PrerequisiteError: as `Channel.ask`.
        """
        decision = self._decision(payloads)
        thought = self._estimated(decision)

        async def send() -> httpx2.Response:
            return await self._endpoint.send(decision)

        def read(found: Any) -> tuple[list[Reply], Usage]:
            if not isinstance(found, dict):
                raise AgainError("200 without an object", billed=True)
            odds = self._endpoint.read(found, len(payloads))
            return [_reply(one) for one in odds], self._used(found.get("usage"), thought)

        tokens = thought.input_tokens + thought.output_tokens
        replies, usage = await self._named.channel.ask(send, read, tokens, self._losses)
        shares = usage.shared_by(len(replies))
        return [
            Reply(one.value, one.refusal, share) for one, share in zip(replies, shares, strict=True)
        ]

    def _decision(self, payloads: Sequence[Any]) -> Decision:
        return self._task.decision(payloads[0][0][0], [document for (_, document), _ in payloads])

    def _estimated(self, decision: Decision) -> Usage:
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


def question_name(number: int) -> str:
    """Of the question on a document, counted from 0."""
    return f"document {number + 1}"


def probability(value: Any, name: str) -> float:
    """A number in [0, 1].

    Raises:
        AgainError: it is none.
    """
    share = share_in(value)
    if share is None:
        raise AgainError(f"{value!r} as the answer to {name}; expected P(yes)", billed=True)
    return share


def _reply(odds: float | None) -> Reply:
    if odds is None:
        return Reply({}, "the model declined to answer this question")
    odds = round(odds, 6)
    return Reply({"vote": "yes" if odds > 0.5 else "no", "probability": odds})


def _tokens(decision: Decision) -> int:
    """Of material and questions, about."""
    asked = sum(estimate_tokens(text) for texts in decision.questions for text in texts)
    return estimate_tokens(decision.material) + asked + _AROUND_TOKENS
