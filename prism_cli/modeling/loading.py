"""A model spec to a prompt encoder, or to a model ready to score.

Specs: `hf:smollm2` (embedded), `hf:PATH` or PATH (a directory: weights, an adapter, or a run with
its best/ or last/), else a hub id, with or without `hf:`, and `@REVISION` behind it.
safetensors only; code from a model repository is never run.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from prism_cli.domain.prompting import Profile, profile_named
from prism_cli.errors import MissingPackageError, ModelError
from prism_cli.modeling.dequantizing import plain_weights
from prism_cli.modeling.digests import directory_digest
from prism_cli.modeling.embedded import smollm2_path
from prism_cli.modeling.encode import MAX_TOKENS, PromptEncoder
from prism_cli.modeling.model_dir import guess_profile, read_profile
from prism_cli.modeling.quiet import quiet_transformers

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.json", "tokenizer.model")
_SMALL_FILES = ["*.json", "*.txt", "*.jinja", "tokenizer.model"]


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model in eval mode on its device, and what belongs to it.

    Attributes:
        fingerprint: SHA-256 (hex) over config and weights (base and adapter).
        path: the directory it was loaded from.
        revision: the hub commit, or None for a local directory.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    profile: Profile
    fingerprint: str
    path: Path
    revision: str | None = None


def load_encoder(
    spec: str, max_tokens: int = MAX_TOKENS, *, profile: str | None = None
) -> PromptEncoder:
    """The prompt encoder of a model; no weights are read or fetched.

    Args:
        profile: name of the profile, over what the model directory says.

    Raises:
        ModelError: no such model, or its tokenizer is not fit.
        UsageError: no such profile.
    """
    path = model_path(spec, weights=False)
    tokenizer = load_tokenizer(path)
    return PromptEncoder(tokenizer, choose_profile(path, tokenizer, profile), max_tokens)


def load_model(
    spec: str, *, device: str = "auto", dtype: str = "auto", profile: str | None = None
) -> LoadedModel:
    """The model of `spec`, an adapter merged into its base.

    Args:
        device: "auto" (CUDA where there is one), "cpu", "cuda", "cuda:1", …
        dtype: "auto" (float32 on CPU, bfloat16 on CUDA) or a key of DTYPES.

    Raises:
        ModelError: no such model, no tokenizer, no weights, or weights that do not fit.
    """
    path = model_path(spec)
    tokenizer = load_tokenizer(path)
    chosen = choose_profile(path, tokenizer, profile)
    place = resolve_device(device)
    kind = resolve_dtype(dtype, place)
    base, adapter = base_and_adapter(path)
    model = _load_weights(base, kind)
    plain_weights(model, kind)
    if adapter is not None:
        model = _merge_adapter(model, adapter)
    module: torch.nn.Module = model
    module.train(False).requires_grad_(False).to(place)
    fingerprint = _fingerprint(base, adapter)
    return LoadedModel(model, tokenizer, chosen, fingerprint, path, _revision(path))


def model_fingerprint(spec: str) -> str:
    """`LoadedModel.fingerprint` of a spec, without loading it; fetches what is not there.

    Raises:
        ModelError: no such model.
    """
    return _fingerprint(*base_and_adapter(model_path(spec)))


def resolve_device(device: str) -> torch.device:
    """A device by name, "auto" being CUDA where there is one.

    Raises:
        ModelError: no such device.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        place = torch.device(device)
        torch.empty(0, device=place)
    except (RuntimeError, AssertionError) as error:
        raise ModelError(f"--device {device}: {str(error).splitlines()[0]}") from error
    return place


def resolve_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """A dtype by name, "auto" being float32 on CPU, bfloat16 on CUDA.

    Raises:
        ModelError: another name.
    """
    if dtype == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    short = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
    name = short.get(dtype, dtype)
    if name not in DTYPES:
        raise ModelError(f"--dtype {dtype}: expected auto or one of {', '.join(DTYPES)}")
    return DTYPES[name]


def model_path(spec: str, *, weights: bool = True) -> Path:
    """The local directory of a model spec; fetches what is not there, without weights if so told.

    Raises:
        ModelError: neither a directory nor a model of the hub; says what was tried.
    """
    name = spec.removeprefix("hf:")
    if name == "smollm2":
        return smollm2_path()
    path = Path(name).expanduser()
    if path.is_dir():
        return _inside(path)
    if path.exists() or name.count("/") > 1 or name.startswith((".", "/", "~")):
        raise ModelError(f"model {spec}: expected a directory, found {_what(path)}")
    return _from_hub(spec, name, weights)


def load_tokenizer(path: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a model directory.

    Raises:
        ModelError: there is none, or it cannot be read.
    """
    if not any((path / name).is_file() for name in _TOKENIZER_FILES):
        raise ModelError(
            f"model {path}: no tokenizer in that directory (looked for "
            f"{', '.join(_TOKENIZER_FILES[:2])}); copy the base model's tokenizer files there"
        )
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            path, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"model {path}: its tokenizer cannot be read: {_first(error)}") from error
    return tokenizer


def choose_profile(
    path: Path, tokenizer: PreTrainedTokenizerBase, name: str | None = None
) -> Profile:
    """`name`'s profile, else prism.json's, else what name and vocabulary suggest.

    Raises:
        ModelError: prism.json names a template of another hash.
        UsageError: no such profile.
    """
    if name is not None:
        return profile_named(name)
    note = read_profile(path)
    if note is not None:
        return note.profile
    think = {"<think>", "</think>"} <= set(tokenizer.get_added_vocab())
    return guess_profile(_model_name(path), think)


def base_and_adapter(path: Path) -> tuple[Path, Path | None]:
    """The folder of the weights, and of the adapter that is to be merged into them."""
    if (path / "adapter_config.json").is_file():
        return model_path(base_of(path)), path
    return path, None


def _fingerprint(base: Path, adapter: Path | None) -> str:
    digests = [directory_digest(one) for one in (base, adapter) if one is not None]
    return hashlib.sha256(" ".join(digests).encode()).hexdigest()


def _inside(path: Path) -> Path:
    """The directory that holds the model: `path`, or a run's best/ or last/."""
    for found in (path, path / "best", path / "last"):
        if (found / "config.json").is_file() or (found / "adapter_config.json").is_file():
            return found
    raise ModelError(
        f"model {path}: expected config.json or adapter_config.json in it, or in its best/ or "
        f"last/, found {', '.join(sorted(os.listdir(path))[:5]) or 'an empty directory'}"
    )


def _from_hub(spec: str, name: str, weights: bool) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    repository, _, revision = name.partition("@")
    patterns = [*_SMALL_FILES, "*.safetensors"] if weights else _SMALL_FILES
    try:
        return Path(
            snapshot_download(
                repository,
                revision=revision or None,
                allow_patterns=patterns,
                ignore_patterns=["*/*"],
            )
        )
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise ModelError(
            f"model {spec}: no directory of that name here, not in the hub cache, and the hub "
            f"could not be asked or does not have it ({type(error).__name__}). Give a path, "
            "check the name, log in with `hf auth login`, or fetch it where there is a network: "
            f"hf download {repository}"
        ) from error


def _load_weights(path: Path, dtype: torch.dtype) -> PreTrainedModel:
    if not any(path.glob("*.safetensors")):
        others = [file.name for file in path.iterdir() if file.suffix in (".bin", ".gguf", ".pt")]
        hint = f"; {others[0]} is of another format: convert it to safetensors" if others else ""
        raise ModelError(f"model {path}: no weights (*.safetensors) in that directory{hint}")
    loader: Any = AutoModelForCausalLM
    try:
        with quiet_transformers():
            config = AutoConfig.from_pretrained(path, trust_remote_code=False)
            model, report = loader.from_pretrained(
                path,
                config=config,
                dtype=dtype,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
    except ImportError as error:  # of quantised weights
        raise MissingPackageError(error.name or "torchao", "quantize") from error
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"model {path}: cannot be loaded: {_first(error)}") from error
    if missing := sorted(report["missing_keys"]):
        raise ModelError(
            f"model {path}: {len(missing)} weights are not in its files, such as {missing[0]}; "
            "they would be random numbers"
        )
    assert isinstance(model, PreTrainedModel)
    return model


def _merge_adapter(model: PreTrainedModel, adapter: Path) -> PreTrainedModel:
    from peft import PeftModel

    try:
        with quiet_transformers():
            tuned = PeftModel.from_pretrained(model, str(adapter))
            merged = tuned.merge_and_unload(safe_merge=True)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"model {adapter}: the adapter does not fit: {_first(error)}") from error
    assert isinstance(merged, PreTrainedModel)
    return merged


def base_of(adapter: Path) -> str:
    """The model spec of an adapter's base.

    Raises:
        ModelError: nobody names it.
    """
    note = read_profile(adapter)
    if note is not None and note.base:
        return note.base
    try:
        settings = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
        base = settings.get("base_model_name_or_path")
    except (OSError, ValueError, AttributeError) as error:
        raise ModelError(f"model {adapter}: adapter_config.json: {_first(error)}") from error
    if not base:
        raise ModelError(f"model {adapter}: an adapter that does not name its base model")
    return str(base)


def _revision(path: Path) -> str | None:
    """The commit of a directory inside the hub's cache."""
    return path.name if path.parent.name == "snapshots" else None


def _model_name(path: Path) -> str:
    """The repository's name inside the hub's cache, else the directory's."""
    return path.parent.parent.name if path.parent.name == "snapshots" else path.name


def _what(path: Path) -> str:
    return "a file" if path.is_file() else "nothing there"


def _first(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
