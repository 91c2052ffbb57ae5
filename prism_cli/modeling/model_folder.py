"""A model spec, resolved once a command: the folders, and what their files state."""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from prism_cli.domain.model_defaults import ModelDefaults
from prism_cli.domain.prompting import Profile, profile_named
from prism_cli.errors import ModelError, first_line
from prism_cli.modeling.chat_profile import template_profile
from prism_cli.modeling.digests import directory_digest
from prism_cli.modeling.model_dir import (
    ModelNote,
    guess_profile,
    read_defaults,
    read_profile,
)
from prism_cli.modeling.model_path import is_adapter, is_hub_id, model_path

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.json", "tokenizer.model")


@dataclass(frozen=True)
class ModelFolder:
    """The folder of a model; each of its facts is read when first needed, and kept.

    Attributes:
        path: the folder of a whole model or of an adapter.
        weights: True if weights were fetched, too.
    """

    spec: str
    path: Path
    weights: bool = True

    @property
    def adapter(self) -> Path | None:
        """The folder of the adapter to merge into the base; None for a whole model."""
        return self.path if is_adapter(self.path) else None

    @cached_property
    def note(self) -> ModelNote | None:
        """The content of prism.json; None if there is none.

        Raises:
            ModelError: see `read_profile`.
        """
        return read_profile(self.path)

    @cached_property
    def defaults(self) -> ModelDefaults:
        """The defaults that the model states.

        Raises:
            ModelError: see `read_defaults`.
        """
        return read_defaults(self.path)

    @cached_property
    def base_spec(self) -> str | None:
        """The model spec of an adapter's base; None for a whole model.

        Raises:
            ModelError: neither prism.json nor adapter_config.json names it.
        """
        if self.adapter is None:
            return None
        if self.note is not None and self.note.base:
            return self.note.base
        try:
            text = (self.path / "adapter_config.json").read_text(encoding="utf-8")
            settings = json.loads(text)
            base, revision = settings.get("base_model_name_or_path"), settings.get("revision")
        except (OSError, ValueError, AttributeError) as error:
            raise ModelError(
                f"model {self.path}: adapter_config.json: {first_line(error)}"
            ) from error
        if not isinstance(base, str) or not base:
            raise ModelError(f"model {self.path}: an adapter that does not name its base model")
        return f"{base}@{revision}" if revision and is_hub_id(base) else base

    @cached_property
    def base(self) -> "ModelFolder":
        """The model that an adapter is merged into; a whole model is its own.

        Raises:
            ModelError: no such model.
        """
        return resolve_model(self.base_spec, weights=self.weights) if self.base_spec else self

    @cached_property
    def tokenizer_path(self) -> Path:
        """The folder of the tokenizer: the base's if an adapter has none."""
        has_own = any((self.path / name).is_file() for name in TOKENIZER_FILES)
        return self.path if has_own else self.base.path

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over config and weights (base and adapter)."""
        folders = [folder for folder in (self.base.path, self.adapter) if folder is not None]
        digests = " ".join(map(directory_digest, folders))
        return hashlib.sha256(digests.encode()).hexdigest()

    @property
    def revision(self) -> str | None:
        """The commit of a folder in the hub's cache; None for others."""
        return self.path.name if self.path.parent.name == "snapshots" else None

    def profile(self, tokenizer: "PreTrainedTokenizerBase", name: str | None = None) -> Profile:
        """Return the profile `name`, else that of prism.json or the chat template, else a guess.

        Raises:
            ModelError: prism.json names a template of another hash, or the folder is a
                sentence-transformers reranker with an unknown prompt.
            UsageError: no such profile.
        """
        if name is not None:
            return profile_named(name)
        if self.note is not None:
            return self.note.profile
        profile = template_profile(self.path, tokenizer)
        if profile is not None:
            return profile
        if self.adapter is not None:
            return self.base.profile(tokenizer)
        has_think_tokens = {"<think>", "</think>"} <= set(tokenizer.get_added_vocab())
        repository = self.path.parent.parent if self.revision else self.path
        return guess_profile(repository.name, has_think_tokens)


def resolve_model(model: str | ModelFolder, *, weights: bool = True) -> ModelFolder:
    """Resolve a model spec to its local folder; missing files are fetched.

    Args:
        model: a spec; a resolved folder is returned as it is, or with its weights if needed.
        weights: also fetch weights.

    Raises:
        ModelError: neither a directory nor a model of the hub.
    """
    if isinstance(model, ModelFolder):
        if model.weights or not weights:
            return model
        model = model.spec
    return ModelFolder(model, model_path(model, weights=weights), weights)


def own_fuse(spec: str) -> float | None:
    """Return the weight of the first stage that a model states; None without one, and for a model
    that cannot be found: loading it says why."""
    try:
        return resolve_model(spec, weights=False).defaults.fuse
    except ModelError:
        return None
