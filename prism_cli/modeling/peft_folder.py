"""Merge a peft adapter folder into a text model, or add it; all its weights must have a place.

peft only warns about weights without a place. An adapter trained on a conditional-generation
checkpoint (`model.language_model.layers…`) would therefore have no effect on the text model of that
checkpoint (`model.layers…`).
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from prism_cli.errors import ModelError, first_line
from prism_cli.modeling.silence_warnings import silence_transformers

WEIGHTS = "adapter_model.safetensors"
_OUTER = "base_model.model."
_VISION = re.compile(r"(^|\.)(visual|vision_tower|multi_modal_projector)\.")
_TEXT = re.compile(r"^(model\.language_model\.|language_model\.model\.)")
_LORA = re.compile(r"\.lora_(A|B|embedding_A|embedding_B|magnitude_vector)(\.weight)?$")


def merge_adapter(model: PreTrainedModel, folder: Path) -> PreTrainedModel:
    """Return `model` with the adapter of `folder` merged into its weights.

    Raises:
        ModelError: no safetensors, an adapter that cannot be merged, weights that have no place
            in `model`, or missing weights.
    """
    with _fitting(folder):
        merged = _adapted(model, folder, trainable=False).merge_and_unload(safe_merge=True)
    assert isinstance(merged, PreTrainedModel)
    return merged


def trainable_adapter(model: PreTrainedModel, folder: Path) -> nn.Module:
    """Return `model`, frozen, with the adapter of `folder`, trainable in float32 (a peft model).

    Raises:
        ModelError: as `merge_adapter`.
    """
    with _fitting(folder):
        adapted: nn.Module = _adapted(model, folder, trainable=True)
    return adapted


@contextmanager
def _fitting(folder: Path) -> Iterator[None]:
    try:
        with silence_transformers():
            yield
    except (OSError, ValueError, KeyError, RuntimeError, TypeError, SafetensorError) as error:
        reason = first_line(error)
        raise ModelError(f"model {folder}: the adapter does not fit: {reason}") from error


def _adapted(model: PreTrainedModel, folder: Path, *, trainable: bool) -> Any:
    from peft import PeftConfig, get_peft_model, set_peft_model_state_dict
    from peft.mapping import PEFT_TYPE_TO_PREFIX_MAPPING

    if not (folder / WEIGHTS).is_file():
        raise ModelError(f"model {folder}: expected {WEIGHTS} in it; convert it to safetensors")
    tensors = load_file(str(folder / WEIGHTS))
    weights = _of_text_model(tensors, model)
    config: Any = PeftConfig.from_pretrained(str(folder))
    if config.is_prompt_learning:
        raise ModelError(
            f"model {folder}: an adapter of kind {config.peft_type} adds tokens instead of weights "
            "and cannot be merged; train a LoRA adapter instead"
        )
    config.inference_mode = not trainable
    config.base_model_name_or_path = None  # else peft warns if the base has another name
    if weights.keys() != tensors.keys():
        _point_at(config, weights)
    if any(".lm_head." in key or ".embed_tokens." in key for key in weights):
        _untie(model)
    tuned = get_peft_model(model, config)
    result: Any = set_peft_model_state_dict(tuned, weights)
    prefix = PEFT_TYPE_TO_PREFIX_MAPPING[config.peft_type]
    missing = sorted(key for key in result.missing_keys if prefix in key)
    for what, keys in (("no place for", sorted(result.unexpected_keys)), ("not found", missing)):
        if keys:
            raise ModelError(
                f"model {folder}: the adapter does not fit its base: {what} {len(keys)} weights, "
                f"such as {keys[0]}; name the right base in adapter_config.json"
            )
    return tuned


def _of_text_model(weights: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Rename weights to the names of a text model; omit those of a vision tower."""
    if any(".language_model." in f".{name}." for name, _ in model.named_modules()):
        return weights
    renamed = {}
    for key, tensor in weights.items():
        name = key.removeprefix(_OUTER)
        if not _VISION.search(name):
            renamed[_OUTER + _TEXT.sub("model.", name)] = tensor
    return renamed


def _point_at(config: Any, weights: dict[str, Tensor]) -> None:
    """Set the target modules of `config` to exactly those of `weights`, by full name."""
    names = {_LORA.sub("", key).removeprefix(_OUTER) for key in weights if _LORA.search(key)}
    if not names:
        raise ModelError(
            f"an adapter of kind {config.peft_type} without a LoRA weight for the text model"
        )
    config.target_modules = names
    config.exclude_modules = config.layers_to_transform = config.layers_pattern = None
    for field in ("rank_pattern", "alpha_pattern"):
        pattern = getattr(config, field, None) or {}
        setattr(config, field, {_without_language_model(name): n for name, n in pattern.items()})


def _without_language_model(pattern: str) -> str:
    return re.sub(r"language_model(\\?\.)", "", pattern)


def _untie(model: Any) -> None:
    """Give the head its own weights, so that changes of it do not change the embeddings."""
    head, embed = model.get_output_embeddings(), model.get_input_embeddings()
    if isinstance(head, nn.Linear) and head.weight is getattr(embed, "weight", None):
        with torch.no_grad():
            head.weight = nn.Parameter(head.weight.clone(), requires_grad=False)
        model.config.tie_word_embeddings = False
