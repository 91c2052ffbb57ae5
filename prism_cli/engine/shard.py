"""One shard through one stage: a function of (lines, stage, replies) that knows no other shard.

Rows go in windows of a fixed size, so that what a model sees together depends on the input alone.
The output is a pure function of input, config and ledger: after a kill it is made anew, and only
what the ledger lacks is asked.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import orjson

from prism_cli.engine.answering import Answerer, Unanswered, Window
from prism_cli.engine.one_query import OneQuery
from prism_cli.engine.progress import Progress
from prism_cli.engine.stage import RowStage
from prism_cli.errors import RowError
from prism_cli.ports import Outcome, Reply, Request, Routed, RowWork
from prism_cli.rows.row import Dropped, Rejected, Row, RowRef

WINDOW_ROWS = 2048
WINDOW_BYTES = 32 << 20
PART_ROWS = 256
"""Rows that are read, worked and written in one go where nothing has to be asked."""

Line = tuple[str, int, bytes]
"""File as the user named it, line number from 1, bytes."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A row whose replies could not all be had; `reason` is the backend's."""

    reason: str


Result = Outcome | Rejected | Pending
_UNASKED = Pending("not asked")


@dataclass(slots=True, eq=False)
class _Waiting:
    """A row at work: its index in the window, and what it asked at which of its steps."""

    index: int
    work: RowWork
    group: Sequence[Request]
    step: int


@dataclass
class Counts:
    """Where the rows of one shard, or of several, ended."""

    rows: int = 0
    done: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    rejected: int = 0
    pending: int = 0
    written: int = 0
    blank: int = 0

    def add(self, other: "Counts") -> None:
        """Add another shard's counts."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)

    def check(self) -> None:
        """Each row ended in exactly one place."""
        ended = self.done + self.dropped.total() + self.rejected + self.pending
        if ended != self.rows:
            raise AssertionError(f"{self.rows} rows went in, {ended} are accounted for")

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self) | {"dropped": dict(sorted(self.dropped.items()))}


@dataclass
class Sinks:
    """Where results go; each takes bytes or an object ready to be written."""

    row: Callable[[bytes], None]
    routed: Mapping[str, Callable[[bytes], None]]
    rejected: Callable[[bytes], None]
    pending: Callable[[bytes], None]

    @classmethod
    def nowhere(cls, outputs: Sequence[str]) -> "Sinks":
        """For a pass that only asks."""

        def lost(_data: bytes) -> None:
            pass

        return cls(lost, dict.fromkeys(outputs, lost), lost, lost)


@dataclass
class ShardWork:
    """The state of one pass over one shard."""

    stage: RowStage
    answerer: Answerer
    sinks: Sinks
    progress: Progress
    fields: Mapping[str, str]
    counts: Counts = field(default_factory=Counts)
    pending_reasons: Counter[str] = field(default_factory=Counter)
    _open: Sequence[Result] = ()
    _asking: tuple[Sequence[_Waiting], Mapping[bytes, object], int] = ((), {}, 0)
    _rounds: int = 1
    _one_query: OneQuery = field(default_factory=OneQuery)

    def run(self, lines: Iterable[Line]) -> Counts:
        """Work all lines, in order.

        Raises:
            PrismError: what stops a run; replies so far are committed.
        """
        render = self.stage.render
        for row in self.stage.arrange(self._rows(lines)):
            self.sinks.row(render(row))
            self.counts.written += 1
        self.counts.check()
        return self.counts

    def live(self) -> dict[str, Any]:
        """The counts of this moment, with the rows of the window at work; for another thread.

        `answered` are rows whose present questions are all answered; they may ask again.
        """
        now = replace(self.counts, dropped=Counter(dict(self.counts.dropped)))
        reasons = Counter(dict(self.pending_reasons))
        asking, replies, step = self._asking
        for result in self._open:
            if isinstance(result, Rejected):
                now.rejected += 1
            elif isinstance(result, Dropped):
                now.dropped[result.reason] += 1
            elif not isinstance(result, Pending):
                now.done += 1
            elif result is not _UNASKED:
                now.pending += 1
                reasons[result.reason] += 1
        through = now.done + now.dropped.total() + now.rejected + now.pending
        answered = sum(all(one.key in replies for one in row.group) for row in asking)
        return {
            "total": self.progress.total,
            "through": through,
            "answered": answered,
            # A row that asks so many times, as in the window before, has come so far with each.
            "moved": through + (len(asking) * step + answered) / max(self._rounds, step + 1),
            "counts": now.as_dict(),
            "pending_reasons": dict(reasons),
        }

    def _rows(self, lines: Iterable[Line]) -> Iterator[Row]:
        for window in _windows(lines, self.counts):
            self.answerer.control.check()
            yield from self._worked(window)
            self.counts.rows += len(window)
            self.progress.advance(len(window), self.answerer.tally.usd)

    def _worked(self, window: Sequence[Line]) -> Iterator[Row]:
        """The output rows of a window. Part by part, while all that is asked is at hand, so that
        rows are written while they are still in the processor's cache."""
        questions = Window(self.answerer)
        results: list[Result] = []
        waiting: list[_Waiting] = []
        written = 0
        self._open = results
        for start in range(0, len(window), PART_ROWS):
            waiting += self._begun(window[start : start + PART_ROWS], start, questions, results)
            if not waiting:
                yield from self._ended(window, written, results)
                written, results = start + PART_ROWS, []
                self._open = results
        step = 0
        while waiting:
            ready = [one for one in waiting if one.step == step]
            waiting = [one for one in waiting if one.step != step]
            if ready:
                self._asking = (ready, questions.replies(step), step)
                replies = questions.ask(step)
                self._asking = ((), {}, 0)
                for one in ready:
                    index = one.index - written
                    going_on = self._advanced(one, replies, window[one.index], results, index)
                    if going_on:
                        questions.look(step + 1, [(one.index, asked) for asked in one.group])
                        waiting.append(one)
            step += 1
        self._rounds = step or self._rounds
        yield from self._ended(window, written, results)

    def _begun(
        self, part: Sequence[Line], start: int, questions: Window, results: list[Result]
    ) -> list["_Waiting"]:
        """Begin rows, append their results, and take them on as far as the ledger knows."""
        active: list[_Waiting] = []
        work, base = self.stage.work, len(results) - start
        for index, (name, number, raw) in enumerate(part, start):
            try:
                outcome = work(self._checked(raw))
                if isinstance(
                    outcome, (dict, list, Dropped, Routed)
                ):  # a tuple is 3 x as fast as |
                    results.append(outcome)
                else:
                    active.append(_Waiting(index, outcome, next(outcome), 0))
                    results.append(_UNASKED)
            except StopIteration as end:
                results.append(end.value)
            except RowError as error:
                results.append(Rejected(RowRef(name, number), error.field, error.reason, raw))
        waiting: list[_Waiting] = []
        step = 0
        while active:
            asked = [(one.index, request) for one in active for request in one.group]
            replies = questions.look(step, asked)
            going_on: list[_Waiting] = []
            for one in active:
                if not all(request.key in replies for request in one.group):
                    waiting.append(one)
                elif self._advanced(
                    one, replies, part[one.index - start], results, one.index + base
                ):
                    going_on.append(one)
            active = going_on
            step += 1
        return waiting

    def _advanced(
        self,
        one: "_Waiting",
        replies: Mapping[bytes, Reply | Unanswered],
        line: Line,
        results: list[Result],
        index: int,
    ) -> bool:
        """Hand a row its replies; whether it has asked again. Else its result is set."""
        answered: list[Reply] = []
        for request in one.group:
            reply = replies.get(request.key, _UNASKED)
            if not isinstance(reply, Reply):
                results[index] = Pending(reply.reason)
                return False
            answered.append(reply)
        try:
            one.group = one.work.send(answered)
            one.step += 1
        except StopIteration as end:
            results[index] = end.value
        except RowError as error:
            name, number, raw = line
            results[index] = Rejected(RowRef(name, number), error.field, error.reason, raw)
        else:
            return True
        return False

    def _ended(
        self, window: Sequence[Line], start: int, results: Sequence[Result]
    ) -> Iterator[Row]:
        self._open = ()  # from here on `counts` has them
        for index, result in enumerate(results, start):
            if type(result) is dict:
                self.counts.done += 1
                yield result
            else:
                yield from self._unusual(window[index], result)

    def _checked(self, raw: bytes) -> Row:
        row = self.stage.decode(raw, self.fields)
        self.stage.check(row)
        if self.stage.query_rows:
            self._one_query.check(row)
        return row

    def _unusual(self, line: Line, result: Result) -> Iterator[Row]:
        name, number, raw = line
        if isinstance(result, Rejected):
            self.counts.rejected += 1
            self.sinks.rejected(result.line)
        elif isinstance(result, Dropped):
            self.counts.dropped[result.reason] += 1
        elif isinstance(result, Pending):
            self.counts.pending += 1
            self.pending_reasons[result.reason] += 1
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


def _windows(lines: Iterable[Line], counts: Counts) -> Iterator[list[Line]]:
    window: list[Line] = []
    size = 0
    for line in lines:
        raw = line[2]
        if len(raw) < 64 and not raw.strip():
            counts.blank += 1
            continue
        window.append(line)
        size += len(raw)
        if len(window) == WINDOW_ROWS or size >= WINDOW_BYTES:
            yield window
            window, size = [], 0
    if window:
        yield window
