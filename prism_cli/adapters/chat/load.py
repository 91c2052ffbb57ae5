"""Loading of the backend that runs a chat task on the model of a spec."""

from typing import TYPE_CHECKING

from prism_cli.adapters.providers.keys import check_keys
from prism_cli.errors import UsageError

if TYPE_CHECKING:
    from prism_cli.adapters.providers.model_ref import ModelRef
    from prism_cli.adapters.providers.registry import ProviderRegistry
    from prism_cli.domain.chat import ChatTask
    from prism_cli.ports import BatchBackend, CallBackend


def load_chat(
    spec: str, task: "ChatTask", providers: "ProviderRegistry", device: str = "auto"
) -> "BatchBackend | CallBackend":
    """Return the backend of `provider/model`, or of a local model, `hf:…`.

    Raises:
        UsageError: `spec` names no chat model.
        PrerequisiteError: the provider's key is missing.
        ModelError: there is no such local model, or it is not a chat model.
    """
    if spec.startswith("hf:"):
        from prism_cli.adapters.chat.local_model import LocalChat, LocalModel

        return LocalChat(LocalModel(spec, device), task)
    ref = providers.resolve(spec)
    if ref is None or ref.api != "openai":
        raise UsageError(
            f"{spec}: no such chat model; expected hf:smollm2, hf:PATH, hf:HUB_ID, or "
            f"PROVIDER/MODEL with a provider of {', '.join(providers.apis)} that chats"
        )
    check_keys([ref], "`--generator hf:PATH` names a model that needs no key")
    return chat_backend(ref, task)


def chat_backend(ref: "ModelRef", task: "ChatTask") -> "CallBackend":
    """Return the backend that runs the task on a provider's model."""
    from prism_cli.adapters.chat.backend import ChatBackend
    from prism_cli.adapters.chat.model import ChatModel

    return ChatBackend(ChatModel(ref), task)
