"""Code that comes with a model's files: none runs but that of a commit which the user named."""

import json
import re
from pathlib import Path
from typing import Any

from prism_cli.errors import ModelError, UsageError

OPTION = "--trust-remote-code"
_TRUSTED = re.compile(r"([^@\s/]+/[^@\s/]+)@([0-9a-f]{40})")
_INSTALLED = "sentence_transformers."


def trusted_snapshot(spec: str, trusted: str) -> str:
    """The REPO@COMMIT that `trusted` is, fit to be the model `spec`.

    Raises:
        UsageError: no such form, or not the model's own repository, or another commit of it.
    """
    match = _TRUSTED.fullmatch(trusted)
    if match is None:
        raise UsageError(
            f"{OPTION} {trusted}: expected REPO@COMMIT, the commit with all its 40 hexadecimal "
            "digits: a branch or a tag may hold other code tomorrow"
        )
    if spec not in (f"st:{match[1]}", f"st:{trusted}"):
        raise UsageError(
            f"{OPTION} {trusted}: the first stage is {spec}; expected st:{match[1]}. The code of "
            "no other model is run"
        )
    return trusted


def check_code(spec: str, path: Path, *, trusted: bool) -> None:
    """Make sure that the model in `path` needs no code but what is installed, or trusted.

    Args:
        trusted: whether `path` is a snapshot of the trusted commit.

    Raises:
        ModelError: it needs other code.
    """
    needed = _code_of(path)
    elsewhere = sorted(name for name in needed if "--" in name)
    if elsewhere and trusted:
        raise ModelError(
            f"{spec}: its code lies in another repository ({elsewhere[0]}), whose commit {OPTION} "
            "does not hold; nothing was run. Take a model whose code lies beside it, or none"
        )
    if needed and not trusted:
        raise ModelError(
            f"{spec}: {path} needs code of its own ({', '.join(sorted(needed))}), and prism runs "
            f"none that comes with a model; read it, then name the commit: {OPTION} REPO@COMMIT"
        )


def _code_of(path: Path) -> set[str]:
    """Classes that no installed library has: FILE.CLASS, or REPO--FILE.CLASS."""
    from transformers import CONFIG_MAPPING

    modules = _content(path / "modules.json") or []
    kinds = [str(one.get("type", "")) for one in modules if isinstance(one, dict)]
    needed = {kind for kind in kinds if not kind.startswith(_INSTALLED)}
    config = _content(path / "config.json") or {}
    own = config.get("auto_map") or {}
    if needed or config.get("model_type") not in CONFIG_MAPPING:
        for names in own.values():
            listed = names if isinstance(names, list) else [names]
            needed |= {name for name in listed if isinstance(name, str)}
    return needed


def _content(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ModelError(f"{file}: expected JSON: {error}") from error
