"""Scripted stages and backends: requests are recorded, replies are pure functions."""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

from prism_cli.engine.stage import RowStage
from prism_cli.engine.survey import LocatedRow
from prism_cli.errors import RowError
from prism_cli.ports import (
    BatchBackend,
    CallBackend,
    Outcome,
    RateLimits,
    Reply,
    Routed,
    RowWork,
    Usage,
    request,
)
from prism_cli.rows.row import Dropped, Row, check_pair, string_field
from prism_cli.shards import lock
from prism_cli.stages.panel_stopping import PanelStopping
from prism_cli.stages.relabel import RelabelStage


class EchoStage(RowStage):
    """Stage that returns rows unchanged; rows whose document has the word `drop` are dropped."""

    name = "echo"

    def __init__(self, drop: str = "") -> None:
        self.drop = drop

    def check(self, row: Row) -> None:
        check_pair(row)

    def work(self, row: Row) -> Outcome | RowWork:
        if self.drop and self.drop in row["document"]:
            return Dropped("unwanted word")
        return row


class ScoreStage(RowStage):
    """Stage with one request per row; the reply becomes `score`."""

    name = "score"

    def __init__(self, *backends: BatchBackend | CallBackend) -> None:
        self.backends = backends

    def check(self, row: Row) -> None:
        check_pair(row)

    def work(self, row: Row) -> RowWork:
        for number, backend in enumerate(self.backends):
            text = row["document"]
            (reply,) = yield [request(backend, text, text)]
            if reply.refusal:
                raise RowError("document", reply.refusal)
            row["score" if number == 0 else f"score_{number}"] = reply.value["score"]
        return row

    def summary(self) -> dict[str, object]:
        return {"backends": len(self.backends)}


class CountSurvey:
    """Number of rows."""

    def read(self, rows: Iterable[LocatedRow]) -> bytes:
        return str(sum(1 for _ in rows)).encode()

    def merge(self, parts: Sequence[bytes]) -> bytes:
        return str(sum(map(int, parts))).encode()


class RoutedStage(RowStage):
    """Odd and even rows to outputs of their own, after a survey has counted them."""

    name: ClassVar[str] = "parity"
    outputs = ("even", "odd")
    survey = CountSurvey()
    row_count = 0

    def use_survey(self, result: bytes) -> None:
        self.row_count = int(result)

    def work(self, row: Row) -> Outcome:
        number = int(string_field(row, "query_id")[1:])
        return Routed((("odd" if number % 2 else "even", row | {"of": self.row_count}),))


def survey(stage: RowStage, rows: Iterable[Row], part_rows: int = 7) -> None:
    """Run the stage's survey over `rows`, in parts of `part_rows`."""
    assert stage.survey is not None
    located = iter([LocatedRow("in.jsonl", line, row) for line, row in enumerate(rows, 1)])
    parts = []
    while some := list(islice(located, part_rows)):
        parts.append(stage.survey.read(some))
    stage.use_survey(stage.survey.merge(parts))


def score_of(text: str) -> float:
    """Return the score of a text in every fake backend: pure, in [0, 1)."""
    return int.from_bytes(sha256(text.encode()).digest()[:6]) / 2**48


@dataclass(eq=False)
class ScriptedBatch:
    """Local model; longest texts first, `batch_rows` per batch."""

    batch_rows: int = 8
    seconds: float = 0.0
    spec: str = "fake:batch"
    fingerprint: str = "batch-1"
    asked: list[list[str]] = field(default_factory=list)
    before_batch: Callable[[int], None] = lambda number: None
    log: Path | None = None
    poison: str = "\0"

    def plan(self, payloads: Sequence[Any]) -> list[list[int]]:
        order = sorted(range(len(payloads)), key=lambda i: (-len(payloads[i]), payloads[i], i))
        return [order[i : i + self.batch_rows] for i in range(0, len(order), self.batch_rows)]

    def answer(self, payloads: Sequence[Any]) -> list[Reply]:
        self.before_batch(len(self.asked))
        self.asked.append(list(payloads))
        if self.log:
            note(self.log, payloads)
        if any(self.poison in text for text in payloads):
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(self.seconds)
        return [Reply({"score": score_of(text)}, usage=Usage(len(text), 1)) for text in payloads]


def batch_stage(
    batch_rows: int,
    seconds: float,
    log: Path | None,
    hold: Path | None = None,
    no_lock: bool = False,
) -> ScoreStage:
    """Return a stage with a local model; a worker of another process builds it, too.

    PRISM_TEST_POISON kills the process that scores a document with this word.

    Args:
        hold: wait for this file before the third batch.
        no_lock: as on a file system whose locks exclude nobody.
    """
    if no_lock:
        lock._lock = lambda *_: None  # type: ignore[assignment]
    poison = os.environ.get("PRISM_TEST_POISON")

    def before_batch(number: int) -> None:
        while hold and number == 2 and not hold.exists():
            time.sleep(0.02)

    batch = ScriptedBatch(batch_rows, seconds, log=log, before_batch=before_batch)
    if poison:
        batch.poison = poison
    return ScoreStage(batch)


@dataclass(eq=False)
class ScriptedJudge(ScriptedBatch):
    """Local judge that is right in .94; a document about a yes has `yes` in it."""

    def plan(self, payloads: Sequence[Any]) -> list[list[int]]:
        return super().plan([document for (_, document), _ in payloads])

    def answer(self, payloads: Sequence[Any]) -> list[Reply]:
        documents = [document for (_, document), _ in payloads]
        super().answer(documents)
        votes = [("yes" in text) == (score_of(f"{self.spec} {text}") < 0.94) for text in documents]
        return [Reply({"vote": "yes" if vote else "no"}) for vote in votes]


def panel_stage(log: Path | None, hold: Path | None, held_batch: int) -> RelabelStage:
    """Return a stage of five local judges that are asked by --stop posterior.

    Args:
        hold: the first judge waits for this file before its batch number `held_batch`.
    """

    def before_batch(number: int) -> None:
        while hold and number == held_batch and not hold.exists():
            time.sleep(0.02)

    judges = [ScriptedJudge(spec=f"hf:j{n}", fingerprint=f"j{n}", log=log) for n in range(5)]
    judges[0].before_batch = before_batch
    specs = [judge.spec for judge in judges]
    stopping = PanelStopping(specs, [1.0] * len(judges), risk=0.01, audit=0.02)
    return RelabelStage(judges, audit=0.02, stopping=stopping)


class ScriptedServer:
    """Base of scripted servers: one question per call, free, no lost calls."""

    single = True
    lost_calls = 0
    rate_limits = RateLimits()

    def plan(self, payloads: Sequence[Any]) -> list[list[int]]:
        return [[index] for index in range(len(payloads))]

    def estimate(self, payloads: Sequence[Any]) -> Usage:
        return Usage()

    async def close(self) -> None:
        pass


@dataclass(eq=False)
class ScriptedCalls(ScriptedServer):
    """Server; `script` maps a text to its next results: exceptions, replies or seconds."""

    concurrency: int = 4
    seconds: float = 0.0
    spec: str = "fake/calls"
    fingerprint: str = "calls-1"
    script: dict[str, list[Any]] = field(default_factory=dict)
    after_call: Callable[[int], None] = lambda number: None
    log: Path | None = None
    asked: list[str] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0

    async def answer(self, payloads: Sequence[Any]) -> list[Reply]:
        return [await self.answer_one(payload) for payload in payloads]

    async def answer_one(self, payload: str) -> Reply:
        self.asked.append(payload)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        if self.log:
            note(self.log, [payload])
        try:
            steps = self.script.get(payload, [])
            step = steps.pop(0) if steps else None
            await asyncio.sleep(step if isinstance(step, float) else self.seconds)
            if isinstance(step, Exception):
                raise step
            if isinstance(step, Reply):
                return step
            return Reply({"score": score_of(payload)}, usage=Usage(len(payload), 1, 0.001))
        finally:
            self.in_flight -= 1
            self.after_call(len(self.asked))


def note(log: Path, texts: Sequence[str]) -> None:
    """Append one line per text at once, so that killed processes are recorded too."""
    with log.open("ab") as file:
        file.write("".join(f"{os.getpid()}\t{text}\n" for text in texts).encode())


def noted(log: Path) -> Counter[str]:
    """Count the requests of each text over all processes."""
    if not log.exists():
        return Counter()
    return Counter(line.partition("\t")[2] for line in log.read_text().splitlines())
