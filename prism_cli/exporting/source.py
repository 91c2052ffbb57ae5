"""The source of an export: the model, its base by name, and the run that trained it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prism_cli.modeling.digests import cached_sha256
from prism_cli.modeling.model_folder import ModelFolder, resolve_model
from prism_cli.modeling.model_path import lasting_spec
from prism_cli.shards.manifest import InputRecord, read_manifest

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_EMBEDDED = ("HuggingFaceTB/SmolLM2-135M-Instruct", "apache-2.0")
"""hf:smollm2 on the hub, and its licence there."""


@dataclass(frozen=True)
class Source:
    """A model before it is exported.

    Attributes:
        model: its folder; of a run, best/ or last/.
        base_name: the name of the base, only the last part of a path; None if it is unknown.
        hub_id: the base's id on the hub, if its name is one.
        run: the run directory.
        manifest: of the run.
    """

    model: ModelFolder
    base_name: str | None
    hub_id: str | None
    licence: str | None
    run: Path | None
    manifest: dict[str, Any] | None

    @property
    def name(self) -> str:
        """The name for headings: of the run, the repository or the folder."""
        if self.run is not None:
            return self.run.resolve().name
        name = self.model.spec.removeprefix("hf:").rstrip("/").rpartition("/")[2]
        return name or self.model.path.name

    def collapsed(self) -> str | None:
        """Return the run's warning that these weights may have collapsed; None if there is none."""
        figures = self.manifest["figures"] if self.manifest else {}
        own = {"last": "dev", "best": "best"}.get(self.model.path.name, "")
        warning = (figures.get(own) or {}).get("collapsed")
        return f"dev rows: {warning}" if warning else None

    def files(self) -> Iterator[InputRecord]:
        """Yield config and weights as base/… and adapter/…, with their hashes."""
        for role, folder in (("base", self.model.base.path), ("adapter", self.model.adapter)):
            for path in sorted(folder.iterdir()) if folder else ():
                has_weights = path.suffix == ".safetensors"
                if has_weights or path.name in ("config.json", "adapter_config.json"):
                    yield InputRecord(
                        f"{role}/{path.name}", path.stat().st_size, cached_sha256(path)
                    )


def find_source(spec: str) -> Source:
    """Resolve `spec` without loading the model; missing files are fetched.

    Raises:
        ModelError: no such model.
    """
    model = resolve_model(spec)
    run = _run_of(model.path)
    manifest = read_manifest(run / "manifest.json") if run else None
    recorded = model.base_spec or (manifest and manifest["figures"].get("base_spec"))
    typed = manifest["config"].get("model") if manifest and not recorded else None
    base = recorded or typed
    hub_id, licence = _on_the_hub(base or spec, model.base.path, typed=typed is not None)
    return Source(model, without_directory(base) if base else None, hub_id, licence, run, manifest)


def _run_of(path: Path) -> Path | None:
    for folder in (path, path.parent, path.resolve().parent):
        manifest = read_manifest(folder / "manifest.json")
        if manifest is not None and manifest["stage"] == "train":
            return folder
    return None


def _on_the_hub(base: str, folder: Path, *, typed: bool) -> tuple[str | None, str | None]:
    """Return hub id and licence of a base, if its name is an id and its card states a licence.

    Args:
        typed: as typed for a training by an earlier version, in an unknown directory: unless the
            hub's cache has it, it may be a relative path.
    """
    base = base if typed else lasting_spec(base)
    if base == "hf:smollm2":
        return _EMBEDDED
    name, _, revision = base.removeprefix("hf:").partition("@")
    is_id = _HUB_ID.fullmatch(name) and not Path(name).is_dir()
    known = is_id and (not typed or _in_hub_cache(name, revision))
    return name if known else None, _licence(folder / "README.md")


def _in_hub_cache(name: str, revision: str) -> bool:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(name, "config.json", revision=revision or None)
    except HFValidationError:
        return False
    return isinstance(found, str)


def _licence(card: Path) -> str | None:
    """Return the licence in the front matter of a model card."""
    from huggingface_hub.repocard import metadata_load
    from yaml import YAMLError

    try:
        metadata = metadata_load(card) if card.is_file() else None
    except (OSError, ValueError, YAMLError):
        return None
    licence = metadata.get("license") if isinstance(metadata, dict) else None
    return licence if isinstance(licence, str) else None


def without_directory(base: str) -> str:
    """Return the name of a base, only the last part of a path: a card leaves this machine."""
    name = base.removeprefix("hf:")
    is_path = "/" in name and not _HUB_ID.fullmatch(name.partition("@")[0])
    return Path(name).name if is_path or Path(name).is_dir() else base
