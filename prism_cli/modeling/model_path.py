"""Resolve a model spec to the directory of the model.

Specs: `hf:smollm2` and `hf:prism-tiny` (embedded), `hf:PATH` or PATH (a directory: weights, an
adapter, or a run with its best/ or last/), else a hub id, with or without `hf:`, optionally
followed by `@REVISION`.
"""

import os
import re
from pathlib import Path

from prism_cli.domain.model_specs import near_short_name
from prism_cli.errors import ModelError
from prism_cli.modeling.embedded import prism_tiny_path, smollm2_path

_EMBEDDED = {"smollm2": smollm2_path, "prism-tiny": prism_tiny_path}
_HUB_ID = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")
_SMALL_FILES = ["*.json", "*.txt", "*.jinja", "tokenizer.model"]
# Subfolders, except 1_LogitScore and the like.
_NOT_FETCHED = ["[!1]*/*", "1[!_]*/*"]


def model_path(spec: str, *, weights: bool = True) -> Path:
    """Return the local directory of a model spec; missing files are fetched.

    Args:
        weights: also fetch weights.

    Raises:
        ModelError: neither a directory nor a model of the hub.
    """
    name = spec.removeprefix("hf:")
    path = Path(os.path.expanduser(name))
    if embedded := _embedded_name(spec):
        return _EMBEDDED[embedded]()
    if path.is_dir():
        return _inside(path)
    if path.exists() or name.partition("@")[0].count("/") > 1 or name.startswith((".", "/", "~")):
        raise ModelError(f"model {spec}: expected a directory, found {_kind(path)}")
    if "/" not in name and (near := near_short_name(name, ("hf", "st"))):
        raise ModelError(f"model {spec}: no directory of that name here; did you mean {near}?")
    return _from_hub(spec, name, weights)


def lasting_spec(spec: str) -> str:
    """Return a spec that is independent of the working directory."""
    if name := _embedded_name(spec):
        return f"hf:{name}"
    path = Path(spec.removeprefix("hf:")).expanduser()
    return str(path.resolve()) if path.is_dir() else spec


def is_hub_id(spec: str) -> bool:
    """Return True if a spec, without a revision, means a model of the hub."""
    name = spec.removeprefix("hf:")
    return bool(_HUB_ID.fullmatch(name)) and not _embedded_name(spec) and not Path(name).exists()


def is_adapter(path: Path) -> bool:
    """Return True if a model directory holds only an adapter."""
    return (path / "adapter_config.json").is_file()


def _embedded_name(spec: str) -> str | None:
    """Return the name of the embedded model that a spec means; None for others.

    A directory of the name is meant by PATH if it holds a model.
    """
    name = spec.removeprefix("hf:")
    return name if name in _EMBEDDED and (spec != name or not _model_in(Path(name))) else None


def _inside(path: Path) -> Path:
    """Return the directory of the model: `path`, or best/ or last/ of a run."""
    if folder := _model_in(path):
        return folder
    raise ModelError(
        f"model {path}: expected config.json or adapter_config.json in it, or in its best/ or "
        f"last/, found {', '.join(sorted(os.listdir(path))[:5]) or 'an empty directory'}"
    )


def _model_in(path: Path) -> Path | None:
    folders = (path, path / "best", path / "last")
    return next(
        (one for one in folders if (one / "config.json").is_file() or is_adapter(one)), None
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
                ignore_patterns=_NOT_FETCHED,
            )
        )
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise ModelError(
            f"model {spec}: no directory of that name here, not in the hub cache, and the hub "
            f"could not be asked or does not have it. Give a path, "
            "check the name, log in with `hf auth login`, or fetch it where there is a network: "
            f"hf download {repository}. hf:prism-tiny, a small reranker, needs no hub"
        ) from error


def _kind(path: Path) -> str:
    return "a file" if path.is_file() else "nothing there"
