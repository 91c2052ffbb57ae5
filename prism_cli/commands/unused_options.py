"""Options that have no effect beside the other settings."""

import sys
from collections.abc import Mapping, Sequence

from prism_cli.configs.base import StageConfig, to_dict


def check_unused(
    names: Sequence[str],
    config: StageConfig,
    typed: Mapping[str, object],
    sets: Sequence[str],
    *,
    refusal: str,
    note: str,
) -> None:
    """Refuse options on the command line that have no effect, and print a note about those of
    other settings.

    Args:
        names: settings that have no effect.
        typed: options on the command line, by setting; sets: KEY=VALUE of --set.
        refusal: reason of the error, behind the options.
        note: why the settings are not used.

    Raises:
        UsageError: one of them is on the command line.
    """
    from prism_cli.errors import UsageError

    named = {*typed, *(item.partition("=")[0].strip() for item in sets)}
    if wrong := [name for name in names if name in named]:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in wrong)
        raise UsageError(f"{options}: {refusal}")
    changed = to_dict(config, exclude_defaults=True)
    if unused := [name for name in names if name in changed]:
        print(f"prism: {note}: settings without effect: {', '.join(unused)}", file=sys.stderr)
