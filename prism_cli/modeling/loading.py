"""Load the prompt encoder or the model of a model spec.

Weights are read from safetensors only; code of a model repository is never executed.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from prism_cli.domain.defaults import MAX_TOKENS
from prism_cli.domain.model_defaults import NO_DEFAULTS, ModelDefaults
from prism_cli.domain.prompting import Profile
from prism_cli.errors import MissingPackageError, ModelError, first_line
from prism_cli.modeling.attention import check_attention
from prism_cli.modeling.dequantizing import dequantize_weights
from prism_cli.modeling.encode import PromptEncoder
from prism_cli.modeling.four_bits import nf4_options
from prism_cli.modeling.linear_kernels import compute_elsewhere_in_torch
from prism_cli.modeling.model_folder import TOKENIZER_FILES, ModelFolder, resolve_model
from prism_cli.modeling.peft_folder import merge_adapter
from prism_cli.modeling.prompt_limit import prompt_limit
from prism_cli.modeling.silence_warnings import silence_transformers
from prism_cli.modeling.varlen_attention import VARLEN, use_varlen

_UNREADABLE = (
    OSError, ValueError, KeyError, RuntimeError, SafetensorError, StrictDataclassError,
)  # fmt: skip
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model in eval mode on its device, with its tokenizer and profile.

    Attributes:
        fingerprint: SHA-256 (hex) over config and weights (base and adapter).
        path: the directory that it was loaded from.
        revision: the hub commit; None for a local directory.
        defaults: those that it states.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    profile: Profile
    fingerprint: str
    path: Path
    revision: str | None = None
    defaults: ModelDefaults = NO_DEFAULTS


def load_encoder(
    model: str | ModelFolder, max_tokens: int = MAX_TOKENS, *, profile: str | None = None
) -> PromptEncoder:
    """Load the prompt encoder of a model without reading or fetching weights.

    Args:
        model: a model spec, or its resolved folder.
        profile: name of the profile; overrides the model directory's.

    Raises:
        ModelError: no such model, or an unsuitable tokenizer.
        UsageError: no such profile, or as `prompt_limit`.
    """
    folder = resolve_model(model, weights=False)
    tokenizer = load_tokenizer(folder.tokenizer_path)
    config = load_config(folder.base.path)
    limit = prompt_limit(max_tokens, config, folder.spec, folder.defaults)
    return PromptEncoder(tokenizer, folder.profile(tokenizer, profile), limit)


def load_model(
    spec: str | ModelFolder,
    *,
    device: str = "auto",
    dtype: str = "auto",
    profile: str | None = None,
    attn: str = "auto",
    four_bits: bool = False,
) -> LoadedModel:
    """Load the model of `spec`; an adapter is merged into its base.

    Args:
        spec: a model spec, or its resolved folder.
        device: "auto" (CUDA if available), "cpu", "cuda", "cuda:1", …
        dtype: "auto" (float32 on CPU, bfloat16 on CUDA) or a key of DTYPES.
        attn: one of `attention.ATTENTIONS`.
        four_bits: load the weights of linear layers, except the head, as NF4.

    Raises:
        ModelError: no such model, no tokenizer, no weights, weights that do not fit, or an
            attention that cannot run here.
    """
    folder = resolve_model(spec)
    tokenizer = load_tokenizer(folder.tokenizer_path)
    chosen = folder.profile(tokenizer, profile)
    target = resolve_device(device)
    torch_dtype = resolve_dtype(dtype, target)
    check_attention(attn, target, torch_dtype)
    options = nf4_options(torch_dtype, target) if four_bits else {}
    model = _load_weights(folder.base.path, torch_dtype, attn, options)
    if attn == VARLEN:
        use_varlen(model)
    if not four_bits:
        dequantize_weights(model, torch_dtype)
    if folder.adapter is not None:
        model = merge_adapter(model, folder.adapter)
    module: torch.nn.Module = model
    try:
        module.train(False).requires_grad_(False).to(target)
    except torch.OutOfMemoryError as error:
        size = sum(weight.numel() * weight.element_size() for weight in module.parameters())
        raise ModelError(
            f"model {folder.path}: its {size / 2**30:.1f} GiB of weights do not fit the free "
            f"memory of {target}; see what else runs there, or choose another --device or a "
            "smaller model"
        ) from error
    return LoadedModel(
        model,
        tokenizer,
        chosen,
        folder.fingerprint,
        folder.path,
        folder.revision,
        folder.defaults,
    )


def resolve_device(device: str) -> torch.device:
    """Return a device by name; "auto" is CUDA if available.

    Raises:
        ModelError: no such device.
    """
    if device == "auto":
        rank = int(os.environ.get("LOCAL_RANK", "0"))  # of several processes on one machine
        return torch.device("cuda", rank) if torch.cuda.is_available() else torch.device("cpu")
    try:
        resolved = torch.device(device)
        torch.empty(0, device=resolved)
    except (RuntimeError, AssertionError) as error:
        raise ModelError(f"--device {device}: {str(error).splitlines()[0]}") from error
    return resolved


def resolve_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """Return a dtype by name.

    "auto" is float32 on a CPU and bfloat16 on CUDA; "fast" is bfloat16 also on a CPU that supports
    it (with AVX2 alone, bfloat16 products take about ten times as long as float32).

    Raises:
        ModelError: an unknown name.
    """
    if dtype in ("auto", "fast"):
        use_bfloat16 = device.type == "cuda" or (
            dtype == "fast" and torch.ops.mkldnn._is_mkldnn_bf16_supported()
        )
        return torch.bfloat16 if use_bfloat16 else torch.float32
    aliases = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
    name = aliases.get(dtype, dtype)
    if name not in DTYPES:
        raise ModelError(f"--dtype {dtype}: expected auto, fast or one of {', '.join(DTYPES)}")
    return DTYPES[name]


def load_tokenizer(path: Path) -> PreTrainedTokenizerBase:
    """Load the tokenizer of a model directory.

    Raises:
        ModelError: it is missing or cannot be read.
    """
    if not any((path / name).is_file() for name in TOKENIZER_FILES):
        raise ModelError(
            f"model {path}: no tokenizer in that directory (looked for "
            f"{', '.join(TOKENIZER_FILES[:2])}); copy the base model's tokenizer files there"
        )
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            path, trust_remote_code=False
        )
    except (*_UNREADABLE, TypeError) as error:
        raise ModelError(
            f"model {path}: its tokenizer cannot be read: {first_line(error)}"
        ) from error
    return tokenizer


def load_config(path: Path) -> PreTrainedConfig:
    """Load the config of a model directory.

    Raises:
        ModelError: it is missing or cannot be read.
    """
    try:
        config: PreTrainedConfig = AutoConfig.from_pretrained(path, trust_remote_code=False)
    except (*_UNREADABLE, AttributeError, TypeError) as error:
        raise ModelError(f"model {path}: cannot be loaded: {first_line(error)}") from error
    return config


def _load_weights(
    path: Path, dtype: torch.dtype, attn: str, options: dict[str, Any]
) -> PreTrainedModel:
    if not any(path.glob("*.safetensors")):
        others = [file.name for file in path.iterdir() if file.suffix in (".bin", ".gguf", ".pt")]
        hint = f"; {others[0]} is of another format: convert it to safetensors" if others else ""
        raise ModelError(f"model {path}: no weights (*.safetensors) in that directory{hint}")
    loader: Any = AutoModelForCausalLM
    try:
        with silence_transformers():
            config = _text_config(load_config(path))
            model, report = loader.from_pretrained(
                path,
                config=config,
                dtype=dtype,
                attn_implementation=None if attn in ("auto", VARLEN) else attn,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
                **options,
            )
    except ImportError as error:  # of quantised weights
        if "torchao" in (error.name or str(error)):
            raise MissingPackageError("torchao", "quantize") from error
        raise ModelError(
            f"model {path}: its weights are quantised in a way that needs another package: "
            f"{first_line(error)}. Name the model with plain weights"
        ) from error
    except _UNREADABLE as error:
        raise ModelError(f"model {path}: cannot be loaded: {first_line(error)}") from error
    if missing := sorted(report["missing_keys"]):
        raise ModelError(
            f"model {path}: {len(missing)} weights are not in its files, such as {missing[0]}; "
            "they would be random numbers"
        )
    if unexpected := sorted(report["unexpected_keys"]):
        raise ModelError(
            f"model {path}: {len(unexpected)} weights of its files have no place in a "
            f"{type(model).__name__}, such as {unexpected[0]}; it is a model of another kind, "
            f"whose scores would not be its own ({', '.join(config.architectures or ['?'])})"
        )
    assert isinstance(model, PreTrainedModel)
    compute_elsewhere_in_torch(sys.modules[type(model).__module__])
    # Else a checkpoint read from `model.language_model…` would be saved under these names, which
    # belong to another class than the one in its config.
    vars(model).pop("_weight_conversions", None)
    return model


def _text_config(config: Any) -> Any:
    """Copy a tied head, which may be set at the top level only, to the text model's settings."""
    text = config.get_text_config()
    if text is not config and config.tie_word_embeddings:
        text.tie_word_embeddings = True
    return config
