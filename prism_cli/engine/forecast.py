"""Estimate of what a run will ask and cost, from a sample of its rows and the ledger. Nothing is
asked."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import count, groupby
from typing import Any, NamedTuple, TypeGuard

from prism_cli.batch_ports import BatchableBackend
from prism_cli.engine.control import Control
from prism_cli.engine.earlier_replies import EarlierReplies
from prism_cli.engine.jobs import Job
from prism_cli.engine.located_rows import well_formed_rows
from prism_cli.engine.lost_replies import check_paid_replies
from prism_cli.engine.run_plan import RunPlan
from prism_cli.engine.stage import RowStage
from prism_cli.errors import ChangedInputError, InvalidNameError, RowError
from prism_cli.ports import (
    BatchBackend,
    CallBackend,
    RateLimits,
    Reply,
    Request,
    Usage,
)
from prism_cli.rows.row import Row
from prism_cli.shards.state import ledger_path

SAMPLE_BLOCKS, BLOCK_ROWS = 25, 20
"""Blocks of adjacent rows, evenly spread: the documents of a query often share a call."""
SECONDS_A_CALL = 1.0
"""Assumed duration of a call."""
ENOUGH_REPLIES = 20
"""Replies in the ledger from which their mean usage replaces the estimate."""


@dataclass
class ModelForecast:
    """Estimate for one model over all rows.

    Attributes:
        paid_before: questions that the ledger or a submitted batch answers.
        usd: US dollars; None if the model has no price.
    """

    model: str
    questions: float = 0.0
    paid_before: float = 0.0
    calls: float = 0.0
    input_tokens: float = 0.0
    output_tokens: float = 0.0
    usd: float | None = 0.0
    hours: float = 0.0

    def add(self, calls: float, usage: Usage) -> None:
        """Add `calls` calls of `usage` each."""
        self.calls += calls
        self.input_tokens += calls * usage.input_tokens
        self.output_tokens += calls * usage.output_tokens
        self.usd = (self.usd or 0.0) + calls * usage.usd

    def finish(self, limits: RateLimits, concurrency: int) -> None:
        """Set cost and time by the model's limits."""
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
        """Return the model's row of the table and of `--json`."""
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
    """Estimate for a run.

    Attributes:
        rows: rows of all outputs that are not finished.
        sampled: rows in the sample.
        single_calls: models that are asked call by call despite --batch.
        note: what the number of calls assumes.
    """

    stage: str
    rows: int = 0
    sampled: int = 0
    single_calls: list[str] = field(default_factory=list)
    models: list[ModelForecast] = field(default_factory=list)
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the object of `--json`."""
        return {
            "stage": self.stage,
            "rows": self.rows,
            "sampled": self.sampled,
            "models": [model.row() for model in self.models],
            "usd": round(sum(model.usd or 0.0 for model in self.models), 4),
            "unpriced": [model.model for model in self.models if model.usd is None],
            "hours": round(sum(model.hours for model in self.models), 2),
            **({"note": self.note} if self.note else {}),
        }


def forecast(plan: RunPlan) -> Forecast:
    """Return what a run of `plan` would ask.

    Raises:
        MissingDataError, UsageError, ChangedInputError, LostRepliesError, DamagedFileError: as the
            run.
    """
    stage, options = plan.stage, plan.options
    result = Forecast(stage.name, note=stage.forecast_note)
    jobs = _unfinished(plan)
    result.rows = sum(1 for job in jobs for _ in _lines(plan, job))
    if not jobs:
        return result
    with closing(EarlierReplies(stage.name)) as earlier:
        requests: dict[str, list[_SampledRequest]] = {}
        begun: Job | None = None
        for job, rows in _groups(stage, _sample(plan, jobs, result.rows)):
            if stage.learns_first and job is not begun:
                begun, (fields, limit) = job, (options.fields, options.limit)
                located = well_formed_rows(stage, [job], fields, limit, Control())
                stage.first_pass(row for *_, row in located)
            result.sampled += len(rows)
            if not options.fresh:
                earlier.open_output(job)
            for sampled in _requests(stage, rows, earlier, job):
                requests.setdefault(sampled.request.backend.spec, []).append(sampled)
        scale = result.rows / max(1, result.sampled)
        result.models = [
            _forecast_model(spec, group, scale, earlier.means.get(spec), options.batch)
            for spec, group in requests.items()
        ]
        if options.batch:
            result.single_calls = [
                spec
                for spec, group in requests.items()
                if not _takes_batches(group[0].request.backend)
            ]
    return result


class _SampledRequest(NamedTuple):
    """Request of a sampled row.

    Attributes:
        share: probability that it is made.
        place: where replies are stored: the row's output if a local model answers; the ledger for
            servers, since equal requests of all its outputs are one.
        paid: whether a reply is stored, or on its way in a batch.
    """

    request: Request
    share: float
    place: str
    paid: bool


def _unfinished(plan: RunPlan) -> list[Job]:
    """Return the jobs that the run would process; of several outputs skip those it refuses."""
    jobs: list[Job] = []
    refused: ChangedInputError | InvalidNameError | None = None
    for job in plan.jobs:
        try:
            job.check_names()
            if plan.finished(job, listed=True) is None:
                jobs.append(job)
        except (ChangedInputError, InvalidNameError) as error:
            refused = error
    if refused and (not jobs or len(plan.jobs) == 1):
        raise refused
    for job in [] if plan.options.accept_lost_replies else jobs:
        check_paid_replies(job.record_path, ledger_path(job.home), accept_lost=False)
    return jobs


def _lines(plan: RunPlan, job: Job) -> Iterator[bytes]:
    return (raw for _, _, raw in plan.lines(job) if raw.strip())


def _sample(plan: RunPlan, jobs: Sequence[Job], rows: int) -> Iterator[tuple[Job, Row]]:
    """Yield the well-formed rows of the blocks, in order."""
    step = max(BLOCK_ROWS, rows // SAMPLE_BLOCKS)
    lines = ((job, raw) for job in jobs for raw in _lines(plan, job))
    for number, (job, raw) in enumerate(lines):
        if number % step >= BLOCK_ROWS:
            continue
        try:
            row = plan.stage.decode(raw, plan.options.fields)
            plan.stage.check(row)
        except RowError:
            continue
        yield job, row


def _groups(stage: RowStage, sample: Iterator[tuple[Job, Row]]) -> Iterator[tuple[Job, list[Row]]]:
    """Yield the rows that the stage processes together."""
    numbers = count()

    def key(item: tuple[Job, Row]) -> tuple[str, bytes | int]:
        return item[0].name, (stage.groups and stage.group_of(item[1])) or next(numbers)

    for _, group in groupby(sample, key):
        items = list(group)
        yield items[0][0], [row for _, row in items]


def _requests(
    stage: RowStage, rows: list[Row], earlier: EarlierReplies, job: Job
) -> Iterator[_SampledRequest]:
    requests, ledger = stage.forecast_group(rows), str(ledger_path(job.home))
    reply: Reply | None = None
    try:
        while True:
            request, share = requests.send(reply)
            reply = earlier.reply(request)
            place = ledger if isinstance(request.backend, CallBackend) else job.name
            paid = reply is not None or earlier.is_in_batch(request)
            yield _SampledRequest(request, share, place, paid)
    except StopIteration:
        return


def _takes_batches(backend: BatchBackend | CallBackend) -> TypeGuard[BatchableBackend]:
    return isinstance(backend, BatchableBackend) and backend.batch_endpoint is not None


def _forecast_model(
    spec: str,
    group: Sequence[_SampledRequest],
    scale: float,
    earlier: tuple[int, Usage] | None,
    batch: bool,
) -> ModelForecast:
    """Return the estimate of one model. Equal requests count once.

    Args:
        earlier: number of its stored replies and their mean usage.
    """
    result = ModelForecast(spec)
    backend = group[0].request.backend
    distinct = {(each.place, each.request.key): each for each in group}.values()
    result.questions = scale * sum(each.share for each in distinct)
    result.paid_before = scale * sum(each.share for each in distinct if each.paid)
    new = [(each.request, each.share) for each in distinct if not each.paid]
    if not isinstance(backend, CallBackend):
        result.calls = scale * sum(share for _, share in new)
        return result
    price = backend.batch_share if batch and _takes_batches(backend) else 1.0
    replies, mean = earlier or (0, Usage())
    for call in backend.plan([request.payload for request, _ in new]):
        share = max(new[index][1] for index in call)
        usage = backend.estimate([new[index][0].payload for index in call])
        if replies >= ENOUGH_REPLIES:
            size = len(call)
            usage = Usage(mean.input_tokens * size, mean.output_tokens * size, mean.usd * size)
            if _takes_batches(backend) and (price_of := backend.rate_limits.usd):
                # `mean.usd` may be that of batches.
                usage = replace(usage, usd=price_of(usage.input_tokens, usage.output_tokens))
        result.add(scale * share, usage.at(price))
    result.finish(backend.rate_limits, backend.concurrency)
    return result
