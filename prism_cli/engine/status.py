"""State of runs, read from the files they leave: lock, manifest, heartbeat, rejects, ledger.

Nothing is written and no lock is taken, so a running process is not disturbed.
"""

import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson

from prism_cli.engine.batch.store import STORE_NAME, open_batches
from prism_cli.engine.heartbeat import STALE_SECONDS, is_alive, read_heartbeat, worked_seconds
from prism_cli.engine.input_changes import input_changes
from prism_cli.engine.output_files import side_path
from prism_cli.errors import MissingDataError
from prism_cli.shards.ledger_file import LedgerFile
from prism_cli.shards.local_ledger import local_ledger_path
from prism_cli.shards.lock import lock_holder, lock_path
from prism_cli.shards.manifest import MANIFEST_SUFFIX, manifest_path, read_manifest
from prism_cli.shards.run_record import output_id
from prism_cli.shards.state import LEDGER_NAME, ledgers_near, states_near
from prism_cli.shards.timestamps import now_ms

RUN_MANIFEST, RUN_LOG = "manifest.json", "log.jsonl"
"""Files that make a directory a training run."""
_REASONS = 5
_DISTINCT_REASONS = 10_000
_TAIL_BYTES = 64 << 10


@dataclass
class RunStatus:
    """Status of one output or one training run.

    Attributes:
        state: "running", "stopped", "finished" or "never started" (only a lock or folder exists).
        counts: rows by outcome: done, dropped (by reason), rejected, pending, written;
            empty for commands that are not row stages.
        total: estimate of the rows expected; None if unknown.
        answered: rows in progress whose current questions are all answered.
        questions: for rows that ask several questions each: answered, total (None if unknown),
            per_second, and the nouns of both.
        seconds: time worked in all attempts; for a killed one, up to its last heartbeat.
        usage: over all attempts: asked, input_tokens, output_tokens, usd, lost_calls.
        inputs_changed: a line for each input of a finished output that has changed since.
        last_record_ms: time of the last heartbeat, in ms since the epoch.
        training: the last line of a training run's log.
    """

    path: str
    state: str
    stage: str = ""
    label: str = ""
    process: int = 0
    attempts: int = 0
    counts: dict[str, Any] = field(default_factory=dict)
    through: int = 0
    total: int | None = None
    answered: int = 0
    questions: dict[str, Any] = field(default_factory=dict)
    reject_reasons: list[dict[str, Any]] = field(default_factory=list)
    pending_reasons: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    usage: dict[str, float] = field(default_factory=dict)
    rows_per_second: float = 0.0
    seconds_left: float | None = None
    last_record_ms: int | None = None
    inputs_changed: list[str] = field(default_factory=list)
    training: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the object of `--json`."""
        return asdict(self)


def read_statuses(paths: Sequence[Path]) -> list[RunStatus]:
    """Return the status of each output at `paths`, once: outputs, manifests, folders of outputs,
    training runs and folders of evaluations.

    Raises:
        MissingDataError: a path that no run of prism has written.
    """
    record_paths: dict[Path, Path] = {}
    for path in paths:
        for record_path in _record_paths(path):
            record_paths.setdefault(record_path.resolve(), record_path)
    return [_read_status(record_path) for record_path in record_paths.values()]


def find_open_batches(statuses: Sequence[RunStatus]) -> list[dict[str, Any]]:
    """Return the `open_batches` of all batch stores that the runs of these outputs may use."""
    folders = {Path(status.path).parent for status in statuses}
    ledgers = dict.fromkeys(path for folder in sorted(folders) for path in ledgers_near(folder))
    return [batch for path in ledgers for batch in open_batches(path.with_name(STORE_NAME))]


def _record_paths(path: Path) -> list[Path]:
    """Return the paths from whose names those of manifest, lock and heartbeat are made."""
    record_paths = _record_paths_at(path)
    if not record_paths:
        hint = f"; `prism status {path.parent}` shows all outputs there" if _near(path) else ""
        raise MissingDataError(
            f"{path}: no output of a run that is known here; expected an output (also one in the "
            f"making), its manifest, a folder of outputs, a training run or an evaluation{hint}"
        )
    return record_paths


def _record_paths_at(path: Path) -> list[Path]:
    if path.name in ("", ".."):
        path = path.resolve()
    if path.name == RUN_MANIFEST:
        return [path.parent]
    if path.name.endswith(MANIFEST_SUFFIX):
        path = path.with_name(path.name.removesuffix(MANIFEST_SUFFIX))
    if _has_record(path):
        return [path]
    return _record_paths_in(path) if path.is_dir() else []


def _record_paths_in(folder: Path) -> list[Path]:
    names: set[str] = set()
    for file in folder.iterdir():
        name = file.name
        if name.endswith(MANIFEST_SUFFIX):
            name = name.removesuffix(MANIFEST_SUFFIX)
        elif name.startswith(".") and name.endswith(".lock"):
            name = name.removeprefix(".").removesuffix(".lock")
        elif not file.is_dir():
            continue
        if name and name not in names and _has_record(folder / name):
            names.add(name)
    return [folder / name for name in sorted(names)]


def _manifest_of(record_path: Path) -> Path:
    run = record_path / RUN_MANIFEST
    return run if run.is_file() else manifest_path(record_path)


def _has_record(record_path: Path) -> bool:
    """Return whether there is a manifest, or a lock and no output yet. Other programs lock existing
    folders too."""
    begun = lock_path(record_path).is_file() and not record_path.exists()
    return begun or read_manifest(_manifest_of(record_path)) is not None


def _near(path: Path) -> bool:
    return path.parent.is_dir() and not path.is_dir() and bool(_record_paths_in(path.parent))


def _read_status(record_path: Path) -> RunStatus:
    heartbeat = read_heartbeat(record_path) or {}
    manifest_file = _manifest_of(record_path)
    manifest = read_manifest(manifest_file) or {}
    process = _process(record_path, heartbeat)
    if process:
        state = "running"
    elif not manifest:
        state = "never started"
    else:
        state = "finished" if manifest["finished"] else "stopped"
    if state == "finished" or (process and heartbeat and heartbeat["pid"] != process):
        heartbeat = {}  # of an earlier attempt
    counts = manifest.get("counts") or {}
    status = RunStatus(
        str(record_path),
        state,
        manifest.get("stage") or heartbeat.get("stage") or "",
        heartbeat.get("label", ""),
        process,
        manifest.get("attempts", 0),
        heartbeat.get("counts") or ({} if process else counts),
        through=heartbeat.get("through", 0 if process else counts.get("rows", 0)),
        total=heartbeat.get("total"),
        pending_reasons=heartbeat.get("pending_reasons", {}),
        seconds=manifest.get("seconds", 0.0),
        usage=_usage(record_path, manifest, heartbeat),
        last_record_ms=heartbeat.get("updated_ms"),
    )
    if heartbeat.get("questions"):
        status.questions = _questions(heartbeat)
    if heartbeat and (process or not heartbeat["ended"]):  # no manifest was written after it
        status.seconds = round(status.seconds + worked_seconds(heartbeat), 3)
    if process:
        status.answered = heartbeat.get("answered", 0)
        status.rows_per_second = heartbeat.get("rows_per_second", 0.0)
        if status.total and status.rows_per_second:
            left = max(0.0, status.total - heartbeat["moved"])
            status.seconds_left = round(left / status.rows_per_second, 1)
    else:
        status.reject_reasons = _reject_reasons(side_path(record_path, "rejects"))
    if state == "finished":
        status.inputs_changed = input_changes(manifest, manifest_file)
    if manifest_file.name == RUN_MANIFEST:
        status.training = _last_line(record_path / RUN_LOG)
    return status


def _questions(heartbeat: Mapping[str, Any]) -> dict[str, Any]:
    counts, new = heartbeat["questions"], heartbeat["moved"] - heartbeat.get("found", 0.0)
    per_row = (counts["answered"] - counts["found"]) / new if new > 0 else 0.0
    return {
        "answered": counts["answered"],
        "total": counts["total"],
        "per_second": round(per_row * heartbeat.get("rows_per_second", 0.0), 3),
        "nouns": heartbeat.get("nouns", ["rows", "questions"]),
    }


def _process(record_path: Path, heartbeat: Mapping[str, Any]) -> int:
    """Return the id of the process that works on the output; 0 if none does. If the kernel does not
    report lock holders, or the run is on another machine, a recent heartbeat counts instead."""
    holder = lock_holder(record_path)
    if holder or not heartbeat or heartbeat["ended"]:
        return holder
    if abs(now_ms() - heartbeat["updated_ms"]) > STALE_SECONDS * 1000:
        return 0
    process = int(heartbeat["pid"])
    if heartbeat["host"] == platform.node() and not is_alive(process):
        return 0
    return process


def _usage(
    record_path: Path, manifest: Mapping[str, Any], heartbeat: Mapping[str, Any]
) -> dict[str, float]:
    """Return the cost of the output over all attempts, from the ledger, which includes killed
    ones."""
    usage: dict[str, float] = dict(manifest.get("usage") or {})
    if not manifest or (manifest["finished"] and usage):
        return usage
    output = output_id(record_path, manifest["config_fingerprint"])
    ledger = Path(heartbeat["ledger"]) if "ledger" in heartbeat else None
    folders = [ledger.parent] if ledger else states_near(record_path)
    spent = _spent([folder / LEDGER_NAME for folder in folders], output)
    local = _spent([local_ledger_path(folder, record_path) for folder in folders], output)
    if not spent and not local:
        return usage
    both = {name: spent.get(name, 0) + local.get(name, 0) for name in {**spent, **local}}
    return usage | both | {"local": local.get("asked", 0)}


def _spent(ledgers: Sequence[Path], output: str) -> dict[str, float]:
    """Return the cost of `output` in the first of the ledgers that has it; {} if none does."""
    for path in filter(Path.is_file, ledgers):
        with suppress(MissingDataError):  # a ledger that is being created, or another kind of file
            for row in LedgerFile(path).spent(output):
                return {name: value for name, value in row.items() if name != "output"}
    return {}


def _reject_reasons(path: Path) -> list[dict[str, Any]]:
    """Return the most frequent reasons with their fields."""
    reasons: Counter[tuple[str, str]] = Counter()
    try:
        with path.open("rb") as file:
            for raw in file:
                line = orjson.loads(raw)
                key = (line["field"], line["reason"])
                if key in reasons or len(reasons) < _DISTINCT_REASONS:
                    reasons[key] += 1
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
        pass  # no file, or not written by prism: report what was counted
    return [
        {"field": field, "reason": reason, "count": count}
        for (field, reason), count in reasons.most_common(_REASONS)
    ]


def _last_line(path: Path) -> dict[str, Any]:
    """Return the last complete line of a log; {} if there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            lines = file.read().splitlines()
    except OSError:
        return {}
    for line in reversed(lines):
        try:
            content = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue  # being written now, or cut short by a kill
        return content if isinstance(content, dict) else {}
    return {}


def sum_statuses(statuses: Sequence[RunStatus]) -> dict[str, Any]:
    """Return the sums over several outputs."""
    counts: Counter[str] = Counter()
    usage: Counter[str] = Counter()
    for status in statuses:
        for name in ("rows", "done", "rejected", "pending", "written"):
            counts[name] += status.counts.get(name, 0)
        counts["dropped"] += sum(status.counts.get("dropped", {}).values())
        usage.update(status.usage)
    return {
        "outputs": len(statuses),
        "states": dict(Counter(status.state for status in statuses)),
        "through": sum(status.through for status in statuses),
        "counts": dict(counts),
        "usage": dict(usage),
        "seconds": round(sum(status.seconds for status in statuses), 3),
    }
