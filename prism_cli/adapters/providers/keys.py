"""Keys of providers: from the environment alone, and all that are missing are told at once."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from prism_cli.errors import PrerequisiteError

if TYPE_CHECKING:
    from prism_cli.adapters.providers.model_ref import ModelRef


def check_keys(asked: "Iterable[ModelRef | None]", free: str) -> None:
    """Whether every provider has its key.

    Args:
        asked: models of providers; None for what is none.
        free: what needs no key, for the message.

    Raises:
        PrerequisiteError: names each missing variable and who needs it.
    """
    missing: dict[str, list[str]] = {}
    for ref in asked:
        if ref is None or ref.client.keyless:
            continue
        client = ref.client
        if client.lacks_key:
            missing.setdefault(client.provider.key_env, []).append(ref.spec)
        if not (client.key.isascii() and client.key.isprintable()):
            raise PrerequisiteError(
                f"{client.provider.key_env}: holds characters that no key has; set it again, "
                "without line ends or quotation marks from a document"
            )
    if missing:
        lines = [f"  {name} for {', '.join(specs)}" for name, specs in missing.items()]
        raise PrerequisiteError(
            "keys are not in the environment; nothing was asked, nothing was paid, and nobody "
            "takes the place of those without a key:\n" + "\n".join(lines) + f"\n{free}"
        )
