"""Code that comes with a model's files: it runs only from a commit that the user named."""

import json
import re
from pathlib import Path
from typing import Any

from prism_cli.errors import ModelError, UsageError

OPTION = "--trust-remote-code"
_TRUSTED = re.compile(r"([^@\s/]+/[^@\s/]+)@([0-9a-f]{40})")
_INSTALLED = "sentence_transformers."


def trusted_snapshot(spec: str, trusted: str) -> str:
    """Return `trusted` after checking that it is REPO@COMMIT of the model `spec`.

    Raises:
        UsageError: another form, another repository, or another commit than in `spec`.
    """
    match = _TRUSTED.fullmatch(trusted)
    if match is None:
        raise UsageError(
            f"{OPTION} {trusted}: expected REPO@COMMIT, the commit with all its 40 hexadecimal "
            "digits, as the code of a branch or tag may change"
        )
    if spec not in (f"st:{match[1]}", f"st:{trusted}"):
        raise UsageError(
            f"{OPTION} {trusted}: the first stage is {spec}; expected st:{match[1]}. The code of "
            "no other model is run"
        )
    return trusted


def check_code(spec: str, path: Path, *, trusted: bool) -> None:
    """Check that the model in `path` needs only installed or trusted code.

    Args:
        trusted: True if `path` is a snapshot of the trusted commit.

    Raises:
        ModelError: the model needs other code, or a trusted one loads code from elsewhere.
    """
    if trusted:
        if elsewhere := _from_elsewhere(path):
            raise ModelError(
                f"{spec}: some of its code or weights come from another repository ({elsewhere}), "
                f"whose commit {OPTION} does not fix; nothing was run. Use a self-contained model"
            )
    elif needed := _needed(path):
        raise ModelError(
            f"{spec}: {path} needs code of its own ({', '.join(sorted(needed))}), and prism runs "
            f"no code of models; read it, then name the commit: {OPTION} REPO@COMMIT"
        )


def _needed(path: Path) -> set[str]:
    """Return the classes that no installed library provides."""
    from transformers import CONFIG_MAPPING

    modules, config = _content(path / "modules.json"), _content(path / "config.json")
    foreign = {name for name in _classes(modules) if not name.startswith(_INSTALLED)}
    known = isinstance(config, dict) and config.get("model_type") in CONFIG_MAPPING
    return foreign | (set() if known and not foreign else _classes(config))


def _from_elsewhere(path: Path) -> str:
    """Return a reference of the model's files to another repository; "" if there is none."""
    for file in sorted(path.rglob("*.json")):
        content = _content(file)
        for name in sorted(_classes(content)):
            if "--" in name:
                return name
        if file.name == "adapter_config.json" and isinstance(content, dict):
            return str(content.get("base_model_name_or_path"))
    return ""


def _classes(content: Any) -> set[str]:
    """Return FILE.CLASS or REPO--FILE.CLASS of a modules.json or of a configuration's auto_map."""
    if isinstance(content, list):
        names: list[Any] = [module.get("type") for module in content if isinstance(module, dict)]
    else:
        auto_map = (content or {}).get("auto_map") if isinstance(content, dict) else None
        values = auto_map.values() if isinstance(auto_map, dict) else ()
        names = [
            name for value in values for name in (value if isinstance(value, list) else [value])
        ]
    return {name for name in names if isinstance(name, str)}


def _content(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ModelError(f"{file}: expected JSON: {error}") from error
