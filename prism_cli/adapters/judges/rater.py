"""Raters of contribution and evidence: a chat model with RatingTask, or a decision endpoint."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from prism_cli.adapters.chat.load import load_chat
from prism_cli.adapters.judges.decision_backend import DecisionCalls, Endpoint
from prism_cli.adapters.judges.decisions import OpenAIDecisions
from prism_cli.adapters.judges.systemone import SystemOne
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

DECISION_APIS = ("openai-decisions", "systemone")
_QUESTIONS = len(RATINGS) + 1


def decision_endpoint(ref: ModelRef) -> Endpoint:
    """Return the endpoint of a model whose provider's API is one of DECISION_APIS."""
    return SystemOne(ref) if ref.api == "systemone" else OpenAIDecisions(ref)


class RatingBackend(DecisionCalls):
    """A CallBackend; payloads are (RatedTexts, attempt), with all questions in one call.

    Values are those of RatingTask, with "distributions" over 1 to 5, whose means are the ratings,
    and "severe_invention_probability".
    """

    def __init__(self, ref: ModelRef, endpoint: Endpoint) -> None:
        super().__init__(ref, endpoint, f"rate {TEMPLATE}")

    def estimate(self, payloads: Sequence[Any]) -> Usage:
        """Return the estimated tokens and cost of one call."""
        ((texts, _),) = payloads
        return self.estimated(rating_decision(texts))

    async def answer(self, payloads: Sequence[Any]) -> list[Reply]:
        """Return the ratings, or a refusal that names the declined questions."""
        ((texts, _),) = payloads
        answers, usage = await self.answers_to(rating_decision(texts))
        by_name = dict(zip((SEVERE, *RATINGS), answers, strict=True))
        declined = ", ".join(name for name, answer in by_name.items() if answer is None)
        if declined:
            return [Reply({}, f"the model declined to answer: {declined}", usage)]
        return [Reply(rating_value(by_name), usage=usage)]


def load_rater(
    spec: str, providers: "ProviderRegistry", device: str = "auto"
) -> "BatchBackend | CallBackend":
    """Load the rater of `spec`.

    Raises:
        UsageError: `spec` names no rater, or an endpoint that takes too few questions per call.
        PrerequisiteError: the provider's key is missing.
        ModelError: there is no such local model, or it is not a chat model.
    """
    ref = providers.resolve(spec)
    check_keys([ref], "`--judge hf:PATH` names a model that needs no key")
    if ref is None or ref.api not in DECISION_APIS:
        return load_chat(spec, RatingTask(), providers, device)
    limit = ref.card.max_documents
    if limit is not None and limit < _QUESTIONS:
        raise UsageError(
            f"{spec}: expected max_documents of at least {_QUESTIONS}, as a rating asks "
            f"{_QUESTIONS} questions in one call, found {limit}"
        )
    return RatingBackend(ref, decision_endpoint(ref))
