"""One shard through one stage: a function of (lines, stage, replies) that knows no other shard.

Rows go in windows of a fixed size, so that what a model sees together depends on the input alone.
The output is a pure function of input, config and ledger: after a kill it is made anew, and only
what the ledger lacks is asked.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from typing import Any

import orjson

from prism_cli.engine.answering import Answerer, Unanswered
from prism_cli.engine.progress import Progress
from prism_cli.engine.stage import RowStage
from prism_cli.errors import RowError
from prism_cli.ports import Outcome, Reply, Request, Routed, RowWork
from prism_cli.rows.decode import decode_row
from prism_cli.rows.row import Dropped, Rejected, Row, RowRef
from prism_cli.shards.spill import SeenTexts

WINDOW_ROWS = 2048
WINDOW_BYTES = 64 << 20

Line = tuple[str, int, bytes]
"""File as the user named it, line number from 1, bytes."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A row whose replies could not all be had; `reason` is the backend's."""

    reason: str


Result = Outcome | Rejected | Pending


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
    _seen: SeenTexts = field(default_factory=SeenTexts)
    _last_query: tuple[str, str, str] = ("", "", "")

    def run(self, lines: Iterable[Line]) -> Counts:
        """Work all lines, in order.

        Raises:
            PrismError: what stops a run; replies so far are committed.
        """
        dumps, option = orjson.dumps, orjson.OPT_APPEND_NEWLINE
        for row in self.stage.arrange(self._rows(lines)):
            self.sinks.row(dumps(row, option=option))
            self.counts.written += 1
        self.counts.check()
        return self.counts

    def _rows(self, lines: Iterable[Line]) -> Iterator[Row]:
        for window in _windows(lines, self.counts):
            self.answerer.control.check()
            for line, result in zip(window, self._results(window), strict=True):
                if type(result) is dict:
                    self.counts.done += 1
                    yield result
                else:
                    yield from self._unusual(line, result)
            self.counts.rows += len(window)
            self.progress.advance(len(window), self.answerer.tally.usd)

    def _results(self, window: Sequence[Line]) -> list[Result]:
        results: list[Result] = [Pending("")] * len(window)
        active: list[tuple[int, RowWork, Sequence[Request]]] = []
        work = self.stage.work
        for index, (name, number, raw) in enumerate(window):
            try:
                outcome = work(self._checked(raw))
                if isinstance(
                    outcome, (dict, list, Dropped, Routed)
                ):  # a tuple is 3 x as fast as |
                    results[index] = outcome
                else:
                    active.append((index, outcome, next(outcome)))
            except StopIteration as end:
                results[index] = end.value
            except RowError as error:
                results[index] = Rejected(RowRef(name, number), error.field, error.reason, raw)
        while active:
            replies = self.answerer.answer([asked for *_, group in active for asked in group])
            going_on = []
            for index, steps, group in active:
                answered: list[Reply] = []
                for asked in group:
                    reply = replies[asked.key]
                    if isinstance(reply, Unanswered):
                        results[index] = Pending(reply.reason)
                        break
                    answered.append(reply)
                else:
                    try:
                        going_on.append((index, steps, steps.send(answered)))
                    except StopIteration as end:
                        results[index] = end.value
                    except RowError as error:
                        name, number, raw = window[index]
                        ref = RowRef(name, number)
                        results[index] = Rejected(ref, error.field, error.reason, raw)
            active = going_on
        return results

    def _checked(self, raw: bytes) -> Row:
        row = decode_row(raw, self.fields)
        self.stage.check(row)
        if "query_id" in row and self.stage.query_rows:
            query, style = row.get("query"), row.get("query_style") or "original"
            if isinstance(query, str):
                self._hold_to_one_query(str(row["query_id"]), style, query)
        return row

    def _hold_to_one_query(self, query_id: str, style: str, query: str) -> None:
        known = (query_id, style, query)
        if known == self._last_query:  # the documents of a query mostly stand together
            return
        self._last_query = known
        key = blake2b(f"{query_id}\0{style}".encode(), digest_size=16).digest()
        if self._seen.conflicts(key, blake2b(query.encode(), digest_size=16).digest()):
            self._last_query = ("", "", "")
            raise RowError(
                "query_id",
                f"{query_id!r} ({style}) stood with another query before; one id, one query",
            )

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
