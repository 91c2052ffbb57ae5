"""Who answers the requests of a run: one answerer, with the ledgers that its outputs belong to."""

from functools import partial
from pathlib import Path

from prism_cli.engine.answering import Answerer
from prism_cli.engine.batching import Batching
from prism_cli.engine.control import Control
from prism_cli.engine.jobs import Job
from prism_cli.engine.papers import Papers
from prism_cli.engine.run_options import RunOptions
from prism_cli.shards.batch_book import BOOK_NAME, BatchBook
from prism_cli.shards.ledger import Ledger
from prism_cli.shards.local_ledger import (
    clear_local_ledger,
    local_ledger_path,
    open_local_ledger,
)
from prism_cli.shards.state import LEDGER_NAME, state_directory


class Answerers:
    """Turns from output to output. The ledger is that of the first one."""

    def __init__(self, stage: str, options: RunOptions, control: Control) -> None:
        self._stage = stage
        self._options = options
        self._control = control
        self._answerer: Answerer | None = None

    def turned_to(self, papers: Papers) -> Answerer:
        """The answerer, at the beginning of a pass over that output."""
        if self._answerer is None:
            home = papers.job.home
            self._answerer = Answerer(
                self._stage,
                lambda: Ledger(state_directory(home) / LEDGER_NAME),
                self._control,
                batching=self._batching(home),
            )
        local = partial(open_local_ledger, local_path(papers.job))
        made = papers.manifest
        self._answerer.turn_to(papers.output_id, local, made.fresh_since, made.refused_since)
        return self._answerer

    def fresh_start(self, papers: Papers) -> int:
        """Forget what models of this process said for the output; see `Papers.begin`."""
        clear_local_ledger(local_path(papers.job))
        return self.turned_to(papers).mark()

    def close(self) -> None:
        """Close what was opened."""
        if self._answerer is not None:
            self._answerer.close()

    def _batching(self, home: Path | None) -> Batching | None:
        path, now = state_directory(home) / BOOK_NAME, self._options
        if not now.batch and not path.exists():
            return None
        more = {"sends": now.batch, "quiet": now.quiet, "give_up": now.accept_lost_replies}
        return Batching(BatchBook(path), self._control, **more)


def local_path(job: Job) -> Path:
    """Where replies of models of this process are kept for the job's output."""
    return local_ledger_path(state_directory(job.home), job.papers)
