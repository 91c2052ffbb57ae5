"""What a run would ask and cost, from a sample of its rows and the ledger. Nothing is asked."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from prism_cli.engine.batch.store import STORE_NAME, BatchStore
from prism_cli.engine.job_record import job_record
from prism_cli.engine.jobs import Job, plan_jobs, read_lines
from prism_cli.engine.lost_replies import check_paid_replies
from prism_cli.engine.run_options import RunOptions
from prism_cli.engine.shared_runner import local_path
from prism_cli.engine.stage import RowStage
from prism_cli.errors import ChangedInputError, DamagedFileError, RowError, UnfitNameError
from prism_cli.ports import BatchableBackend, CallBackend, RateLimits, Reply, Request, Usage
from prism_cli.rows.row import Row
from prism_cli.shards.ledger import Ledger
from prism_cli.shards.ledger_file import LedgerFile
from prism_cli.shards.local_ledger import LocalLedger
from prism_cli.shards.reader import Source
from prism_cli.shards.state import ledger_path

SAMPLE_BLOCKS, BLOCK_ROWS = 25, 20
"""Blocks of adjacent rows, evenly spread: the documents of a query often share a call."""
SECONDS_A_CALL = 1.0
"""What a call is thought to take."""
ENOUGH_REPLIES = 20
"""In the ledger, to tell what a reply costs from those that are there."""


@dataclass
class ModelForecast:
    """What one model would be asked, over all rows.

    Attributes:
        paid_before: questions that the ledger answers, or a batch that was sent.
        usd: US dollars; None where the model has no price.
    """

    model: str
    questions: float = 0.0
    paid_before: float = 0.0
    calls: float = 0.0
    input_tokens: float = 0.0
    output_tokens: float = 0.0
    usd: float | None = 0.0
    hours: float = 0.0

    def add(self, calls: float, used: Usage) -> None:
        """So many calls, each of which takes `used`."""
        self.calls += calls
        self.input_tokens += calls * used.input_tokens
        self.output_tokens += calls * used.output_tokens
        self.usd = (self.usd or 0.0) + calls * used.usd

    def finish(self, limits: RateLimits, concurrency: int) -> None:
        """Cost and time under the model's limits."""
        if not limits.priced:
            self.usd = None
        seconds = [self.calls * SECONDS_A_CALL / concurrency]
        if limits.requests_per_minute:
            seconds.append(self.calls / limits.requests_per_minute * 60)
        if limits.tokens_per_minute:
            tokens = self.input_tokens + self.output_tokens
            seconds.append(tokens / limits.tokens_per_minute * 60)
        self.hours = max(seconds) / 3600

    def row(self) -> dict[str, Any]:
        """For the table and for `--json`."""
        return {
            "model": self.model,
            "questions": round(self.questions),
            "paid before": round(self.paid_before),
            "calls": round(self.calls),
            "input tokens": round(self.input_tokens),
            "output tokens": round(self.output_tokens),
            "USD": None if self.usd is None else round(self.usd, 4),
            "hours": round(self.hours, 2),
        }


@dataclass
class Forecast:
    """What a run would take.

    Attributes:
        rows: of all outputs that are not finished.
        sampled: rows that were looked at.
    """

    stage: str
    rows: int = 0
    sampled: int = 0
    models: list[ModelForecast] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "stage": self.stage,
            "rows": self.rows,
            "sampled": self.sampled,
            "models": [one.row() for one in self.models],
            "usd": round(sum(one.usd or 0.0 for one in self.models), 4),
            "unpriced": [one.model for one in self.models if one.usd is None],
            "hours": round(sum(one.hours for one in self.models), 2),
        }


def forecast(stage: RowStage, inputs: Sequence[str | Source], options: RunOptions) -> Forecast:
    """What `run_rows` would ask with the same arguments.

    Raises:
        MissingDataError, UsageError, ChangedInputError, LostRepliesError, DamagedFileError: as that
            run.
    """
    found = Forecast(stage.name)
    planned = plan_jobs(stage.name, stage.outputs, inputs, options.output, plain=stage.plain_lines)
    jobs = _unfinished(planned, stage, options)
    found.rows = sum(1 for job in jobs for _ in _lines(job, options))
    if not jobs:
        return found
    with ExitStack() as files:
        before = _Before()
        files.callback(before.close)
        path = ledger_path(next(iter(jobs[0].outputs.values())) if jobs[0].outputs else None)
        book = path.with_name(STORE_NAME)
        if path.is_file() and not options.fresh:
            if LedgerFile(path).has_replies():  # else opening it would make it, and it may be lost
                before.ledger = files.enter_context(closing(Ledger(path)))
            if book.is_file():
                before.book = files.enter_context(closing(BatchStore(book)))
        asked: dict[str, list[_Asked]] = {}
        for job, row in _sample(jobs, found.rows, stage, options):
            found.sampled += 1
            if not options.fresh:
                before.turn_to(job)
            for one in _questions(stage, row, before, job.name):
                asked.setdefault(one.request.backend.spec, []).append(one)
        scale = found.rows / max(1, found.sampled)
        found.models = [
            _of_model(stage.name, *pair, scale, before, options.batch) for pair in asked.items()
        ]
    return found


class _Asked(NamedTuple):
    """A question of a sampled row.

    Attributes:
        output: whose question it is, where a model of this process answers: such replies are kept
            for one output alone; "" where equal questions of all outputs are one.
        known: whether that output's replies have it.
    """

    request: Request
    share: float
    output: str
    known: bool


@dataclass
class _Before:
    """What earlier runs asked: replies at hand, and questions in batches."""

    ledger: Ledger | None = None
    book: BatchStore | None = None
    _local: LocalLedger | None = None
    _job: Job | None = None

    def turn_to(self, job: Job) -> None:
        """From now on replies of models of this process are those for the job's output. A damaged
        file has none: the run begins it new_copy."""
        if job is self._job:
            return
        self.close()
        self._job, path = job, local_path(job.home, job.record_path)
        with suppress(DamagedFileError):
            self._local = LocalLedger(path) if path.is_file() else None

    def close(self) -> None:
        """Close what `turn_to` opened."""
        if self._local is not None:
            self._local.close()
        self._local = None

    def reply(self, request: Request) -> Reply | None:
        """The reply that the run will find."""
        key = request.key
        if isinstance(request.backend, CallBackend):
            return self.ledger.find([key]).get(key) if self.ledger else None
        plans = self._local.find([key]).values() if self._local else ()
        return next((kept[key].reply for kept in plans if key in kept), None)

    def paid(self, keys: Sequence[bytes]) -> set[bytes]:
        found = set(self.ledger.find(keys)) if self.ledger else set()
        if self.book:
            found |= self.book.on_their_way(keys, perhaps=True).keys()
            found |= self.book.results(keys).keys()
        return found


def _unfinished(jobs: Sequence[Job], stage: RowStage, options: RunOptions) -> list[Job]:
    """What the run would work; of several outputs it leaves alone those that it refuses."""
    found: list[Job] = []
    refused: ChangedInputError | UnfitNameError | None = None
    for job in jobs:
        try:
            job.check_names()
            if not _finished(job, stage, options):
                found.append(job)
        except UnfitNameError as error:
            refused = error
        except ChangedInputError as error:
            if error.redo and options.if_changed == "redo":
                found.append(job)
            else:
                refused = error
    if refused and (not found or len(jobs) == 1):
        raise refused
    for job in [] if options.accept_lost_replies else found:
        check_paid_replies(job.record_path, ledger_path(job.home), accept_lost=False)
    return found


def _finished(job: Job, stage: RowStage, options: RunOptions) -> bool:
    if job.outputs is None or options.overwrite:
        return False
    record = job_record(job, stage.name, options.settings, options.dependencies)
    return record.finished() is not None


def _lines(job: Job, options: RunOptions) -> Iterator[bytes]:
    lines = read_lines(job.inputs, {}, options.limit, options.fields)
    return (raw for _, _, raw in lines if raw.strip())


def _sample(
    jobs: Sequence[Job], rows: int, stage: RowStage, options: RunOptions
) -> Iterator[tuple[Job, Row]]:
    """Well-formed rows of the blocks, in order."""
    step = max(BLOCK_ROWS, rows // SAMPLE_BLOCKS)
    lines = ((job, raw) for job in jobs for raw in _lines(job, options))
    for number, (job, raw) in enumerate(lines):
        if number % step >= BLOCK_ROWS:
            continue
        try:
            row = stage.decode(raw, options.fields)
            stage.check(row)
        except RowError:
            continue
        yield job, row


def _questions(stage: RowStage, row: Row, before: _Before, output: str) -> Iterator[_Asked]:
    asking = stage.forecast_requests(row)
    reply: Reply | None = None
    try:
        while True:
            request, share = asking.send(reply)
            reply = before.reply(request)
            called = isinstance(request.backend, CallBackend)
            yield _Asked(request, share, "" if called else output, reply is not None)
    except StopIteration:
        return


def _of_model(
    stage: str,
    spec: str,
    group: Sequence[_Asked],
    scale: float,
    before: _Before,
    batch: bool,
) -> ModelForecast:
    """Equal questions count once, those with a reply are paid."""
    found = ModelForecast(spec)
    backend = group[0].request.backend
    distinct = {(one.output, one.request.key): one for one in group}
    paid = before.paid([key for _, key in distinct]) if isinstance(backend, CallBackend) else ()
    known = {at for at, one in distinct.items() if one.known or one.request.key in paid}
    found.questions = scale * sum(one.share for one in distinct.values())
    found.paid_before = scale * sum(distinct[at].share for at in known)
    new = [(one.request, one.share) for at, one in distinct.items() if at not in known]
    if not isinstance(backend, CallBackend):
        found.calls = scale * sum(share for _, share in new)
        return found
    price = 1.0
    if batch and isinstance(backend, BatchableBackend) and backend.batch_endpoint is not None:
        price = backend.batch_share
    ledger = before.ledger
    replies, mean = ledger.mean_usage(stage, spec) if ledger else (0, Usage())
    for call in backend.plan([request.payload for request, _ in new]):
        share = max(new[index][1] for index in call)
        used = backend.estimate([new[index][0].payload for index in call])
        if replies >= ENOUGH_REPLIES:
            size = len(call)
            used = Usage(mean.input_tokens * size, mean.output_tokens * size, mean.usd * size)
        found.add(scale * share, used.at(price))
    found.finish(backend.rate_limits, backend.concurrency)
    return found
