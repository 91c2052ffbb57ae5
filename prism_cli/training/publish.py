"""Models of a run as folders that other tools load: whole or not at all."""

import json
from pathlib import Path
from typing import Any

import orjson
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from prism_cli.domain.prompting import Profile
from prism_cli.modeling.model_dir import write_profile
from prism_cli.modeling.silence_warnings import silence_transformers
from prism_cli.shards.storage_errors import storage_errors
from prism_cli.shards.whole_folder import settle_folder, whole_folder

_FIGURES = "dev.json"


def save_weights(
    model: nn.Module, folder: Path, state_dict: dict[str, Tensor] | None = None
) -> None:
    """Adapter or weights with their config into `folder`, as safetensors."""
    saved: Any = model
    more: dict[str, Any] = {}
    if hasattr(model, "peft_config"):
        more["save_embedding_layers"] = False  # else peft may ask the hub
    with silence_transformers():
        saved.save_pretrained(folder, state_dict=state_dict, **more)
    (folder / "README.md").unlink(missing_ok=True)  # peft's empty model card
    config = folder / "adapter_config.json"
    if config.is_file():
        config.write_text(json.dumps(_in_order(json.loads(config.read_text())), indent=2))


def _in_order(config: dict[str, Any]) -> dict[str, Any]:
    """Names sorted: peft writes sets, in an order that changes from process to process."""
    return {
        key: sorted(value)
        if isinstance(value, list) and all(isinstance(one, str) for one in value)
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
    whole: dict[str, Tensor] | None = None,
) -> None:
    """`model` as it is now as RUN/NAME, with tokenizer, prism.json and, where given, dev.json.

    Args:
        whole: its trained weights, where FSDP has them sharded.

    Raises:
        StorageError: it cannot be written; what was there is as it was.
    """
    final = run / name
    with storage_errors(final, "what was there is whole"), whole_folder(final) as folder:
        save_weights(model, folder, whole)
        tokenizer.save_pretrained(folder)
        write_profile(folder, profile, base)
        if figures is not None:
            (folder / _FIGURES).write_bytes(orjson.dumps(figures))


def published_figures(run: Path, name: str) -> dict[str, Any] | None:
    """dev.json of RUN/NAME, which a kill between two renames may have left under its old name."""
    settle_folder(run / name)
    path = run / name / _FIGURES
    figures: dict[str, Any] | None = orjson.loads(path.read_bytes()) if path.is_file() else None
    return figures
