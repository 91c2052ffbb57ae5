"""Compare an output and its manifest with the run that is about to write it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from prism_cli.errors import ChangedInputError
from prism_cli.shards.file_digest import digest_file
from prism_cli.shards.manifest import Manifest
from prism_cli.shards.writer import OutputRecord


def is_finished(
    output: Path,
    previous: Mapping[str, Any] | None,
    now: Manifest,
    prefix_sha256: Callable[[str, int], str] | None = None,
) -> bool:
    """Return whether `output`, which exists, is finished and made from the same bytes and config.

    Inputs that only grew, in bytes or in number, make it unfinished, not changed. So does any
    change if every row was rejected, as such an output is empty. An edit is detected by size and
    time of last change; if only the time differs, by the digest.

    Args:
        prefix_sha256: returns the SHA-256, as hex, of the first bytes of an input of `now`; None if
            inputs that grew count as changed.

    Raises:
        ChangedInputError: `output` was made from other bytes, with another config or by an unknown
            command, or it was edited since.
    """
    if previous is None:
        raise ChangedInputError(
            f"{output}: exists, and no manifest says what made it; it was left as it is. "
            "Name another output with -o, or replace it with --overwrite",
            reasons=["no manifest says what made it"],
        )
    recorded = bool(_records(output, previous))
    foreign = not recorded and output.name in previous["absent"]
    if output.is_file() and matching_record(output, previous) is None and (recorded or foreign):
        what = "was edited, or replaced by another file, after prism wrote it"
        what = "was created by another program, while a run worked or since" if foreign else what
        raise ChangedInputError(
            f"{output}: {what}; it was left as it is. Name another output with -o, or replace it "
            "with --overwrite",
            reasons=[what],
        )
    differences = _differences(previous, now, prefix_sha256)
    if differences and _all_rejected(previous):
        return False  # a failed command does not block the corrected one
    if differences:
        raise ChangedInputError(
            f"{output}: made from other input or with other settings; it was left as it is:\n"
            + "\n".join(f"  {line}" for line in differences)
            + "\nName another output with -o, or replace it with --overwrite"
            + " (replies already in the ledger are used again)" * now.uses_ledger,
            reasons=differences,
            redo=True,
            settings=bool(changed_settings(previous, now)),
        )
    same = _contents(previous["inputs"]) == [file.sha256 for file in now.inputs]
    return bool(same and previous["finished"])


def _all_rejected(previous: Mapping[str, Any]) -> bool:
    counts = previous["counts"]
    return bool(counts.get("rejected")) and counts["rejected"] == counts["rows"]


def matching_record(output: Path, previous: Mapping[str, Any]) -> OutputRecord | None:
    """Return the record in `previous` that matches `output` as it is now; None if none does."""
    now = output.stat()
    sized = [record for record in _records(output, previous) if record.bytes == now.st_size]
    for record in sized:
        if record.changed_ns == now.st_mtime_ns:
            return record
    digest = digest_file(output).sha256 if sized else ""
    return next((record for record in sized if record.sha256 == digest), None)


def unread_record(output: Path) -> OutputRecord:
    """Return size and time of last change of `output`, without reading it."""
    now = output.stat()
    return OutputRecord(now.st_size, "", now.st_mtime_ns)


def _records(output: Path, previous: Mapping[str, Any]) -> list[OutputRecord]:
    both = (previous[name].get(output.name) for name in ("outputs", "replaces"))
    return [OutputRecord(**record) for record in both if record]


def _contents(records: Sequence[Mapping[str, Any]]) -> list[str]:
    return [record["sha256"] for record in records]


def changed_settings(previous: Mapping[str, Any], now: Manifest) -> list[str]:
    """Return a line for each setting that differs, stage included.

    A setting that an earlier version lacked counts as not set.
    """
    if previous["stage"] != now.stage:
        return [f"stage: was {previous['stage']}, is {now.stage}"]
    lines: list[str] = []
    if now.config == previous["config"]:
        return lines
    config = orjson.loads(orjson.dumps(now.config))
    before, after = _flat(previous["config"]), _flat(config)
    for key in sorted(before.keys() | after.keys()):
        if before.get(key) != after.get(key):
            was, now_is = (
                "not set" if value is None else repr(value)
                for value in (before.get(key), after.get(key))
            )
            lines.append(f"{key}: was {was}, is {now_is}")
    return lines


def _differences(
    previous: Mapping[str, Any], now: Manifest, prefix_sha256: Callable[[str, int], str] | None
) -> list[str]:
    lines = changed_settings(previous, now)
    current = {file.path: file for file in now.inputs}
    digests = {file.sha256 for file in now.inputs}
    for old in previous["inputs"]:
        new = current.get(old["path"])
        if old["sha256"] in digests:
            continue
        if new is None:
            lines.append(f"{old['path']}: was an input, and is none now")
        elif not (new.bytes or old["bytes"]):  # no file: its fingerprint covers settings, too
            lines += [] if lines else [f"{new.path}: its rows changed since"]
        elif (
            prefix_sha256 is None
            or new.bytes <= old["bytes"]
            or prefix_sha256(new.path, old["bytes"]) != old["sha256"]
        ):
            lines.append(f"{new.path}: its bytes changed since (sha256 {new.sha256[:12]}…)")
    old_files = {item["path"]: item["sha256"] for item in previous["dependencies"]}
    for item in now.dependencies:
        if item.path not in old_files:
            lines.append(f"{item.path}: was not read before, and is now")
        elif old_files[item.path] != item.sha256:
            lines.append(f"{item.path}: its bytes changed since")
    return lines or ([] if prefix_sha256 else _other_files(previous, now))


def _other_files(previous: Mapping[str, Any], now: Manifest) -> list[str]:
    """Return a line for each list of files that were added, removed or reordered."""
    lines: list[str] = []
    for what, before, after in (
        ("inputs", previous["inputs"], now.inputs),
        ("dependencies", previous["dependencies"], now.dependencies),
    ):
        if _contents(before) != [item.sha256 for item in after]:
            was = ", ".join(item["path"] for item in before) or "none"
            is_now = ", ".join(item.path for item in after) or "none"
            lines.append(f"{what}: was {was}, is {is_now}")
    return lines


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, inner in value.items():
        flat |= _flat(inner, f"{prefix}.{key}" if prefix else str(key))
    return flat
