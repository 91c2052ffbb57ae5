"""Replies and batches of earlier runs, as a forecast looks them up."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from prism_cli.engine.batch.store import BatchStore
from prism_cli.engine.jobs import Job
from prism_cli.engine.shared_runner import local_path
from prism_cli.errors import DamagedFileError
from prism_cli.ports import CallBackend, Reply, Request
from prism_cli.shards.ledger import Ledger
from prism_cli.shards.local_ledger import LocalLedger, decode_reply


@dataclass
class EarlierReplies:
    """Replies and batches of earlier runs."""

    ledger: Ledger | None = None
    batches: BatchStore | None = None
    _local: LocalLedger | None = None
    _job: Job | None = None

    def open_output(self, job: Job) -> None:
        """Use the job's replies of local models from now on. A damaged file counts as empty, since
        the run replaces it."""
        if job is self._job:
            return
        self.close()
        self._job, path = job, local_path(job.home, job.record_path)
        with suppress(DamagedFileError):
            self._local = LocalLedger(path) if path.is_file() else None

    def close(self) -> None:
        """Close what `open_output` opened."""
        if self._local is not None:
            self._local.close()
        self._local = None

    def reply(self, request: Request) -> Reply | None:
        """Return the stored reply that the run will use."""
        key = request.key
        if isinstance(request.backend, CallBackend):
            return self.ledger.find([key]).get(key) if self.ledger else None
        plans = self._local.find([key]).values() if self._local else ()
        return next((decode_reply(entries[key]) for entries in plans if key in entries), None)

    def paid(self, keys: Sequence[bytes]) -> set[bytes]:
        """Return the keys that the ledger answers or that are in a batch."""
        paid = set(self.ledger.find(keys)) if self.ledger else set()
        if self.batches:
            paid |= self.batches.holders(keys, include_uncertain=True).keys()
            paid |= self.batches.replies(keys).keys()
        return paid
