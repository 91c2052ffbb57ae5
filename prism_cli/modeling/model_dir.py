"""prism.json of a model directory: the prompt that its weights were trained with.

{"profile": name, "profile_hash": SHA-256 of the template, "base": model spec of the base, or null,
"instruct": the task, if it differs from the profile's, "window_tokens": most tokens of a document
that the model reads well at once, if stated, "evidence_from": its best source of evidence, if
stated: model or selected}
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prism_cli.domain.evidence_budget import MODEL, SELECTED
from prism_cli.domain.prompting import PRISM, PRISM_NO_THINK, PROFILES, QWEN3_RERANKER, Profile
from prism_cli.domain.windows import MIN_WINDOW
from prism_cli.errors import ModelError

FILE_NAME = "prism.json"


@dataclass(frozen=True, slots=True)
class ModelNote:
    """The content of prism.json."""

    profile: Profile
    base: str | None


def write_profile(
    directory: Path,
    profile: Profile,
    base: str | None = None,
    window_tokens: int | None = None,
    evidence_from: str | None = None,
) -> None:
    """Write prism.json: the profile of the weights in `directory`, the spec of their base, and the
    window and the source of evidence that the model states."""
    note: dict[str, Any] = {"profile": profile.name, "profile_hash": profile.hash, "base": base}
    if profile != PROFILES[profile.name]:
        note["instruct"] = profile.instruct
    stated = {"window_tokens": window_tokens, "evidence_from": evidence_from}
    note |= {name: value for name, value in stated.items() if value is not None}
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


def read_window(directory: Path) -> int | None:
    """Return `window_tokens` of prism.json; None if it states none, or cannot be read.

    Raises:
        ModelError: another value than a number of tokens.
    """
    tokens = _stated(directory, "window_tokens")
    if tokens is None or (type(tokens) is int and tokens >= MIN_WINDOW):
        return tokens
    raise ModelError(
        f"{directory / FILE_NAME}: window_tokens: expected a number of tokens from {MIN_WINDOW}, "
        f"found {tokens!r}; correct it, or remove it to read as much of a document at once as fits"
    )


def read_evidence_source(directory: Path) -> str | None:
    """Return `evidence_from` of prism.json; None if it states none, or cannot be read.

    Raises:
        ModelError: neither model nor selected.
    """
    source = _stated(directory, "evidence_from")
    if source in (None, MODEL, SELECTED):
        return None if source is None else str(source)
    raise ModelError(
        f"{directory / FILE_NAME}: evidence_from: expected {MODEL} or {SELECTED}, found "
        f"{source!r}; correct it, or remove it for {MODEL}"
    )


def _stated(directory: Path, name: str) -> Any:
    """Return a value of prism.json; None without one, or if the file cannot be read."""
    try:
        note = json.loads((directory / FILE_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return note.get(name) if isinstance(note, dict) else None


def guess_profile(name: str, has_think_tokens: bool) -> Profile:
    """Guess the profile of a model without prism.json from its name and vocabulary."""
    if "qwen3-reranker" in name.lower() and "prism" not in name.lower():
        return QWEN3_RERANKER
    return PRISM if has_think_tokens else PRISM_NO_THINK
