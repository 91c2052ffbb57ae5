"""One pass of a stage over one shard: a function of (lines, stage, replies), independent of other
shards.

Rows are processed in windows of a fixed size, so that what a model sees together depends on the
input alone. The output is a pure function of input, config and ledger: after a kill it is made
again, and only what the ledger lacks is asked.
"""

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import repeat
from operator import is_
from typing import Any, NamedTuple

import orjson

from prism_cli.engine.consistent_ids import row_reader
from prism_cli.engine.counts import Counts
from prism_cli.engine.group_starts import group_starts
from prism_cli.engine.inflight import UNASKED, InFlightRows, Pending, Result
from prism_cli.engine.jobs import Line
from prism_cli.engine.learning import MISSING_SHARE, Learning, learn
from prism_cli.engine.line_windows import line_windows
from prism_cli.engine.progress import Progress, QuestionCounts
from prism_cli.engine.reasons import Reasons, RejectExamples
from prism_cli.engine.request_runner import RequestRunner
from prism_cli.engine.sinks import Sinks
from prism_cli.engine.stage import RowStage
from prism_cli.ports import Outcome, Routed, RowWork
from prism_cli.rows.row import Dropped, Rejected, Row

WINDOW_ROWS = 2048
WINDOW_BYTES = 32 << 20
PART_ROWS = 256
"""Rows that are read, processed and written at a time while all replies are cached."""

SHOW_SECONDS = 0.5


class _Position(NamedTuple):
    """Progress of a shard.

    Attributes:
        rows_ended: rows that have ended.
        answered: rows in progress whose current questions are all answered.
        progress_rows: rows that have ended, plus the finished fractions of those in progress.
        questions: questions answered.
    """

    rows_ended: int
    answered: int
    progress_rows: float
    questions: int


@dataclass
class ShardPass:
    """State of one pass over one shard."""

    stage: RowStage
    runner: RequestRunner
    sinks: Sinks
    progress: Progress
    fields: Mapping[str, str]
    learning: Learning = field(default_factory=Learning)
    counts: Counts = field(default_factory=Counts)
    pending_reasons: Reasons = field(default_factory=Reasons)
    reject_examples: RejectExamples = field(default_factory=RejectExamples)
    _window: InFlightRows | None = None
    _steps: int = 1
    _has_asked: bool = False
    _cached_rows: float = 0.0
    _questions: int = 0
    _cached_questions: int = 0
    _shown_at: float = 0.0
    _learns: bool = False
    _total: int | None = None

    def __post_init__(self) -> None:
        self._read = row_reader(self.stage, self.fields)

    def learn(self, lines: Iterable[Line], missing_share: float = MISSING_SHARE) -> None:
        """Have the stage learn from rows that it chooses, before `run`.

        Raises: as `run`.
        """
        self.learning = learn(
            self.stage, lines, self.runner, self.fields, self._learning_shown, missing_share
        )

    @contextmanager
    def _learning_shown(self, window: InFlightRows) -> Iterator[None]:
        """Show the progress of rows that the stage learns from; `run` begins at 0."""
        self._listen()
        self._window, self._learns, self._total = window, True, self.progress.total
        try:
            with self.progress.part("audit rows first", len(window.lines)):
                yield
        finally:
            self._window, self._learns = None, False
            self._cached_rows, self._cached_questions = 0.0, 0

    def _listen(self) -> None:
        self.runner.on_replies = self._show
        self.runner.on_lookup = self._looking_up

    def run(self, lines: Iterable[Line]) -> Counts:
        """Process all lines, in order.

        Raises:
            PrismError: the run must stop; replies so far are committed.
        """
        self._listen()
        self.progress.nouns = self.stage.nouns
        render, named = self.stage.render, bool(self.stage.outputs)
        for row in self.stage.arrange(self._rows(lines)):
            if isinstance(row, Dropped):
                self.counts.done -= 1
                self.counts.dropped[row.reason] += 1
                continue
            sink = self.sinks.routed[self.stage.output_of(row)] if named else self.sinks.row
            sink(render(row))
            self.counts.written += 1
        self.runner.totals.from_ledger -= self.learning.replies  # found of this run's own
        self.counts.check()
        return self.counts

    def snapshot(self) -> dict[str, Any]:
        """Return the current counts for the heartbeat, rows in progress included. Called by another
        thread."""
        at = self._position()
        shown = {
            "total": self.progress.total,
            "through": at.rows_ended,
            "moved": at.progress_rows,
            "asked": self.runner.totals.asked - self.runner.totals.local,
            "in_flight": self.runner.in_flight.most,
        }
        window = self._window
        if self._learns and window:
            return shown | {
                "total": self._total,
                "through": 0,
                "counts": self.counts.as_dict(),
                "learning": {"through": at.rows_ended, "total": len(window.lines)},
            }
        now = replace(self.counts, dropped=Counter(dict(self.counts.dropped)))
        reasons = Reasons(dict(self.pending_reasons))
        for result in window.results if window else ():
            if isinstance(result, Rejected):
                now.rejected += 1
            elif isinstance(result, Dropped):
                now.dropped[result.reason] += 1
            elif not isinstance(result, Pending):
                now.done += 1
            elif result is not UNASKED:
                now.pending += 1
                reasons.add(result.reason)
        questions = self._question_counts(at.questions)
        return shown | {
            "answered": at.answered,
            "found": self._cached_rows if self._has_asked else 0.0,
            "counts": now.as_dict(),
            "pending_reasons": dict(reasons),
            "questions": questions._asdict() if questions else None,
            "nouns": self.stage.nouns,
        }

    def _position(self) -> _Position:
        """Return the progress. May be called by another thread."""
        now, window = self.counts, self._window
        rows_ended = now.done + now.dropped.total() + now.rejected + now.pending
        if window is not None:
            rows_ended += len(window.results) - sum(map(is_, window.results, repeat(UNASKED)))
        if window is None or not window.replies:
            return _Position(rows_ended, 0, float(rows_ended), self._questions)
        answered, progress_rows, questions = (
            0,
            float(rows_ended),
            self._questions + window.questions,
        )
        steps = max(self._steps, window.steps)
        for row, replied in window.in_progress():
            asked, rows = len(row.requests), len(row.rows) or 1
            if replied == asked:
                answered += rows
            elif not row.step:
                questions -= asked - replied
            if row.step or replied:
                # Each of the steps counts as the same fraction of the row.
                progress_rows += min(1.0, (row.step + replied / max(1, asked)) / steps) * rows
        return _Position(rows_ended, answered, progress_rows, questions)

    def _question_counts(self, answered: int) -> QuestionCounts | None:
        """Return the counts if rows ask several questions each."""
        window = self._window
        asked = self._questions + (window.questions if window else 0)
        begun = self.counts.rows + (len(window.lines) if window else 0)
        if asked <= begun:
            return None
        more = self.progress.total is None or begun + self.counts.blank < self.progress.total
        return QuestionCounts(answered, None if more else asked, self._cached_questions)

    def _rows(self, lines: Iterable[Line]) -> Iterator[Row]:
        starts = group_starts(self.stage, self.fields) if self.stage.groups else None
        windows = line_windows(lines, self.counts, WINDOW_ROWS, WINDOW_BYTES, starts)
        for window in self._after_looking(windows) if self.stage.looks_ahead else windows:
            self.runner.control.check()
            yield from self._processed(window)
            self.counts.rows += len(window)
            self._show_at(self._position())

    def _after_looking(self, windows: Iterator[list[Line]]) -> Iterator[list[Line]]:
        """Yield windows, each after the stage has seen the next one."""
        seen: list[Line] | None = None
        for window in windows:
            self.stage.look_ahead(window, self.fields)
            if seen is not None:
                yield seen
            seen = window
        if seen is not None:
            yield seen

    def _show(self) -> None:
        """Show the progress now and then; called when replies have come, in any thread."""
        if time.monotonic() - self._shown_at >= SHOW_SECONDS:
            self._show_at(self._position())

    def _show_at(self, at: _Position) -> None:
        self._shown_at = time.monotonic()
        self.progress.show(
            at.progress_rows,
            self.runner.totals.usd,
            cached=self._cached_rows if self._has_asked else 0.0,
            questions=self._question_counts(at.questions),
        )

    def _processed(self, lines: Sequence[Line]) -> Iterator[Row]:
        """Yield the output rows of a window; part by part while all replies are cached, so that
        rows are written while they are in the processor's cache."""
        self._window = window = InFlightRows(lines, self._start_row, self.runner)
        parts = range(0, len(lines), PART_ROWS)
        if self.stage.groups:
            window.start_groups(self._read, self.stage.group_of, self.stage.work_group)
            parts = range(0)
        for start in parts:
            window.start(start, start + PART_ROWS)
            if not window.waiting:
                yield from self._take_results(window)
        if window.waiting:
            self._begin_asking()
        else:
            self._cached_rows += len(lines)
            self._cached_questions += window.questions
        window.ask()
        self._steps = window.steps
        self._questions += window.questions
        window.questions = 0
        yield from self._take_results(window)
        self._window = None

    def _begin_asking(self) -> None:
        """Count the rows that have ended in this window as cached, which took no time: they are not
        part of the rate."""
        now = self._position()
        if not self._has_asked:
            self._has_asked = True
            self.progress.restart()
        self._cached_rows += now.progress_rows - self.counts.rows
        self._cached_questions += now.questions - self._questions
        self._show_at(now)

    @contextmanager
    def _looking_up(self) -> Iterator[None]:
        """Count the rows that end in the block as cached too."""
        before = self._position()
        yield
        now = self._position()
        self._cached_rows += now.progress_rows - before.progress_rows
        self._cached_questions += now.questions - before.questions
        self._show_at(now)

    def _start_row(self, line: Line) -> Outcome | Pending | RowWork:
        self.stage.location = line[:2]
        row = self._read(line[2])
        return self.learning.waits or self.stage.work(row)

    def _take_results(self, window: InFlightRows) -> Iterator[Row]:
        for line, result in window.take():
            if type(result) is dict:
                self.counts.done += 1
                yield result
            else:
                yield from self._write_unusual(line, result)

    def _write_unusual(self, line: Line, result: Result) -> Iterator[Row]:
        name, number, raw = line
        if isinstance(result, Rejected):
            self.counts.rejected += 1
            self.reject_examples.add(result)
            self.sinks.rejected(result.line)
        elif isinstance(result, Dropped):
            self.counts.dropped[result.reason] += 1
        elif isinstance(result, Pending):
            self.counts.pending += 1
            self.pending_reasons.add(result.reason)
            self.sinks.pending(raw if raw.endswith(b"\n") else raw + b"\n")
        elif isinstance(result, Routed):
            self.counts.done += 1
            for output, row in result.rows:
                self.sinks.routed[output](orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
                self.counts.written += 1
        elif isinstance(result, list):
            self.counts.done += 1
            yield from result
        else:
            raise TypeError(f"{name}:{number}: a stage returned {type(result).__name__}")
