"""Check of providers' keys, which come from the environment alone."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from prism_cli.errors import PrerequisiteError

if TYPE_CHECKING:
    from prism_cli.adapters.providers.model_ref import ModelRef


def check_keys(refs: "Iterable[ModelRef | None]", free: str) -> None:
    """Check that every provider has its key; report all missing keys at once.

    Args:
        refs: models of providers; None entries are skipped.
        free: end of the message: the alternatives that need no key.

    Raises:
        PrerequisiteError: a key is missing or malformed; names each variable and its models.
    """
    missing: dict[str, list[str]] = {}
    for ref in refs:
        if ref is None or ref.client.keyless:
            continue
        client = ref.client
        if client.lacks_key:
            missing.setdefault(client.provider.key_env, []).append(ref.spec)
        if not (client.key.isascii() and client.key.isprintable()):
            raise PrerequisiteError(
                f"{client.provider.key_env}: holds characters that no key has; set it again "
                "without line breaks or typographic quotation marks"
            )
    if missing:
        lines = [f"  {name} for {', '.join(specs)}" for name, specs in missing.items()]
        raise PrerequisiteError(
            "keys are not in the environment; no call was made and nothing was paid; models "
            "without a key are not replaced:\n" + "\n".join(lines) + f"\n{free}"
        )
