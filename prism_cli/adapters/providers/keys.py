"""Keys of providers: from the environment alone, and all that are missing are told at once."""

from collections.abc import Sequence

from prism_cli.adapters.providers.channel import Channel
from prism_cli.errors import PrerequisiteError


def check_keys(asked: Sequence[tuple[str, Channel]], free: str) -> None:
    """Whether every provider has its key.

    Args:
        asked: (spec, its provider's channel).
        free: what needs no key, for the message.

    Raises:
        PrerequisiteError: names each missing variable and who needs it.
    """
    missing: dict[str, list[str]] = {}
    for spec, channel in asked:
        if channel.keyless:
            continue
        if channel.provider.key_env and not channel.key:
            missing.setdefault(channel.provider.key_env, []).append(spec)
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
