"""Judges behind a provider's interface: which key each needs, and whether it can be asked."""

import os
from collections.abc import Sequence

from prism_cli.errors import PrerequisiteError

KEY_VARIABLES = {
    "deepseek": "DEEPSEEK_API_KEY",
    "bailian": "DASHSCOPE_API_KEY",
    "openrouter": "OPENROUTER_API_KEY",
}
"""Provider -> the environment variable with its key."""


def provider_of(spec: str) -> str | None:
    """The provider of a `provider/model` spec; None where it is none that is known."""
    provider, slash, model = spec.partition("/")
    return provider if slash and model and provider in KEY_VARIABLES else None


def refuse_paid_judges(specs: Sequence[str]) -> None:
    """Say what stands between the user and these judges.

    Args:
        specs: known `provider/model` specs; nothing happens where there are none.

    Raises:
        PrerequisiteError: names each missing key; with all keys there, that these judges cannot
            be called yet.
    """
    if not specs:
        return
    needed: dict[str, list[str]] = {}
    for spec in specs:
        needed.setdefault(KEY_VARIABLES[spec.partition("/")[0]], []).append(spec)
    missing = {name: judges for name, judges in needed.items() if not os.environ.get(name)}
    free = "`--judge source` takes the rows' own labels and needs no key"
    if missing:
        lines = [f"  {name} for {', '.join(judges)}" for name, judges in missing.items()]
        raise PrerequisiteError(
            "these judges need keys that are not in the environment; no row was judged, and no "
            "smaller panel takes their place:\n" + "\n".join(lines) + f"\n{free}"
        )
    raise PrerequisiteError(
        f"this version cannot call judges of a provider yet ({', '.join(specs)}); no row was "
        f"judged and nothing was paid; {free}"
    )
