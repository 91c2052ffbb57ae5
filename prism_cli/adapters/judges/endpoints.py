"""The endpoint that takes a provider's decisions."""

from typing import TYPE_CHECKING

from prism_cli.adapters.judges.decisions import OpenAIDecisions
from prism_cli.adapters.judges.systemone import SystemOne

if TYPE_CHECKING:
    from prism_cli.adapters.judges.decision_backend import Endpoint
    from prism_cli.adapters.providers.model_ref import ModelRef

DECISION_APIS = ("openai-decisions", "systemone")


def decision_endpoint(ref: "ModelRef") -> "Endpoint":
    """By the provider's api, one of DECISION_APIS."""
    return SystemOne(ref) if ref.api == "systemone" else OpenAIDecisions(ref)
