"""Who answers the requests of a run: one runner, with the ledgers that its outputs belong to."""

from functools import partial
from pathlib import Path

from prism_cli.engine.batch.runner import BatchRunner
from prism_cli.engine.batch.store import STORE_NAME, BatchStore
from prism_cli.engine.control import Control
from prism_cli.engine.request_runner import RequestRunner
from prism_cli.engine.run_options import RunOptions
from prism_cli.shards.ledger import Ledger
from prism_cli.shards.local_ledger import (
    clear_local_ledger,
    local_ledger_path,
    open_local_ledger,
)
from prism_cli.shards.run_record import RunRecord
from prism_cli.shards.state import LEDGER_NAME, state_directory


class SharedRunner:
    """Turns from output to output. The ledger is that of the first one."""

    def __init__(self, stage: str, options: RunOptions, control: Control) -> None:
        self._stage = stage
        self._options = options
        self._control = control
        self._runner: RequestRunner | None = None

    def turned_to(self, record: RunRecord) -> RequestRunner:
        """The runner, at the beginning of a pass over that output."""
        home = record.home
        if self._runner is None:
            self._runner = RequestRunner(
                self._stage,
                lambda: Ledger(state_directory(home) / LEDGER_NAME),
                self._control,
                batching=self._batching(home),
            )
        local = partial(open_local_ledger, local_path(home, record.record_path))
        made = record.manifest
        self._runner.turn_to(record.output_id, local, made.fresh_since, made.refused_since)
        return self._runner

    def fresh_start(self, record: RunRecord) -> int:
        """Forget what models of this process said for the output; see `RunRecord.begin`."""
        clear_local_ledger(local_path(record.home, record.record_path))
        return self.turned_to(record).mark()

    def close(self) -> None:
        """Close what was opened."""
        if self._runner is not None:
            self._runner.close()

    def _batching(self, home: Path | None) -> BatchRunner | None:
        path, now = state_directory(home) / STORE_NAME, self._options
        if not now.batch and not path.exists():
            return None
        more = {"sends": now.batch, "quiet": now.quiet, "give_up": now.accept_lost_replies}
        return BatchRunner(BatchStore(path), self._control, **more)


def local_path(home: Path | None, record_path: Path) -> Path:
    """Where replies of models of this process are kept for a job's output."""
    return local_ledger_path(state_directory(home), record_path)
