"""Publish models of a run as folders that other tools load, atomically."""

import json
from pathlib import Path
from typing import Any

import orjson
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from prism_cli.domain.model_defaults import NO_DEFAULTS, ModelDefaults
from prism_cli.domain.prompting import Profile
from prism_cli.modeling.model_dir import write_profile
from prism_cli.modeling.silence_warnings import silence_transformers
from prism_cli.shards.storage_errors import storage_errors
from prism_cli.shards.whole_folder import settle_folder, whole_folder

_FIGURES = "dev.json"


def save_weights(
    model: nn.Module, folder: Path, state_dict: dict[str, Tensor] | None = None
) -> None:
    """Save adapter or weights with their config in `folder`, as safetensors."""
    pretrained: Any = model
    options: dict[str, Any] = {}
    if hasattr(model, "peft_config"):
        options["save_embedding_layers"] = False  # else peft may call the hub
    with silence_transformers():
        pretrained.save_pretrained(folder, state_dict=state_dict, **options)
    (folder / "README.md").unlink(missing_ok=True)  # peft's empty model card
    config = folder / "adapter_config.json"
    if config.is_file():
        config.write_text(json.dumps(_sorted_names(json.loads(config.read_text())), indent=2))


def _sorted_names(config: dict[str, Any]) -> dict[str, Any]:
    """Sort lists of names: peft writes sets, whose order differs between processes."""
    return {
        key: sorted(value)
        if isinstance(value, list) and all(isinstance(name, str) for name in value)
        else value
        for key, value in config.items()
    }


def publish_model(
    run: Path,
    name: str,
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    profile: Profile,
    base: str | None,
    figures: dict[str, Any] | None = None,
    state_dict: dict[str, Tensor] | None = None,
    defaults: ModelDefaults = NO_DEFAULTS,
) -> None:
    """Save `model` as RUN/NAME with tokenizer, prism.json and, if `figures` are given, dev.json.

    Args:
        defaults: those that it states in prism.json.
        state_dict: its trained weights, if FSDP has sharded them.

    Raises:
        StorageError: it cannot be written; the previous folder is unchanged.
    """
    final = run / name
    with storage_errors(final, "what was there is whole"), whole_folder(final) as folder:
        save_weights(model, folder, state_dict)
        tokenizer.save_pretrained(folder)
        write_profile(folder, profile, base, defaults)
        if figures is not None:
            (folder / _FIGURES).write_bytes(orjson.dumps(figures))


def published_figures(run: Path, name: str) -> dict[str, Any] | None:
    """Return dev.json of RUN/NAME, after repairing a rename that a kill interrupted."""
    settle_folder(run / name)
    path = run / name / _FIGURES
    figures: dict[str, Any] | None = orjson.loads(path.read_bytes()) if path.is_file() else None
    return figures
