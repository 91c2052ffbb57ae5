"""Rows of one window in progress: started, given their replies, advanced until each has ended."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from prism_cli.engine.jobs import Line
from prism_cli.engine.request_queue import RequestQueue
from prism_cli.engine.request_runner import RequestRunner
from prism_cli.engine.stage import MAX_GROUP_ROWS
from prism_cli.errors import RowError
from prism_cli.ports import GroupWork, Outcome, Reply, Request, Routed, RowWork
from prism_cli.rows.decode import set_aside
from prism_cli.rows.row import Dropped, Rejected, Row, RowRef


@dataclass(frozen=True, slots=True)
class Pending:
    """A row that lacks a reply; `reason` is the backend's."""

    reason: str


Result = Outcome | Rejected | Pending
UNASKED = Pending("not asked")
"""Result of a row that has not ended yet."""


@dataclass(slots=True, eq=False)
class ActiveRow:
    """A row, or a group of rows, in progress.

    Attributes:
        index: of the row in the window; of a group's first row.
        work: the stage's generator.
        requests: made at the current step.
        step: number of times that it has received replies.
        rows: indices of the rows of a group; () for a row without a group.
    """

    index: int
    work: RowWork | GroupWork
    requests: Sequence[Request]
    step: int
    rows: Sequence[int] = ()


class InFlightRows:
    """Rows of a window of lines.

    Args:
        start_row: starts the work on the row of a line; raises RowError.

    Attributes:
        results: results of the lines that have been started and not been taken yet, in order.
        waiting: rows in progress, and rows that have ended since the last round of replies.
        steps: maximum number of steps of a row.
        lines: all lines of the window.
        questions: number of requests that rows made at their first step.
        replies: replies so far by key, and reasons for missing ones.
    """

    def __init__(
        self,
        lines: Sequence[Line],
        start_row: Callable[[Line], Outcome | Pending | RowWork],
        runner: RequestRunner,
    ) -> None:
        self.results: list[Result] = []
        self.waiting: list[ActiveRow] = []
        self.steps = 1
        self.questions = 0
        self.lines = lines
        self._start_row = start_row
        self._queue = RequestQueue(runner)
        self.replies = self._queue.replies
        self._taken = 0
        self._waiting_for: dict[bytes, list[ActiveRow]] = {}

    def start(self, first: int, end: int) -> None:
        """Start the rows of these lines, and advance them as far as cached replies allow."""
        active: list[ActiveRow] = []
        start_row, results = self._start_row, self.results
        for index, line in enumerate(self.lines[first:end], first):
            try:
                outcome = start_row(line)
                if isinstance(
                    outcome, (dict, list, Dropped, Routed, Pending)
                ):  # a tuple is 3 x as fast as |
                    results.append(outcome)
                else:
                    active.append(ActiveRow(index, outcome, next(outcome), 0))
                    results.append(UNASKED)
            except StopIteration as end_of_work:
                results.append(end_of_work.value)
            except RowError as error:
                results.append(set_aside(RowRef(*line[:2]), line[2], error))
        if active:
            self._add_started(active)

    def _add_started(self, active: list[ActiveRow]) -> None:
        self.questions += sum(len(row.requests) for row in active)
        self._enqueue(active)
        self.waiting += self._advance_all(active)

    def start_groups(
        self,
        read: Callable[[bytes], Row],
        group_of: Callable[[Row], bytes],
        work: Callable[[list[Row]], GroupWork],
    ) -> None:
        """Start all rows as `start` does, adjacent rows of one group together."""
        active: list[ActiveRow] = []
        rows: list[Row] = []
        indices: list[int] = []
        current = b""

        def close() -> None:
            group = ActiveRow(indices[0], work(rows[:]), (), 0, indices[:])
            if self._step(group, None):
                active.append(group)
            rows.clear()
            indices.clear()

        for index, (name, number, raw) in enumerate(self.lines):
            self.results.append(UNASKED)
            try:
                row = read(raw)
            except RowError as error:
                self.results[index] = set_aside(RowRef(name, number), raw, error)
                continue
            key = group_of(row)
            if rows and (key != current or not key or len(rows) == MAX_GROUP_ROWS):
                close()
            rows.append(row)
            indices.append(index)
            current = key
        if rows:
            close()
        self._add_started(active)

    def ask(self) -> None:
        """Ask until every row has ended. A row advances as soon as it has its replies, except to a
        model that sees the rows of a window together.

        Raises: as `RequestQueue.ask`.
        """
        while self.waiting:
            self._register(self.waiting)
            self._queue.ask(min(row.step for row in self.waiting), self._advance)
            self._waiting_for.clear()
            self.waiting = self._advance_all(self._unended())

    def take(self) -> list[tuple[Line, Result]]:
        """Return the results since the last call, each with its line."""
        taken = self.lines[self._taken : self._taken + len(self.results)]
        self._taken += len(taken)
        results, self.results = self.results, []
        return list(zip(taken, results, strict=True))

    def in_progress(self) -> Iterator[tuple[ActiveRow, int]]:
        """Yield the rows that have not ended, each with the number of its requests that are
        answered. May be called by another thread."""
        for row in self._unended():
            yield row, self.answered(row)

    def _unended(self) -> list[ActiveRow]:
        results, taken = self.results, self._taken
        end = len(results)
        return [
            row
            for row in self.waiting
            if 0 <= (index := row.index - taken) < end and results[index] is UNASKED
        ]

    def answered(self, row: ActiveRow) -> int:
        """Return the number of the row's requests that are answered. May be called by another
        thread."""
        replies, requests = self.replies, row.requests
        if len(requests) == 1:  # the usual case
            return requests[0].key in replies
        return sum(request.key in replies for request in requests)

    def _advance(self, answered: Sequence[Request]) -> list[Request]:
        """Advance the rows whose last missing reply has come; return what they ask next."""
        rows = {
            id(row): row for request in answered for row in self._waiting_for.pop(request.key, ())
        }
        ready = [row for row in rows.values() if self.answered(row) == len(row.requests)]
        waiting = self._advance_all(ready)
        self._register(waiting)
        return [request for row in waiting for request in row.requests]

    def _register(self, rows: Sequence[ActiveRow]) -> None:
        for row in rows:
            for request in row.requests:
                if request.key not in self.replies:
                    self._waiting_for.setdefault(request.key, []).append(row)

    def _enqueue(self, rows: Sequence[ActiveRow]) -> None:
        """Add the requests of the rows' current steps to the queue."""
        for step in sorted({row.step for row in rows}):
            requests = [
                (row.index, request) for row in rows if row.step == step for request in row.requests
            ]
            self._queue.add(step, requests)

    def _advance_all(self, active: list[ActiveRow]) -> list[ActiveRow]:
        """Advance rows while their replies are there; return the rows that wait."""
        waiting: list[ActiveRow] = []
        while active:
            again: list[ActiveRow] = []
            for row in active:
                if self.answered(row) < len(row.requests):
                    waiting.append(row)
                elif self._give_replies(row):
                    again.append(row)
            self._enqueue(again)
            active = again
        return waiting

    def _give_replies(self, row: ActiveRow) -> bool:
        """Advance a row by one step with its replies. Return True if it asks again; otherwise its
        result is set."""
        replies: list[Reply] = []
        for request in row.requests:
            reply = self.replies[request.key]
            if not isinstance(reply, Reply):
                for index in row.rows or (row.index,):
                    self.results[index - self._taken] = Pending(reply.reason)
                return False
            replies.append(reply)
        if not self._step(row, replies):
            return False
        row.step += 1
        self.steps = max(self.steps, row.step + 1)
        return True

    def _step(self, row: ActiveRow, replies: Sequence[Reply] | None) -> bool:
        """Run a row's generator to its next requests, from its start if `replies` is None. Return
        True if it asks; otherwise its result is set."""
        indices = row.rows or (row.index,)
        try:
            row.requests = next(row.work) if replies is None else row.work.send(replies)
        except StopIteration as end:
            outcomes = end.value if row.rows else [end.value]
            for index, outcome in zip(indices, outcomes, strict=True):
                self.results[index - self._taken] = outcome
        except RowError as error:
            for index in indices:
                name, number, raw = self.lines[index]
                self.results[index - self._taken] = set_aside(RowRef(name, number), raw, error)
        else:
            return True
        return False
