"""Who rates contribution and evidence: a chat model by RatingTask, or a decision endpoint."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from prism_cli.adapters.chat.load import load_chat
from prism_cli.adapters.judges.decision_backend import DecisionCalls, Endpoint
from prism_cli.adapters.judges.endpoints import DECISION_APIS, decision_endpoint
from prism_cli.adapters.providers.keys import check_keys
from prism_cli.adapters.providers.model_ref import ModelRef
from prism_cli.domain.rating_task import (
    RATINGS,
    SEVERE,
    TEMPLATE,
    RatingTask,
    rating_decision,
    rating_value,
)
from prism_cli.errors import UsageError
from prism_cli.ports import Reply, Usage

if TYPE_CHECKING:
    from prism_cli.adapters.providers.registry import ProviderRegistry
    from prism_cli.ports import BatchBackend, CallBackend

_QUESTIONS = len(RATINGS) + 1


class RatingBackend(DecisionCalls):
    """A CallBackend; payloads are (RatedTexts, attempt), values as of RatingTask, with
    "distributions" over 1 to 5, whose means the ratings are, and "severe_invention_probability".
    """

    single = True

    def __init__(self, ref: ModelRef, endpoint: Endpoint) -> None:
        super().__init__(ref, endpoint, f"rate {TEMPLATE}")

    def plan(self, payloads: Sequence[Any]) -> list[list[int]]:
        """All questions on one row's texts in a call."""
        return [[index] for index in range(len(payloads))]

    def estimate(self, payloads: Sequence[Any]) -> Usage:
        """Tokens and cost of one call."""
        ((texts, _),) = payloads
        return self.estimated(rating_decision(texts))

    async def answer(self, payloads: Sequence[Any]) -> list[Reply]:
        """The ratings, or a refusal that names what was declined.

        Raises:
            ProviderError, RefusalError, PrerequisiteError: as `ProviderClient.ask`.
        """
        ((texts, _),) = payloads
        odds, usage = await self.answers_to(rating_decision(texts))
        named = dict(zip((SEVERE, *RATINGS), odds, strict=True))
        declined = ", ".join(name for name, one in named.items() if one is None)
        if declined:
            return [Reply({}, f"the model declined to answer: {declined}", usage)]
        return [Reply(rating_value(named), usage=usage)]


def load_rater(
    spec: str, providers: "ProviderRegistry", device: str = "auto"
) -> "BatchBackend | CallBackend":
    """The judge of a spec.

    Raises:
        UsageError: `spec` names none, or an endpoint that takes too few questions a call.
        PrerequisiteError: its key is missing.
        ModelError: no such model in this process, or none that chats.
    """
    ref = providers.resolve(spec)
    check_keys([ref], "`--judge hf:PATH` names a model that needs no key")
    if ref is None or ref.api not in DECISION_APIS:
        return load_chat(spec, RatingTask(), providers, device)
    most = ref.card.max_documents
    if most is not None and most < _QUESTIONS:
        raise UsageError(
            f"{spec}: its max_documents is {most}, and a rating is {_QUESTIONS} questions in one "
            "call"
        )
    return RatingBackend(ref, decision_endpoint(ref))
