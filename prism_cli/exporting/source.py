"""What a model spec stands for: the folders, the base by name, and the run that trained it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prism_cli.modeling.digests import cached_sha256
from prism_cli.modeling.loading import base_and_adapter, base_of, model_fingerprint
from prism_cli.modeling.model_path import model_path
from prism_cli.shards.manifest import InputRecord, read_manifest

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_EMBEDDED = ("HuggingFaceTB/SmolLM2-135M-Instruct", "apache-2.0")
"""hf:smollm2 on the hub, and its licence there."""


@dataclass(frozen=True)
class Source:
    """A model before it is exported.

    Attributes:
        path: the model's own folder; of a run, its best/ or last/.
        base: the folder of the weights; `path` itself where there is no adapter.
        base_name: the base as it was named, a path by its last part alone; None where nobody
            says what the weights were made from.
        hub_id: the base on the hub, where it has that name.
        run: the run directory.
        manifest: of the run.
        fingerprint: as `LoadedModel.fingerprint`.
    """

    spec: str
    path: Path
    base: Path
    adapter: Path | None
    base_name: str | None
    hub_id: str | None
    licence: str | None
    run: Path | None
    manifest: dict[str, Any] | None
    fingerprint: str

    @property
    def name(self) -> str:
        """For headings: of the run, the repository or the folder."""
        if self.run is not None:
            return self.run.resolve().name
        return self.spec.removeprefix("hf:").rstrip("/").rpartition("/")[2] or self.path.name

    def collapsed(self) -> str | None:
        """Why these weights may have collapsed, by the run that trained them."""
        figures = self.manifest["figures"] if self.manifest else {}
        own = {"last": "dev", "best": "best"}.get(self.path.name, "")
        warning = (figures.get(own) or {}).get("collapsed")
        return f"dev rows: {warning}" if warning else None

    def files(self) -> Iterator[InputRecord]:
        """Config and weights, base/… and adapter/…, with their hashes."""
        for role, folder in (("base", self.base), ("adapter", self.adapter)):
            for path in sorted(folder.iterdir()) if folder else ():
                weighs = path.suffix == ".safetensors"
                if weighs or path.name in ("config.json", "adapter_config.json"):
                    yield InputRecord(
                        f"{role}/{path.name}", path.stat().st_size, cached_sha256(path)
                    )


def find_source(spec: str) -> Source:
    """What `spec` stands for; fetches what is not there, and loads nothing.

    Raises:
        ModelError: no such model.
    """
    path = model_path(spec)
    base, adapter = base_and_adapter(path)
    run = _run_of(spec)
    manifest = read_manifest(run / "manifest.json") if run else None
    named = base_of(path) if adapter else manifest and manifest["config"].get("model")
    hub_id, licence = _on_the_hub(named or spec, base)
    return Source(
        spec,
        path,
        base,
        adapter,
        _without_place(named) if named else None,
        hub_id,
        licence,
        run,
        manifest,
        model_fingerprint(spec),
    )


def _run_of(spec: str) -> Path | None:
    given = Path(spec.removeprefix("hf:")).expanduser()
    for folder in (given, given.resolve().parent):
        if folder.is_dir():
            manifest = read_manifest(folder / "manifest.json")
            if manifest is not None and manifest["stage"] == "train":
                return folder
    return None


def _on_the_hub(named: str, folder: Path) -> tuple[str | None, str | None]:
    """Hub id and licence of a base, where its name and its card say them."""
    if named == "hf:smollm2":
        return _EMBEDDED
    name = named.removeprefix("hf:").partition("@")[0]
    known = _HUB_ID.fullmatch(name) and not Path(name).expanduser().is_dir()
    return name if known else None, _licence(folder / "README.md")


def _licence(card: Path) -> str | None:
    """The licence in the front matter of a model card."""
    from huggingface_hub.repocard import metadata_load
    from yaml import YAMLError

    try:
        said = metadata_load(card) if card.is_file() else None
    except (OSError, ValueError, YAMLError):
        return None
    found = said.get("license") if isinstance(said, dict) else None
    return found if isinstance(found, str) else None


def _without_place(named: str) -> str:
    """A base by name; of a directory the last part, for a card leaves this machine."""
    name = named.removeprefix("hf:")
    return Path(name).name if Path(name).is_absolute() or Path(name).is_dir() else named
