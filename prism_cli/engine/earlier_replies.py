"""Replies and batches of earlier runs, as a forecast looks them up."""

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from prism_cli.engine.batch.store import STORE_NAME, BatchStore
from prism_cli.engine.jobs import Job
from prism_cli.engine.shared_runner import local_path
from prism_cli.errors import DamagedFileError
from prism_cli.ports import CallBackend, Reply, Request, Usage
from prism_cli.shards.ledger import Ledger
from prism_cli.shards.ledger_file import LedgerFile
from prism_cli.shards.local_ledger import LocalLedger, decode_reply
from prism_cli.shards.state import ledger_path


@dataclass
class EarlierReplies:
    """Replies and batches of earlier runs of a stage.

    Attributes:
        means: number of replies of each model and their mean usage, in the ledger with most.
    """

    stage: str
    means: dict[str, tuple[int, Usage]] = field(default_factory=dict)
    _ledger: Ledger | None = None
    _batches: BatchStore | None = None
    _local: LocalLedger | None = None
    _path: Path | None = None
    _job: Job | None = None
    _counted: set[str] = field(default_factory=set)

    def open_output(self, job: Job) -> None:
        """Use the job's replies from now on. A damaged file of a local model counts as empty, since
        the run replaces it."""
        if job is self._job:
            return
        self._job = job
        if self._local is not None:
            self._local.close()
        self._local, path = None, local_path(job.home, job.record_path)
        with suppress(DamagedFileError):
            self._local = LocalLedger(path) if path.is_file() else None
        if self._path != (path := ledger_path(job.home)):
            self._path = path
            self._open_ledger(path)

    def _open_ledger(self, path: Path) -> None:
        self._close_ledger()
        self._counted.clear()
        if path.is_file():
            # Opening an empty ledger would create it, which hides that it was lost.
            if LedgerFile(path).has_replies():
                self._ledger = Ledger(path)
            if (store := path.with_name(STORE_NAME)).is_file():
                self._batches = BatchStore(store)

    def _close_ledger(self) -> None:
        for file in (self._ledger, self._batches):
            if file is not None:
                file.close()
        self._ledger = self._batches = None

    def close(self) -> None:
        """Close what `open_output` opened."""
        self._close_ledger()
        if self._local is not None:
            self._local.close()
        self._local = None

    def reply(self, request: Request) -> Reply | None:
        """Return the stored reply that the run will use."""
        key = request.key
        if isinstance(request.backend, CallBackend):
            if self._ledger is None:
                return None
            self._count(self._ledger, request.backend.spec)
            return self._ledger.find([key]).get(key)
        plans = self._local.find([key]).values() if self._local else ()
        return next((decode_reply(entries[key]) for entries in plans if key in entries), None)

    def _count(self, ledger: Ledger, model: str) -> None:
        if model not in self._counted:
            self._counted.add(model)
            found = ledger.mean_usage(self.stage, model)
            if found[0] > self.means.get(model, (0,))[0]:
                self.means[model] = found

    def is_in_batch(self, request: Request) -> bool:
        """Return whether a batch holds the request, or its reply."""
        keys = [request.key]
        return self._batches is not None and bool(
            self._batches.holders(keys, include_uncertain=True) or self._batches.replies(keys)
        )
