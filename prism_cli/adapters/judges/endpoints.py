"""Choice of the decision endpoint by a provider's API."""

from typing import TYPE_CHECKING

from prism_cli.adapters.judges.decisions import OpenAIDecisions
from prism_cli.adapters.judges.systemone import SystemOne

if TYPE_CHECKING:
    from prism_cli.adapters.judges.decision_backend import Endpoint
    from prism_cli.adapters.providers.model_ref import ModelRef

DECISION_APIS = ("openai-decisions", "systemone")


def decision_endpoint(ref: "ModelRef") -> "Endpoint":
    """Return the endpoint of a model whose provider's API is one of DECISION_APIS."""
    return SystemOne(ref) if ref.api == "systemone" else OpenAIDecisions(ref)
