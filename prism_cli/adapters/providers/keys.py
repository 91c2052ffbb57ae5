"""Check of providers' keys, which come from the environment alone, before the first call."""

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from prism_cli.errors import PrerequisiteError
from prism_cli.wording import did_you_mean

if TYPE_CHECKING:
    from prism_cli.adapters.providers.model_ref import ModelRef


def check_keys(refs: "Iterable[ModelRef | None]", free: str) -> None:
    """Check that every provider has its key; report all missing keys at once.

    Where no call will be made (--dry-run), warn of missing keys and of models that the provider
    files do not list.

    Args:
        refs: models of providers; None entries are skipped.
        free: end of the message: the alternatives that need no key.

    Raises:
        PrerequisiteError: a key is missing or malformed; names each variable and its models.
    """
    missing: dict[str, list[str]] = {}
    keyless = False
    for ref in filter(None, refs):
        client = ref.client
        if client.keyless:
            keyless = True
            _warn_if_unlisted(ref)
        if client.lacks_key:
            missing.setdefault(client.provider.key_env, []).append(ref.spec)
        if not (client.key.isascii() and client.key.isprintable()):
            raise PrerequisiteError(
                f"{client.provider.key_env}: holds characters that no key has; set it again "
                "without line breaks or typographic quotation marks"
            )
    if missing and keyless:
        names = "; ".join(f"{name} for {', '.join(specs)}" for name, specs in missing.items())
        print(f"prism: warning: a run needs keys that are not set: {names}", file=sys.stderr)
    elif missing:
        lines = [f"  {name} for {', '.join(specs)}" for name, specs in missing.items()]
        raise PrerequisiteError(
            "keys are not in the environment; no call was made and nothing was paid; models "
            "without a key are not replaced:\n" + "\n".join(lines) + f"\n{free}"
        )


def _warn_if_unlisted(ref: "ModelRef") -> None:
    listed = ref.client.provider.models
    if listed and ref.model not in listed:
        hint = (
            did_you_mean(ref.model, listed) or f"models of {ref.client.name}: {', '.join(listed)}"
        )
        print(
            f"prism: warning: {ref.spec}: not in the provider files, so its price is unknown and "
            f"its name unchecked; {hint}",
            file=sys.stderr,
        )
