"""sentence-transformers models on disk: location, kind and fingerprint."""

import hashlib
import json
from pathlib import Path
from typing import Any

from prism_cli.domain.model_specs import near_short_name
from prism_cli.errors import ModelError, UsageError
from prism_cli.modeling.digests import cached_sha256
from prism_cli.modeling.embedded import minilm_path

JINA_V3, JINA_V3_NATIVE = "jinaai/jina-embeddings-v3", "jinaai/jina-embeddings-v3-hf"
"""The original repository, whose model needs code of its own, and the one with the same weights for
transformers' own class."""
_JINA_V3_TYPE = "jina_embeddings_v3"

BI_ENCODER = "SentenceTransformer"
CROSS_ENCODER = "CrossEncoder"
_NOT_WEIGHTS = ("README.md", ".gitattributes")
_OTHER_BACKENDS = ("onnx", "openvino")


def st_path(spec: str) -> Path:
    """Return the directory of `st:minilm`, `st:PATH` or `st:HUB_ID[@REVISION]`; download it if
    needed.

    Raises:
        UsageError: `spec` is not of this form.
        ModelError: there is no such directory, nor such a model in the hub's cache or on the hub.
        MissingPackageError: `spec` is st:minilm, whose package is not installed.
    """
    prefix, colon, name = spec.partition(":")
    if prefix != "st" or not colon or not name:
        raise UsageError(f"{spec}: expected st:minilm, st:PATH or st:HUB_ID")
    if name == "minilm":
        return minilm_path()
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    if path.is_file() or path.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:
        raise ModelError(f"{spec}: no such directory")
    if "/" not in name and (near := near_short_name(name, ("hf", "st"))):
        raise ModelError(f"{spec}: no directory of that name here; did you mean {near}?")
    return from_hub(spec, JINA_V3_NATIVE if name == JINA_V3 else name)


def is_jina_v3(path: Path) -> bool:
    """Return True if the directory holds jina-embeddings-v3 for transformers' own class."""
    return _read_json(path / "config.json").get("model_type") == _JINA_V3_TYPE


def st_kind(spec: str, path: Path) -> str:
    """Return BI_ENCODER or CROSS_ENCODER.

    Raises:
        ModelError: the model is neither.
    """
    config = _read_json(path / "config.json")
    kind = _read_json(path / "config_sentence_transformers.json").get("model_type")
    if kind in (BI_ENCODER, CROSS_ENCODER):
        return str(kind)
    if kind is None and ((path / "modules.json").is_file() or is_jina_v3(path)):
        return BI_ENCODER
    architectures = [str(name) for name in config.get("architectures") or []]
    if kind is None and any(name.endswith("ForSequenceClassification") for name in architectures):
        return CROSS_ENCODER
    found = kind or ", ".join(architectures) or "neither"
    raise ModelError(
        f"{spec}: expected a sentence-transformers bi-encoder (modules.json) or a cross-encoder "
        f"(…ForSequenceClassification in config.json) in {path}, found {found}"
    )


def st_fingerprint(path: Path) -> str:
    """Return the SHA-256 (hex) over names and bytes of all files that affect the model's output."""
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")):
        relative = file.relative_to(path)
        hidden = any(part.startswith(".") for part in relative.parts)
        if hidden or relative.parts[0] in _OTHER_BACKENDS or file.name in _NOT_WEIGHTS:
            continue
        if file.is_file():
            digest.update(f"{relative.as_posix()} {cached_sha256(file)}\n".encode())
    return digest.hexdigest()


def _read_json(file: Path) -> dict[str, Any]:
    """Return the JSON object in `file`, or {} if the file does not exist.

    Raises:
        ModelError: the file holds anything else.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ModelError(f"{file}: expected a JSON object: {error}") from error
    if not isinstance(content, dict):
        raise ModelError(f"{file}: expected a JSON object, found {type(content).__name__}")
    return content


def from_hub(spec: str, name: str) -> Path:
    """Return the directory of REPOSITORY[@REVISION]; download it if it is not in the hub's cache.

    Raises:
        ModelError: it is not cached and cannot be downloaded.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    repository, _, revision = name.partition("@")
    try:
        return Path(
            snapshot_download(
                repository,
                revision=revision or None,
                ignore_patterns=[*(f"{folder}/*" for folder in _OTHER_BACKENDS), "*.h5", "*.ot"],
            )
        )
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise ModelError(
            f"{spec}: no directory of that name here, not in the hub cache, and the hub is "
            f"unreachable or does not have it. Give a path, check the name, "
            f"or download it on a machine with network access: hf download {repository}"
        ) from error
