"""Models of a run as folders that other tools load: whole or not at all."""

import shutil
from pathlib import Path
from typing import Any

import orjson
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from prism_cli.domain.prompting import Profile
from prism_cli.modeling.model_dir import write_profile
from prism_cli.modeling.quiet import quiet_transformers
from prism_cli.modeling.storing import storing
from prism_cli.shards.writer import sync_directory
from prism_cli.training.checkpoints import files_on_disk

_FIGURES = "dev.json"


def save_weights(
    model: nn.Module, folder: Path, state_dict: dict[str, Tensor] | None = None
) -> None:
    """Adapter or weights with their config into `folder`, as safetensors."""
    saved: Any = model
    more: dict[str, Any] = {}
    if hasattr(model, "peft_config"):
        more["save_embedding_layers"] = False  # else peft may ask the hub
    with quiet_transformers():
        saved.save_pretrained(folder, state_dict=state_dict, **more)
    (folder / "README.md").unlink(missing_ok=True)  # peft's empty model card


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
    final, part, old = run / name, run / f".{name}.part", run / f".{name}.old"
    with storing(final, "what was there is whole"):
        shutil.rmtree(part, ignore_errors=True)
        save_weights(model, part, whole)
        tokenizer.save_pretrained(part)
        write_profile(part, profile, base)
        if figures is not None:
            (part / _FIGURES).write_bytes(orjson.dumps(figures))
        files_on_disk(part)
        sync_directory(part)
        shutil.rmtree(old, ignore_errors=True)
        if final.exists():
            final.replace(old)
        part.replace(final)
        sync_directory(run)
        shutil.rmtree(old, ignore_errors=True)


def published_figures(run: Path, name: str) -> dict[str, Any] | None:
    """dev.json of RUN/NAME, which a kill between two renames may have left under its old name."""
    final, old = run / name, run / f".{name}.old"
    if not final.exists() and old.exists():
        old.replace(final)
    path = final / _FIGURES
    figures: dict[str, Any] | None = orjson.loads(path.read_bytes()) if path.is_file() else None
    return figures
