"""sentence-transformers models on disk: where they are, of which kind, and their fingerprint."""

import hashlib
import json
from pathlib import Path
from typing import Any

from prism_cli.domain.model_specs import near_short_name
from prism_cli.errors import ModelError, UsageError
from prism_cli.modeling.digests import cached_sha256
from prism_cli.modeling.embedded import minilm_path

JINA_V3, JINA_V3_NATIVE = "jinaai/jina-embeddings-v3", "jinaai/jina-embeddings-v3-hf"
"""Where its makers published it, with code, and where the same weights lie without."""
_JINA_V3_TYPE = "jina_embeddings_v3"

BI_ENCODER = "SentenceTransformer"
CROSS_ENCODER = "CrossEncoder"
_NOT_WEIGHTS = ("README.md", ".gitattributes")
_OTHER_BACKENDS = ("onnx", "openvino")


def st_path(spec: str) -> Path:
    """The directory of `st:minilm`, `st:PATH` or `st:HUB_ID[@REVISION]`, fetched where needed.

    Raises:
        UsageError: not such a spec.
        ModelError: no such directory, and no such model in the hub's cache or on the hub.
        MissingPackageError: st:minilm, and its package is not installed.
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
    """Whether the directory holds a model of transformers' own class for jina-embeddings-v3."""
    return _json_of(path / "config.json").get("model_type") == _JINA_V3_TYPE


def st_kind(spec: str, path: Path) -> str:
    """BI_ENCODER or CROSS_ENCODER.

    Raises:
        ModelError: it is neither.
    """
    config = _json_of(path / "config.json")
    said = _json_of(path / "config_sentence_transformers.json").get("model_type")
    if said in (BI_ENCODER, CROSS_ENCODER):
        return str(said)
    if said is None and ((path / "modules.json").is_file() or is_jina_v3(path)):
        return BI_ENCODER
    architectures = config.get("architectures") or []
    if said is None and any(
        str(one).endswith("ForSequenceClassification") for one in architectures
    ):
        return CROSS_ENCODER
    found = said or ", ".join(map(str, architectures)) or "neither"
    raise ModelError(
        f"{spec}: expected a sentence-transformers bi-encoder (modules.json) or a cross-encoder "
        f"(…ForSequenceClassification in config.json) in {path}, found {found}"
    )


def st_fingerprint(path: Path) -> str:
    """SHA-256 (hex) over names and bytes of all files that decide what the model computes."""
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")):
        inside = file.relative_to(path)
        hidden = any(part.startswith(".") for part in inside.parts)
        if hidden or inside.parts[0] in _OTHER_BACKENDS or file.name in _NOT_WEIGHTS:
            continue
        if file.is_file():
            digest.update(f"{inside.as_posix()} {cached_sha256(file)}\n".encode())
    return digest.hexdigest()


def _json_of(file: Path) -> dict[str, Any]:
    """The JSON object in `file`; empty where there is none.

    Raises:
        ModelError: the file holds something else.
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
    """The directory of REPOSITORY[@REVISION], fetched where it is not in the hub's cache.

    Raises:
        ModelError: it is not there, and cannot be fetched.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    repository, _, revision = name.partition("@")
    try:
        return Path(
            snapshot_download(
                repository,
                revision=revision or None,
                ignore_patterns=[*(f"{one}/*" for one in _OTHER_BACKENDS), "*.h5", "*.ot"],
            )
        )
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise ModelError(
            f"{spec}: no directory of that name here, not in the hub cache, and the hub could not "
            f"be asked or does not have it. Give a path, check the name, "
            f"or fetch it where there is a network: hf download {repository}"
        ) from error
