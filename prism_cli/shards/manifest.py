"""What made an output: written beside it as OUT.manifest.json, and the guard of its resume."""

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson

from prism_cli import __version__
from prism_cli.errors import ChangedInputError
from prism_cli.shards.writer import whole_file

SCHEMA = 1


@dataclass(frozen=True)
class InputRecord:
    """One input or dependency: path as given, size, SHA-256 as hex."""

    path: str
    bytes: int
    sha256: str


@dataclass
class Manifest:
    """The papers of one output.

    Attributes:
        counts: rows, done, dropped (by reason), rejected, pending, written, blank.
        usage: asked, input_tokens, output_tokens, usd: over all attempts, killed ones too;
            from_ledger, shared: of the last.
        seconds: over all attempts that were not killed.
        figures: what the stage itself has to say.
        batch_plan: what decides which rows a model sees together.
        fresh_since: with --fresh, the ledger's sequence number when the first attempt began;
            replies from before are not used. (Earlier versions: ms since the epoch, which is the
            sequence number of their replies.)
        finished: every row ended for good, and the output is what this says.
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
    finished: bool = False
    versions: dict[str, str] = field(
        default_factory=lambda: {"prism": __version__, "python": platform.python_version()}
    )
    schema: int = SCHEMA

    @property
    def config_fingerprint(self) -> str:
        """SHA-256 over stage and config, as hex."""
        canonical = orjson.dumps([self.stage, self.config], option=orjson.OPT_SORT_KEYS)
        return sha256(canonical).hexdigest()

    def write(self, path: Path) -> None:
        """Publish as JSON."""
        content = asdict(self) | {"config_fingerprint": self.config_fingerprint}
        with whole_file(path) as file:
            file.write(
                orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
            )


def read_manifest(path: Path) -> dict[str, Any] | None:
    """The JSON object at `path`; None where there is none, or none that this version wrote."""
    try:
        content = orjson.loads(path.read_bytes())
    except (FileNotFoundError, orjson.JSONDecodeError):
        return None
    whole = isinstance(content, dict) and content.get("schema") == SCHEMA
    return content if whole and content.keys() >= Manifest.__dataclass_fields__.keys() else None


def manifest_path(output: Path) -> Path:
    """OUT.manifest.json."""
    return output.with_name(output.name + ".manifest.json")


def is_finished(
    output: Path,
    previous: Mapping[str, Any] | None,
    now: Manifest,
    prefix_sha256: Callable[[str, int], str],
) -> bool:
    """Whether `output` exists, finished, made from these very bytes with this very config.

    Inputs that only grew, in bytes or in number, make it unfinished, not changed.

    Args:
        prefix_sha256: SHA-256, as hex, of the first so many bytes of an input of `now`.

    Raises:
        ChangedInputError: `output` exists, and other bytes, another config or nobody known made
            it.
    """
    if previous is None:
        raise ChangedInputError(
            f"{output}: exists, and no manifest says what made it; it was left as it is. "
            "Name another output with -o, or replace it with --overwrite"
        )
    differences = _differences(previous, now, prefix_sha256)
    if differences:
        raise ChangedInputError(
            f"{output}: made by another command; it was left as it is:\n"
            + "\n".join(f"  {line}" for line in differences)
            + "\nName another output with -o, or replace it with --overwrite "
            "(replies already in the ledger are used again)"
        )
    same = _contents(previous["inputs"]) == _contents([asdict(one) for one in now.inputs])
    return bool(same and previous["finished"])


def _contents(records: Sequence[Mapping[str, Any]]) -> list[str]:
    return [record["sha256"] for record in records]


def _differences(
    previous: Mapping[str, Any], now: Manifest, prefix_sha256: Callable[[str, int], str]
) -> list[str]:
    lines: list[str] = []
    if previous["stage"] != now.stage:
        lines.append(f"stage: was {previous['stage']}, is {now.stage}")
    before, after = _flat(previous["config"]), _flat(orjson.loads(orjson.dumps(now.config)))
    for key in sorted(before.keys() | after.keys()):
        if before.get(key) != after.get(key):
            lines.append(f"{key}: was {before.get(key)!r}, is {after.get(key)!r}")
    here = {one.path: one for one in now.inputs}
    moved = {one.sha256 for one in now.inputs}
    for old in previous["inputs"]:
        new = here.get(old["path"])
        if old["sha256"] in moved:
            continue
        if new is None:
            lines.append(f"{old['path']}: was an input, and is none now")
        elif new.bytes <= old["bytes"] or prefix_sha256(new.path, old["bytes"]) != old["sha256"]:
            lines.append(f"{new.path}: its bytes changed since (sha256 {new.sha256[:12]}…)")
    old_files = {item["path"]: item["sha256"] for item in previous["dependencies"]}
    for item in now.dependencies:
        if old_files.get(item.path) != item.sha256:
            lines.append(f"{item.path}: its bytes changed since")
    return lines


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, inner in value.items():
        flat |= _flat(inner, f"{prefix}.{key}" if prefix else str(key))
    return flat
