"""Keys of providers: from the environment alone, and all that are missing are told at once."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from prism_cli.errors import PrerequisiteError

if TYPE_CHECKING:
    from prism_cli.adapters.providers.named import Named


def check_keys(asked: "Iterable[Named | None]", free: str) -> None:
    """Whether every provider has its key.

    Args:
        asked: models of providers; None for what is none.
        free: what needs no key, for the message.

    Raises:
        PrerequisiteError: names each missing variable and who needs it.
    """
    missing: dict[str, list[str]] = {}
    for named in asked:
        if named is None or named.channel.keyless:
            continue
        channel = named.channel
        if channel.lacks_key:
            missing.setdefault(channel.provider.key_env, []).append(named.spec)
        if not (channel.key.isascii() and channel.key.isprintable()):
            raise PrerequisiteError(
                f"{channel.provider.key_env}: holds characters that no key has; set it again, "
                "without line ends or quotation marks from a document"
            )
    if missing:
        lines = [f"  {name} for {', '.join(specs)}" for name, specs in missing.items()]
        raise PrerequisiteError(
            "keys are not in the environment; nothing was asked, nothing was paid, and nobody "
            "takes the place of those without a key:\n" + "\n".join(lines) + f"\n{free}"
        )
