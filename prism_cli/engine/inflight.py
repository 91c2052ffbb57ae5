"""The rows of one window at work: begun, handed their replies, taken on until each has ended."""

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
    """A row whose replies could not all be had; `reason` is the backend's."""

    reason: str


Result = Outcome | Rejected | Pending
UNASKED = Pending("not asked")
"""The result of a row that has not ended yet."""


@dataclass(slots=True, eq=False)
class Waiting:
    """A row at work: its index in the window, and what it asked at which of its steps.

    Attributes:
        rows: indices of the rows that are worked together; () for a row that is worked alone.
    """

    index: int
    work: RowWork | GroupWork
    group: Sequence[Request]
    step: int
    rows: Sequence[int] = ()


class InFlightRows:
    """A window of lines.

    Args:
        begin: work on the row of a line; raises RowError.

    Attributes:
        results: of the lines that have been begun and not been taken yet, in order.
        waiting: rows at work, and such as have ended since the last look.
        steps: how often a row asked, at the most.
        lines: all of the window.
        questions: that rows asked at first.
        replies: what is at hand, by key, and the lack of it.
    """

    def __init__(
        self,
        lines: Sequence[Line],
        begin: Callable[[Line], Outcome | RowWork],
        runner: RequestRunner,
    ) -> None:
        self.results: list[Result] = []
        self.waiting: list[Waiting] = []
        self.steps = 1
        self.questions = 0
        self.lines = lines
        self._begin = begin
        self._questions = RequestQueue(runner)
        self.replies = self._questions.replies
        self._taken = 0
        self._by_key: dict[bytes, list[Waiting]] = {}

    def begin(self, start: int, end: int) -> None:
        """Begin the rows of these lines, and take them on as far as the ledger knows."""
        active: list[Waiting] = []
        begin, results = self._begin, self.results
        for index, line in enumerate(self.lines[start:end], start):
            try:
                outcome = begin(line)
                if isinstance(
                    outcome, (dict, list, Dropped, Routed)
                ):  # a tuple is 3 x as fast as |
                    results.append(outcome)
                else:
                    active.append(Waiting(index, outcome, next(outcome), 0))
                    results.append(UNASKED)
            except StopIteration as end_of_work:
                results.append(end_of_work.value)
            except RowError as error:
                results.append(set_aside(RowRef(*line[:2]), line[2], error))
        if active:
            self.questions += sum([len(one.group) for one in active])
            self._look(active)
            self.waiting += self._taken_on(active)

    def begin_groups(
        self,
        read: Callable[[bytes], Row],
        group_of: Callable[[Row], bytes],
        work: Callable[[list[Row]], GroupWork],
    ) -> None:
        """Begin all rows, those together that stand together, as `begin` does."""
        active: list[Waiting] = []
        rows: list[Row] = []
        indices: list[int] = []
        current = b""

        def close() -> None:
            one = Waiting(indices[0], work(rows[:]), (), 0, indices[:])
            if self._stepped(one, None):
                active.append(one)
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
        self.questions += sum(len(one.group) for one in active)
        self._look(active)
        self.waiting += self._taken_on(active)

    def ask(self) -> None:
        """Ask until every row has ended. A row goes on as soon as it has its replies, unless it
        goes on to a model that sees the rows of a window together.

        Raises: as `RequestQueue.ask`.
        """
        while self.waiting:
            self._register(self.waiting)
            self._questions.ask(min(one.step for one in self.waiting), self._go_on)
            self._by_key.clear()
            self.waiting = self._taken_on([one for one, _ in self.at_work()])

    def take(self) -> list[tuple[Line, Result]]:
        """The results since the last call, each with its line."""
        taken = self.lines[self._taken : self._taken + len(self.results)]
        self._taken += len(taken)
        results, self.results = self.results, []
        return list(zip(taken, results, strict=True))

    def at_work(self) -> Iterator[tuple[Waiting, int]]:
        """Rows that have not ended, each with how much of what it waits for is at hand; for
        another thread too."""
        results, taken = self.results, self._taken
        end = len(results)
        for one in self.waiting:
            index = one.index - taken
            if 0 <= index < end and results[index] is UNASKED:
                yield one, self.answered(one)

    def answered(self, one: Waiting) -> int:
        """How much of what the row waits for is at hand; for another thread too."""
        replies, group = self.replies, one.group
        if len(group) == 1:  # as most rows ask
            return group[0].key in replies
        return sum(asked.key in replies for asked in group)

    def _go_on(self, answered: Sequence[Request]) -> list[Request]:
        rows = {id(one): one for asked in answered for one in self._by_key.pop(asked.key, ())}
        ready = [one for one in rows.values() if self.answered(one) == len(one.group)]
        left = self._taken_on(ready)
        self._register(left)
        return [asked for one in left for asked in one.group]

    def _register(self, rows: Sequence[Waiting]) -> None:
        for one in rows:
            for asked in one.group:
                if asked.key not in self.replies:
                    self._by_key.setdefault(asked.key, []).append(one)

    def _look(self, rows: Sequence[Waiting]) -> None:
        """Note what rows have just asked."""
        for step in sorted({one.step for one in rows}):
            asked = [(one.index, asked) for one in rows if one.step == step for asked in one.group]
            self._questions.look(step, asked)

    def _taken_on(self, active: list[Waiting]) -> list[Waiting]:
        """Take rows on while their replies are at hand; those that wait then."""
        waiting: list[Waiting] = []
        while active:
            again: list[Waiting] = []
            for one in active:
                if self.answered(one) < len(one.group):
                    waiting.append(one)
                elif self._advanced(one):
                    again.append(one)
            self._look(again)
            active = again
        return waiting

    def _advanced(self, one: Waiting) -> bool:
        """Hand a row its replies; whether it has asked again. Else its result is set."""
        answered: list[Reply] = []
        for request in one.group:
            reply = self.replies[request.key]
            if not isinstance(reply, Reply):
                for index in one.rows or (one.index,):
                    self.results[index - self._taken] = Pending(reply.reason)
                return False
            answered.append(reply)
        if not self._stepped(one, answered):
            return False
        one.step += 1
        self.steps = max(self.steps, one.step + 1)
        return True

    def _stepped(self, one: Waiting, answered: Sequence[Reply] | None) -> bool:
        """Take a row one step on, its first where `answered` is None; whether it asks. Else its
        result is set."""
        indices = one.rows or (one.index,)
        try:
            one.group = next(one.work) if answered is None else one.work.send(answered)
        except StopIteration as end:
            outcomes = end.value if one.rows else [end.value]
            for index, outcome in zip(indices, outcomes, strict=True):
                self.results[index - self._taken] = outcome
        except RowError as error:
            for index in indices:
                name, number, raw = self.lines[index]
                self.results[index - self._taken] = set_aside(RowRef(name, number), raw, error)
        else:
            return True
        return False
