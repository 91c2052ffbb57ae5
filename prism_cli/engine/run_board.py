"""Board of a run over many shards: OUT/.prism-run.json, which `prism status` reads.

The board says what no shard's own files say: which shards there are, who works where, and which
were given up. Processes that share the run merge what each of them knows. It is a convenience, like
the heartbeats: no work depends on it, and errors in writing it never reach the run.
"""

import fcntl
import os
import platform
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import orjson

from prism_cli.engine.heartbeat import is_alive
from prism_cli.engine.jobs import Job
from prism_cli.engine.skipped_outputs import SkippedOutput
from prism_cli.errors import LockedError, OtherCommandError, ShardLostError
from prism_cli.shards.file_creation import create_file, new_attempt
from prism_cli.shards.timestamps import now_ms
from prism_cli.shards.writer import leftover_parts, part_path, remove_parts

BOARD_NAME = ".prism-run.json"
_EVERY_SECONDS = 2.0
_LOCK_SECONDS = 0.2
"""Longest wait for another process's save."""
_FORGET_MS = 24 * 3600 * 1000
"""Time without a save after which a process of another machine counts as gone."""
_SILENT_MS = 600 * 1000
"""The same where another command waits for it."""
_SCHEMA = 1


class RunBoard:
    """Writes the board of a run whose outputs are in one folder; does nothing for others.

    Args:
        jobs: all jobs of the run.
        engine: name of the spread.
        command: identity of the stage and of its settings.
    """

    def __init__(
        self,
        stage: str,
        engine: str,
        jobs: Sequence[Job],
        command: str = "",
    ) -> None:
        self.attempts: Counter[str] = Counter()
        """Lost attempts by name of the shard's output."""
        self.given_up: dict[str, str] = {}
        """Why each shard was given up, by name of its output."""
        self.refused: dict[str, str] = {}
        """Why each shard was left as it is, likewise."""
        self.workers: dict[str, dict[str, Any]] = {}
        """Host, process and shard of each worker, by its name."""
        folders = {os.path.dirname(job.record_path) for job in jobs}
        whole = len(folders) == 1 and len(jobs) > 1
        self._path = jobs[0].record_path.with_name(BOARD_NAME) if whole else None
        self._me = _own_name()
        self._process = {
            "engine": engine,
            "host": platform.node(),
            "pid": os.getpid(),
            "started_ms": now_ms(),
            "command": command,
        }
        self._fixed = {"schema": _SCHEMA, "stage": stage, **self._process}
        self._shards = [job.record_path.name for job in jobs] if self._path else []
        self._has_saved = False
        self._written_at = -_EVERY_SECONDS

    def begin(self) -> None:
        """Create the folder and save the plan, before the work begins.

        Raises:
            OtherCommandError: a command that makes other outputs is at work in the folder.
        """
        if self._path is not None:
            with suppress(OSError):  # told by the lock of the first shard
                self._path.parent.mkdir(parents=True, exist_ok=True)
            remove_parts(leftover_parts(self._path.parent).get(BOARD_NAME, ()))
        self.save(now=True)
        if other := self._other_command():
            self.save(now=True, ended=True)
            raise OtherCommandError(self._path, other["pid"], other["host"])

    def _other_command(self) -> dict[str, Any] | None:
        board = (read_board(self._path.parent) if self._path else None) or {}
        for name, process in board.get("processes", {}).items():
            mine = process.get("command") in (None, self._process["command"])
            earlier = process["started_ms"] <= self._process["started_ms"]
            if name != self._me and not mine and earlier and is_at_work(process, _SILENT_MS):
                return dict(process)
        return None

    def add_skipped(self, outputs: Iterable[SkippedOutput]) -> None:
        """Note the outputs that the run leaves as they are, but for those that others work on."""
        for output in outputs:
            name, reason = Path(output.output).name, (*output.reasons, output.kind)[0]
            if output.exit_code == ShardLostError.exit_code:
                self.given_up.setdefault(name, reason)
            elif output.exit_code != LockedError.exit_code:
                self.refused[name] = reason

    def save(self, *, now: bool = False, ended: bool = False) -> None:
        """Merge what this process knows into the board, at most every 2 s unless `now`.

        Args:
            ended: this process has ended its work.
        """
        if self._path is None or not (now or time.monotonic() - self._written_at > _EVERY_SECONDS):
            return
        self._written_at = time.monotonic()
        part = part_path(self._path, new_attempt())
        with suppress(OSError), _folder_lock(self._path.parent):
            try:
                with os.fdopen(create_file(part), "wb") as file:
                    file.write(orjson.dumps(self._merged(self._path.parent, ended=ended)))
                part.replace(self._path)
                self._has_saved = True
            finally:
                part.unlink(missing_ok=True)

    def _merged(self, folder: Path, *, ended: bool) -> dict[str, Any]:
        """Return the board with what this process knows. What ended runs left is forgotten when a
        process begins alone."""
        before = read_board(folder) or {}
        processes = {
            name: process
            for name, process in before.get("processes", {}).items()
            if name != self._me and is_at_work(process)
        }
        if not (processes or self._has_saved):
            before = {}
        others = {
            name: worker
            for name, worker in before.get("workers", {}).items()
            if worker.get("of") in processes
        }
        workers = {} if ended else self.workers
        own = {name: {**worker, "of": self._me} for name, worker in workers.items()}
        now = {"updated_ms": now_ms()}
        return {
            **self._fixed,
            **now,
            "processes": processes if ended else processes | {self._me: self._process | now},
            "shards": list(dict.fromkeys([*self._shards, *before.get("shards", ())])),
            "attempts": before.get("attempts", {}) | self.attempts,
            "given_up": before.get("given_up", {}) | self.given_up,
            "refused": before.get("refused", {}) | self.refused,
            "workers": others | own,
        }


@contextmanager
def _folder_lock(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder, where its file system has locks.

    Raises:
        BlockingIOError: another process held it for too long.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    until = time.monotonic() + _LOCK_SECONDS
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.01)
                continue
            except OSError:
                pass  # no locks: what is lost is saved again
            break
        yield
    finally:
        os.close(descriptor)


def _own_name() -> str:
    return f"{platform.node()} {os.getpid()}"


def has_company(folder: Path, command: str) -> bool:
    """Return whether another process works on outputs of a command in a folder."""
    processes = (read_board(folder) or {}).get("processes", {})
    return any(
        name != _own_name() and process.get("command") == command and is_at_work(process)
        for name, process in processes.items()
    )


def is_at_work(process: dict[str, Any], forget_ms: int = _FORGET_MS) -> bool:
    """Return whether a process that has not taken its leave is still there, as far as known."""
    if process["host"] == platform.node():
        return is_alive(process["pid"])
    silent: int = now_ms() - process["updated_ms"]
    return abs(silent) < forget_ms


def read_board(folder: Path) -> dict[str, Any] | None:
    """Return the board in a folder of outputs; None if it is absent or not written by prism."""
    try:
        content = orjson.loads((folder / BOARD_NAME).read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return None
    return content if isinstance(content, dict) and _is_valid(content) else None


_PROCESS = {"engine": str, "host": str, "pid": int, "started_ms": int, "updated_ms": int}
_KINDS = _PROCESS | {
    "stage": str, "shards": list, "attempts": dict, "given_up": dict, "workers": dict,
}  # fmt: skip


def _is_valid(content: dict[str, Any]) -> bool:
    return (
        content.get("schema") == _SCHEMA
        and _has(content, _KINDS)
        and all(isinstance(name, str) for name in content["shards"])
        and all(isinstance(count, int) for count in content["attempts"].values())
        and isinstance(content.setdefault("refused", {}), dict)
        and all(
            isinstance(reason, str)
            for name in ("given_up", "refused")
            for reason in content[name].values()
        )
        and all(isinstance(worker, dict) for worker in content["workers"].values())
        and isinstance(content.setdefault("processes", {}), dict)
        and all(_has(process, _PROCESS) for process in content["processes"].values())
    )


def _has(content: object, kinds: dict[str, type]) -> bool:
    return isinstance(content, dict) and all(
        isinstance(content.get(name), kind) for name, kind in kinds.items()
    )
