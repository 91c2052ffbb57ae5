"""prism.json of a model directory: the prompt that its weights were trained with.

{"profile": name, "profile_hash": SHA-256 of the template, "base": model spec of the base, or null,
"instruct": the task, if it differs from the profile's}, and the model's defaults, if stated
(`domain.model_defaults`).
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from prism_cli.domain.evidence_budget import MODEL, SELECTED
from prism_cli.domain.model_defaults import NO_DEFAULTS, ModelDefaults
from prism_cli.domain.prompting import PRISM, PRISM_NO_THINK, PROFILES, QWEN3_RERANKER, Profile
from prism_cli.domain.windows import MIN_WINDOW
from prism_cli.errors import ModelError

FILE_NAME = "prism.json"
_DEFAULTS: Mapping[str, tuple[Callable[[Any], bool], str, str]] = {
    "window_tokens": (
        lambda value: type(value) is int and value >= MIN_WINDOW,
        f"a number of tokens from {MIN_WINDOW}",
        "as much of a document at once as fits",
    ),
    "evidence_from": (lambda value: value in (MODEL, SELECTED), f"{MODEL} or {SELECTED}", MODEL),
    "fuse": (
        lambda value: type(value) in (int, float) and 0 <= value <= 1,
        "the first stage's weight, 0 to 1",
        "the order of the model alone",
    ),
}
"""Name -> whether a value is as expected, what is expected, and what holds without it."""


@dataclass(frozen=True, slots=True)
class ModelNote:
    """The content of prism.json."""

    profile: Profile
    base: str | None


def write_profile(
    directory: Path,
    profile: Profile,
    base: str | None = None,
    defaults: ModelDefaults = NO_DEFAULTS,
) -> None:
    """Write prism.json: the profile of the weights in `directory`, the spec of their base, and the
    model's defaults."""
    note: dict[str, Any] = {"profile": profile.name, "profile_hash": profile.hash, "base": base}
    if profile != PROFILES[profile.name]:
        note["instruct"] = profile.instruct
    note |= {name: value for name, value in asdict(defaults).items() if value is not None}
    (directory / FILE_NAME).write_text(json.dumps(note, indent=2) + "\n", encoding="utf-8")


def read_profile(directory: Path) -> ModelNote | None:
    """Read prism.json of `directory`; None if there is none.

    Raises:
        ModelError: not readable, an unknown profile, or a hash that differs from this version's.
    """
    path = directory / FILE_NAME
    if not path.is_file():
        return None
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
        name, digest, base = note["profile"], note["profile_hash"], note.get("base")
        instruct = note.get("instruct")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"{path}: expected {{profile, profile_hash, base}}, found {error!r}; "
            "write it again or name a profile with --profile"
        ) from error
    profile = PROFILES.get(name) if isinstance(name, str) else None
    if profile is None:
        raise ModelError(f"{path}: unknown profile {name!r}; one of {', '.join(PROFILES)}")
    if isinstance(instruct, str):
        profile = profile.with_instruct(instruct)
    if digest != profile.hash:
        raise ModelError(
            f"{path}: the weights were trained with profile {name} of hash {str(digest)[:12]}…, "
            f"this prism has {profile.hash[:12]}…; another prompt would turn scores into noise. "
            "Use the prism that trained them, or name a profile with --profile"
        )
    return ModelNote(profile, base if isinstance(base, str) else None)


def read_defaults(directory: Path) -> ModelDefaults:
    """Return the model's defaults in prism.json; none if it cannot be read.

    Raises:
        ModelError: a value is not a window, a source of evidence or a weight.
    """
    path = directory / FILE_NAME
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return NO_DEFAULTS
    found = {
        name: note[name]
        for name in ModelDefaults.__dataclass_fields__
        if isinstance(note, dict) and note.get(name) is not None
    }
    for name, value in found.items():
        is_expected, expected, otherwise = _DEFAULTS[name]
        if not is_expected(value):
            raise ModelError(
                f"{path}: {name}: expected {expected}, found {value!r}; correct it, or remove it "
                f"for {otherwise}"
            )
    return ModelDefaults(**found)


def guess_profile(name: str, has_think_tokens: bool) -> Profile:
    """Guess the profile of a model without prism.json from its name and vocabulary."""
    if "qwen3-reranker" in name.lower() and "prism" not in name.lower():
        return QWEN3_RERANKER
    return PRISM if has_think_tokens else PRISM_NO_THINK
