"""Manifest of an output: its settings, inputs and results, in OUT.manifest.json beside it."""

import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson

from prism_cli.errors import ChangedInputError, LockedError
from prism_cli.shards.file_creation import new_attempt
from prism_cli.shards.file_guard import check_folder
from prism_cli.shards.writer import OutputRecord, whole_file
from prism_cli.version import __version__

SCHEMA = 1
MANIFEST_SUFFIX = ".manifest.json"
_WITHOUT_LEDGER = {"convert", "export", "labels", "sample", "shard", "split", "train"}
"""Stages that request no replies."""


@dataclass(frozen=True)
class InputRecord:
    """One input or dependency.

    Attributes:
        path: as given.
        sha256: as hex.
        version: of an object in a store, its etag.
        changed_ns: time of last change, in nanoseconds since the epoch, at which size and time
            identify the content; 0 where they do not (see `FileDigest.settled_ns`), for what is no
            file, and in earlier versions.
        inode_changed_ns: as in `FileDigest`, for `changed_ns`; 0 without it.
    """

    path: str
    bytes: int
    sha256: str
    version: str = ""
    changed_ns: int = 0
    inode_changed_ns: int = 0


@dataclass
class Manifest:
    """Record of how one output was made.

    Attributes:
        counts: rows, done, dropped (by reason), rejected, pending, written, blank.
        usage: asked, input_tokens, output_tokens, usd: over all attempts, killed ones too;
            from_ledger, shared: of the last attempt.
        seconds: over all attempts that were not killed.
        figures: results of the stage.
        batch_plan: settings that decide which rows a model sees together.
        fresh_since: with --fresh, the ledger's sequence number when the first attempt began;
            earlier replies are not used. (Earlier versions: milliseconds since the epoch, which is
            the sequence number of their replies.)
        refused_since: with --retry-final, likewise; earlier final refusals are not used.
        overwritten_by: mark of the run over several outputs that made this one anew.
        finished: every row is done, and the output is the one recorded here.
        lost: attempts that were killed, since one ended in another way.
        attempt: name of the last attempt that wrote this; "" in earlier versions.
        outputs: files that this attempt publishes, by name; {} if there are none yet.
        replaces: files that existed at their paths before, by name.
        absent: names of outputs that did not exist before.
    """

    stage: str
    config: dict[str, Any]
    inputs: list[InputRecord]
    dependencies: list[InputRecord] = field(default_factory=list)
    counts: dict[str, Any] = field(default_factory=dict)
    usage: dict[str, float] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)
    batch_plan: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    attempts: int = 1
    fresh_since: int | None = None
    refused_since: int | None = None
    overwritten_by: int | None = None
    finished: bool = False
    lost: int = 0
    attempt: str = field(default_factory=new_attempt)
    outputs: dict[str, OutputRecord] = field(default_factory=dict)
    replaces: dict[str, OutputRecord] = field(default_factory=dict)
    absent: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(
        default_factory=lambda: {"prism": __version__, "python": platform.python_version()}
    )
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        self._written = b""

    @property
    def config_fingerprint(self) -> str:
        """Return the SHA-256 of stage and config, as hex."""
        canonical = orjson.dumps([self.stage, self.config], option=orjson.OPT_SORT_KEYS)
        return sha256(canonical).hexdigest()

    @property
    def uses_ledger(self) -> bool:
        """True if runs of the stage may keep replies in a ledger."""
        return uses_ledger(self.stage)

    def check_own(self, path: Path) -> None:
        """Make sure that the manifest at `path` is the one that this attempt wrote.

        Raises:
            LockedError: another run has begun on the output although this one holds its lock: locks
                do not work on this file system.
            ChangedInputError: another program edited, replaced or removed it.
            StorageError: its folder was removed.
        """
        check_folder(path)
        content = path.read_bytes() if path.is_file() else b""
        if content == self._written:
            return
        current = read_manifest(path)
        kept = " The replies so far are kept." if self.uses_ledger else ""
        if current is None or current["attempt"] in ("", self.attempt):
            what = "edited or replaced" if content else "removed"
            raise ChangedInputError(
                f"{path}: was {what} while this run worked, so it is unknown who made the "
                f"output; this run stops without publishing anything.{kept} Run the same "
                "command again",
                reasons=[f"{path.name} was {what} while this run worked"],
            )
        raise LockedError(
            f"{path}: another run has begun on this output while this one worked, which the "
            f"lock did not prevent; this one stops without publishing anything.{kept} Run the "
            "same command again when the other has ended"
        )

    def write(self, path: Path) -> None:
        """Write the manifest as JSON."""
        content = asdict(self) | {"config_fingerprint": self.config_fingerprint}
        outputs = (*content["outputs"].values(), *content["replaces"].values())
        for record in (*content["inputs"], *content["dependencies"], *outputs):
            if not record["version"]:
                del record["version"]
        data = orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        with whole_file(path) as file:
            file.write(data)
        self._written = data


def uses_ledger(stage: str) -> bool:
    """Return whether runs of the stage may keep replies in a ledger."""
    return stage not in _WITHOUT_LEDGER


def read_manifest(path: Path) -> dict[str, Any] | None:
    """Return the manifest at `path`, also of an earlier version, as a JSON object; None if there is
    none or it is not valid."""
    try:
        with open(path, "rb", buffering=0) as file:
            return parse_manifest(file.readall())
    except OSError:
        return None


def parse_manifest(data: bytes) -> dict[str, Any] | None:
    """Return a manifest as `read_manifest`."""
    try:
        content = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        return None
    complete = content.keys() >= Manifest.__dataclass_fields__.keys() - _ADDED.keys()
    return _with_earlier_cuts({**_ADDED, **content}) if complete and _is_valid(content) else None


def _with_earlier_cuts(content: dict[str, Any]) -> dict[str, Any]:
    """Return a manifest with `--long-documents cut` where an earlier version, which had no other
    way, cut documents to fit the model."""
    config, figures = content["config"], content["figures"]
    says = "long_documents" in config or "long_documents" in figures
    if content["stage"] != "rerank" or says or not figures.get("truncated"):
        return content
    return {**content, "config": {**config, "long_documents": "cut"}}


_ADDED: Mapping[str, Any] = {
    "refused_since": None, "overwritten_by": None, "lost": 0, "attempt": "", "outputs": {},
    "replaces": {}, "absent": [],
}  # fmt: skip
"""Fields that manifests of earlier versions lack, with their defaults."""
_KINDS: Mapping[str, type | tuple[type, ...]] = {
    "stage": str, "config": dict, "config_fingerprint": str, "inputs": list, "dependencies": list,
    "counts": dict, "usage": dict, "figures": dict, "batch_plan": dict, "seconds": (int, float),
    "attempts": int, "lost": int, "finished": bool, "attempt": str, "outputs": dict,
    "replaces": dict, "absent": list,
}  # fmt: skip


_OUTPUT_FIELDS = OutputRecord.__dataclass_fields__.keys()


def _is_valid(content: Mapping[str, Any]) -> bool:
    """Return whether the fields that others read have the types that `Manifest` writes."""
    return (
        all(isinstance(content[name], kind) for name, kind in _KINDS.items() if name in content)
        and "config_fingerprint" in content
        and isinstance(content.get("fresh_since"), int | None)
        and isinstance(content.get("refused_since"), int | None)
        and all(
            isinstance(file, dict)
            and isinstance(file.get("path"), str)
            and isinstance(file.get("bytes"), int)
            and isinstance(file.get("sha256"), str)
            and isinstance(file.get("changed_ns", 0), int)
            for file in (*content["inputs"], *content["dependencies"])
        )
        and all(
            isinstance(file, dict) and file.keys() | {"version"} == _OUTPUT_FIELDS
            for name in ("outputs", "replaces")
            for file in content.get(name, {}).values()
        )
    )


def manifest_path(output: Path) -> Path:
    """OUT.manifest.json."""
    return output.with_name(output.name + MANIFEST_SUFFIX)
