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
        ModelError: it needs other code, or, where trusted, could draw code from elsewhere.
    """
    if trusted:
        if elsewhere := _from_elsewhere(path):
            raise ModelError(
                f"{spec}: code or weights of its come from another repository ({elsewhere}), whose "
                f"commit {OPTION} does not hold; nothing was run. Take a model that is whole"
            )
    elif needed := _needed(path):
        raise ModelError(
            f"{spec}: {path} needs code of its own ({', '.join(sorted(needed))}), and prism runs "
            f"none that comes with a model; read it, then name the commit: {OPTION} REPO@COMMIT"
        )


def _needed(path: Path) -> set[str]:
    """Classes that no installed library has."""
    from transformers import CONFIG_MAPPING

    modules, config = _content(path / "modules.json"), _content(path / "config.json")
    foreign = {name for name in _classes(modules) if not name.startswith(_INSTALLED)}
    known = isinstance(config, dict) and config.get("model_type") in CONFIG_MAPPING
    return foreign | (set() if known and not foreign else _classes(config))


def _from_elsewhere(path: Path) -> str:
    """What one of its files names in another repository; "" where all is at hand."""
    for file in sorted(path.rglob("*.json")):
        content = _content(file)
        for name in sorted(_classes(content)):
            if "--" in name:
                return name
        if file.name == "adapter_config.json" and isinstance(content, dict):
            return str(content.get("base_model_name_or_path"))
    return ""


def _classes(content: Any) -> set[str]:
    """FILE.CLASS, or REPO--FILE.CLASS, of a modules.json or of a configuration's auto_map."""
    if isinstance(content, list):
        found: list[Any] = [one.get("type") for one in content if isinstance(one, dict)]
    else:
        own = (content or {}).get("auto_map") if isinstance(content, dict) else None
        values = own.values() if isinstance(own, dict) else ()
        found = [name for one in values for name in (one if isinstance(one, list) else [one])]
    return {name for name in found if isinstance(name, str)}


def _content(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ModelError(f"{file}: expected JSON: {error}") from error
