"""Board of a run over many shards: OUT/.prism-run.json, which `prism status` reads.

The board says what no shard's own files say: which shards there are, who works where, and which
were given up. It is a convenience, like the heartbeats: a run does not read it, and errors in
writing it never reach the run.
"""

import os
import platform
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from prism_cli.engine.jobs import Job
from prism_cli.engine.skipped_outputs import SkippedOutput
from prism_cli.errors import LockedError, ShardLostError
from prism_cli.shards.file_creation import create_file, new_attempt
from prism_cli.shards.timestamps import now_ms
from prism_cli.shards.writer import part_path

BOARD_NAME = ".prism-run.json"
_EVERY_SECONDS = 2.0
_SCHEMA = 1


class RunBoard:
    """Writes the board of a run whose outputs are in one folder; does nothing for others.

    Args:
        jobs: all jobs of the run.
        engine: name of the spread.
    """

    def __init__(self, stage: str, engine: str, jobs: Sequence[Job]) -> None:
        self.attempts: Counter[str] = Counter()
        """Lost attempts by name of the shard's output."""
        self.given_up: dict[str, str] = {}
        """Why each shard was given up, by name of its output."""
        self.refused: dict[str, str] = {}
        """Why each shard was left as it is, likewise."""
        self.workers: dict[str, dict[str, Any]] = {}
        """Host, process and shard of each worker, by its name."""
        folders = {job.record_path.parent for job in jobs}
        self._path = folders.pop() / BOARD_NAME if len(folders) == 1 and len(jobs) > 1 else None
        self._fixed = {
            "schema": _SCHEMA,
            "stage": stage,
            "engine": engine,
            "host": platform.node(),
            "pid": os.getpid(),
            "started_ms": now_ms(),
            "shards": [job.record_path.name for job in jobs] if self._path else [],
        }
        self._written_at = -_EVERY_SECONDS

    def add_skipped(self, outputs: Iterable[SkippedOutput]) -> None:
        """Note the outputs that the run leaves as they are, but for those that others work on."""
        for output in outputs:
            name, reason = Path(output.output).name, (*output.reasons, output.kind)[0]
            if output.exit_code == ShardLostError.exit_code:
                self.given_up.setdefault(name, reason)
            elif output.exit_code != LockedError.exit_code:
                self.refused[name] = reason

    def save(self, *, now: bool = False) -> None:
        """Write the board, at most every 2 s unless `now`."""
        if self._path is None or not (now or time.monotonic() - self._written_at > _EVERY_SECONDS):
            return
        self._written_at = time.monotonic()
        content = self._fixed | {
            "updated_ms": now_ms(),
            "attempts": dict(self.attempts),
            "given_up": self.given_up,
            "refused": self.refused,
            "workers": self.workers,
        }
        part = part_path(self._path, new_attempt())
        with suppress(OSError):
            try:
                with os.fdopen(create_file(part), "wb") as file:
                    file.write(orjson.dumps(content))
                part.replace(self._path)
            finally:
                part.unlink(missing_ok=True)


def read_board(folder: Path) -> dict[str, Any] | None:
    """Return the board in a folder of outputs; None if it is absent or not written by prism."""
    try:
        content = orjson.loads((folder / BOARD_NAME).read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return None
    return content if isinstance(content, dict) and _is_valid(content) else None


_KINDS = {
    "stage": str, "engine": str, "host": str, "pid": int, "started_ms": int, "updated_ms": int,
    "shards": list, "attempts": dict, "given_up": dict, "workers": dict,
}  # fmt: skip


def _is_valid(content: dict[str, Any]) -> bool:
    return (
        content.get("schema") == _SCHEMA
        and all(isinstance(content.get(name), kind) for name, kind in _KINDS.items())
        and all(isinstance(name, str) for name in content["shards"])
        and all(isinstance(count, int) for count in content["attempts"].values())
        and isinstance(content.setdefault("refused", {}), dict)
        and all(
            isinstance(reason, str)
            for name in ("given_up", "refused")
            for reason in content[name].values()
        )
        and all(isinstance(worker, dict) for worker in content["workers"].values())
    )
