"""The request runner that all outputs of a run share, and the ledgers of each output."""

from functools import partial
from pathlib import Path
from secrets import randbits

from prism_cli.engine.asking_again import keep_mark, mark_path
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
    remove_local_ledger,
)
from prism_cli.shards.run_record import RunRecord
from prism_cli.shards.state import LEDGER_NAME, state_directory


class SharedRunner:
    """One request runner for one output after another, each with the ledger of its folder."""

    def __init__(self, stage: str, options: RunOptions, control: Control) -> None:
        self._stage = stage
        self._options = options
        self._control = control
        self._runner: RequestRunner | None = None
        self._state: Path | None = None

    def for_output(self, record: RunRecord) -> RequestRunner:
        """Return the request runner at the beginning of a pass over an output."""
        home = record.home
        state = state_directory(home)
        open_batches = partial(self._batch_runner, state / STORE_NAME)
        open_ledger = partial(Ledger, state / LEDGER_NAME)
        if self._runner is None:
            self._runner = RequestRunner(
                self._stage,
                open_ledger,
                self._control,
                batches=open_batches(),
                open_batches=open_batches,
            )
        elif state != self._state:
            self._runner.change_ledger(open_ledger, open_batches)
        self._state = state
        open_local = partial(open_local_ledger, local_path(home, record.record_path))
        manifest = record.manifest
        self._runner.begin_output(
            record.output_id, open_local, manifest.fresh_since, manifest.refused_since
        )
        return self._runner

    def fresh_start(self, record: RunRecord) -> int:
        """Clear the output's replies of models of this process; see `RunRecord.begin`."""
        clear_local_ledger(local_path(record.home, record.record_path))
        return self.mark(record)

    def mark(self, record: RunRecord) -> int:
        """Return the mark of a run that asks again: the number from which replies count."""
        take = self.for_output(record).mark
        return keep_mark(mark_path(self._options, record.home), take)

    def run_mark(self, record: RunRecord) -> int:
        """Return the mark of a run that makes several outputs anew."""
        if self._options.fresh or self._options.retry_final:
            return self.mark(record)
        state_directory(record.home)
        return keep_mark(mark_path(self._options, record.home), partial(randbits, 53))

    def forget_local(self, record: RunRecord) -> None:
        """Delete the replies of models of this process for an output that is finished."""
        if self._runner is not None and self._runner.local is not None:
            self._runner.local.close()
        remove_local_ledger(local_path(record.home, record.record_path))

    def close(self) -> None:
        """Close what was opened."""
        if self._runner is not None:
            self._runner.close()

    def _batch_runner(self, path: Path) -> BatchRunner | None:
        options = self._options
        if not options.batch and not path.exists():
            return None
        return BatchRunner(
            BatchStore(path),
            self._control,
            sends=options.batch,
            quiet=options.quiet,
            give_up=options.accept_lost_replies,
        )


def local_path(home: Path | None, record_path: Path) -> Path:
    """Return the path of the ledger for replies that models of this process give for a job."""
    return local_ledger_path(state_directory(home), record_path)
