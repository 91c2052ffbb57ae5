"""State of runs, read from the files they leave: lock, manifest, heartbeat, rejects, ledger, and
the board of a run over many shards.

Nothing is written and no lock is taken, so a running process is not disturbed.
"""

import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prism_cli.engine.batch.store import STORE_NAME, open_batches
from prism_cli.engine.heartbeat import is_alive, read_heartbeat, worked_seconds
from prism_cli.engine.input_changes import input_changes
from prism_cli.engine.lost_replies import killed_calls
from prism_cli.engine.output_files import side_path
from prism_cli.engine.output_folder import RUN_MANIFEST, OutputFolder
from prism_cli.engine.status_figures import last_line, questions, reject_reasons, usage
from prism_cli.errors import MissingDataError
from prism_cli.files.names import RealPaths
from prism_cli.shards.file_age import STALE_SECONDS
from prism_cli.shards.lock import lock_holder
from prism_cli.shards.manifest import MANIFEST_SUFFIX, manifest_path, read_manifest
from prism_cli.shards.state import ledgers_near
from prism_cli.shards.timestamps import now_ms
from prism_cli.wording import duration

RUN_LOG = "log.jsonl"
UNMOVED_SECONDS = 900.0
"""Time without a row after which a run counts as hung."""


@dataclass
class RunStatus:
    """Status of one output or one training run.

    Attributes:
        state: "running", "hung" (begun and not ended, without a heartbeat or without a row for too
            long), "pending" (it came to the end, and rows are pending), "stopped", "given up" (too
            many workers were lost on it), "refused" (left as it is by the run), "finished" or
            "never started" (no manifest).
        reason: why it is hung, given up or refused.
        host, worker: where it runs, or ran when it was last heard of.
        since_ms: when that attempt began, in ms since the epoch.
        lost: attempts that ended with the loss of their worker.
        counts: rows by outcome: done, dropped (by reason), rejected, pending, written;
            empty for commands that are not row stages.
        total: estimate of the rows expected; None if unknown.
        answered: rows in progress whose current questions are all answered.
        learning: where the stage first learns from some rows: those that have ended (through), and
            their number (total).
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
    reason: str = ""
    process: int = 0
    host: str = ""
    worker: str = ""
    since_ms: int | None = None
    lost: int = 0
    attempts: int = 0
    counts: dict[str, Any] = field(default_factory=dict)
    through: int = 0
    total: int | None = None
    answered: int = 0
    learning: dict[str, int] = field(default_factory=dict)
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
        return vars(self)


Found = tuple[OutputFolder, str]
"""Folder of an output, and the name from which those of manifest, lock and heartbeat are made."""


def find_outputs(paths: Sequence[Path]) -> list[Found]:
    """Return the outputs at `paths`, each once: outputs, manifests, folders of outputs, training
    runs and folders of evaluations.

    Raises:
        MissingDataError: a path that no run of prism has written.
    """
    real, seen = RealPaths(), set[str]()
    found: list[Found] = []
    if len(paths) == 1:
        return _outputs_at(paths[0])
    for path in paths:
        for folder, name in _outputs_at(path):
            place = real.of(folder.path / name)
            if place not in seen:
                seen.add(place)
                found.append((folder, name))
    return found


def read_statuses(found: Iterable[Found]) -> Iterator[RunStatus]:
    """Yield the status of each output."""
    for folder, name in found:
        if status := _read_status(folder, name):
            yield status


def find_open_batches(found: Iterable[Found]) -> list[dict[str, Any]]:
    """Return the `open_batches` of all batch stores that the runs of these outputs may use."""
    folders = {folder.path for folder, _ in found}
    ledgers = dict.fromkeys(path for folder in sorted(folders) for path in ledgers_near(folder))
    return [batch for path in ledgers for batch in open_batches(path.with_name(STORE_NAME))]


def _outputs_at(typed: Path) -> list[Found]:
    path = typed
    if path.name in ("", ".."):
        path = path.resolve()
    if path.name == RUN_MANIFEST:
        return [(OutputFolder(path.parent.parent), path.parent.name)]
    if path.name.endswith(MANIFEST_SUFFIX):
        path = path.with_name(path.name.removesuffix(MANIFEST_SUFFIX))
    parent = OutputFolder(path.parent)
    if path.name in parent.planned or _has_record(parent, path.name):
        return [(parent, path.name)]
    if path.is_dir() and (found := _outputs_in(OutputFolder(path))):
        return found
    near = not path.is_dir() and _outputs_in(parent)
    hint = f"; `prism status {path.parent}` shows all outputs there" if near else ""
    raise MissingDataError(
        f"{typed}: no output of a run that is known here; expected an output (also one in the "
        f"making), its manifest, a folder of outputs, a training run or an evaluation{hint}"
    )


def _outputs_in(folder: OutputFolder) -> list[Found]:
    """Return the outputs in a folder. That its manifests are valid is seen when they are read; a
    folder within is looked into here, since most are no training runs."""
    found = [
        (folder, name)
        for name in folder.outputs()
        if name not in folder.folders or _has_record(folder, name)
    ]
    known = any(name in folder.planned or _has_record(folder, name) for _, name in found)
    return found if known else []


def _has_record(folder: OutputFolder, name: str) -> bool:
    """Return whether a run of prism has begun on an output."""
    if folder.has_begun(name):
        return True
    path = folder.path / name
    return folder.has_manifest(name) and read_manifest(_manifest_of(path)) is not None


def _manifest_of(record_path: Path) -> Path:
    run = record_path / RUN_MANIFEST
    return run if run.is_file() else manifest_path(record_path)


def _read_status(folder: OutputFolder, name: str) -> RunStatus | None:
    """Return the status of an output; None if it has no valid manifest and no run has begun or
    planned it."""
    record_path = folder.path / name
    manifest_file, manifest = manifest_path(record_path), dict[str, Any]()
    if folder.has_manifest(name):
        if name in folder.folders:
            manifest_file = _manifest_of(record_path)
        manifest = read_manifest(manifest_file) or {}
    if not (manifest or folder.has_begun(name) or name in folder.planned):
        return None
    heartbeat = (read_heartbeat(record_path) or {}) if folder.has_heartbeat(name) else {}
    process = _process(folder, name, heartbeat)
    if (manifest.get("finished") and not process) or (
        process and heartbeat and heartbeat["pid"] != process
    ):
        heartbeat = {}  # of an earlier attempt
    state, reason = _state(folder, name, manifest, heartbeat, process)
    counts = manifest.get("counts") or {}
    worker, known = folder.workers.get(name, ("", {}))
    status = RunStatus(
        str(record_path),
        state,
        manifest.get("stage") or heartbeat.get("stage") or folder.board.get("stage", ""),
        heartbeat.get("label", ""),
        reason,
        process,
        heartbeat.get("host") or known.get("host") or (platform.node() if process else ""),
        worker,
        heartbeat.get("started_ms"),
        max(manifest.get("lost", 0), folder.board.get("attempts", {}).get(name, 0)),
        manifest.get("attempts", 0),
        heartbeat.get("counts") or ({} if process else counts),
        through=heartbeat.get("through", 0 if process else counts.get("rows", 0)),
        total=heartbeat.get("total"),
        pending_reasons=heartbeat.get("pending_reasons", {}),
        seconds=manifest.get("seconds", 0.0),
        usage=usage(record_path, manifest, heartbeat),
        last_record_ms=heartbeat.get("updated_ms"),
    )
    if heartbeat.get("questions"):
        status.questions = questions(heartbeat)
    if heartbeat and (process or not heartbeat["ended"]):  # no manifest was written after it
        status.seconds = round(status.seconds + worked_seconds(heartbeat), 3)
    if not process and (killed := killed_calls(record_path)):
        status.usage["lost_calls"] = status.usage.get("lost_calls", 0) + killed
    if state == "running":
        status.answered = heartbeat.get("answered", 0)
        status.learning = heartbeat.get("learning", {})
        status.rows_per_second = heartbeat.get("rows_per_second", 0.0)
        if status.total and status.rows_per_second and not status.learning:
            left = max(0.0, status.total - heartbeat["moved"])
            status.seconds_left = round(left / status.rows_per_second, 1)
    elif not process and f"{name}.rejects.jsonl" in folder.names:
        status.reject_reasons = reject_reasons(side_path(record_path, "rejects"))
    if state == "finished":
        status.inputs_changed = input_changes(manifest, manifest_file)
    if manifest_file.name == RUN_MANIFEST:
        status.training = last_line(record_path / RUN_LOG)
    return status


def _state(
    folder: OutputFolder,
    name: str,
    manifest: Mapping[str, Any],
    heartbeat: Mapping[str, Any],
    process: int,
) -> tuple[str, str]:
    """Return the state, and its reason where it needs one."""
    if reason := _hung(folder, name, heartbeat, process):
        return "hung", reason
    if process:
        return "running", ""
    if manifest.get("finished"):
        return "finished", ""
    for state, reasons in (("given up", "given_up"), ("refused", "refused")):
        if reason := folder.board.get(reasons, {}).get(name, ""):
            return state, reason
    if not manifest:
        return "never started", ""
    return "pending" if manifest["counts"].get("pending") else "stopped", ""


def _hung(folder: OutputFolder, name: str, heartbeat: Mapping[str, Any], process: int) -> str:
    """Return why an attempt that has not ended counts as hung; "" if it does not."""
    if not heartbeat or heartbeat["ended"]:
        return ""
    updated = heartbeat["updated_ms"]
    silent = abs(now_ms() - updated) / 1000
    unmoved = (updated - heartbeat.get("moved_ms", updated)) / 1000
    if process:
        if silent > STALE_SECONDS:
            return f"no sign of life for {duration(silent)}"
        return f"no row for {duration(unmoved)}" if unmoved > UNMOVED_SECONDS else ""
    here = heartbeat["host"] == platform.node()
    if here or (folder.driver_lives and name not in folder.workers):
        return ""  # that process has ended, or the shard was taken from it
    return f"no sign of life from {heartbeat['host']} for {duration(silent)}: hung, or gone"


def _process(folder: OutputFolder, name: str, heartbeat: Mapping[str, Any]) -> int:
    """Return the id of the process that works on the output; 0 if none does. If the kernel does not
    report lock holders, or the run is on another machine, a recent heartbeat counts instead, or the
    board of a cluster's run."""
    if name in folder.locked and (holder := lock_holder(folder.path / name)):
        return holder
    process = 0
    if heartbeat and not heartbeat["ended"]:
        recent = abs(now_ms() - heartbeat["updated_ms"]) <= STALE_SECONDS * 1000
        process = int(heartbeat["pid"]) if recent else 0
        if heartbeat["host"] == platform.node() and not is_alive(heartbeat["pid"]):
            process = 0
    elif folder.driver_lives and name in folder.workers:
        process = folder.workers[name][1].get("pid", 0)
    return process
