"""Interface between the engine and a stage. The engine handles order, resume, rejects, ledger and
progress."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self

import orjson

from prism_cli.engine.figures import empty_copy, is_sum, merged
from prism_cli.engine.survey import Survey
from prism_cli.errors import RowError
from prism_cli.ports import CallBackend, GroupWork, Outcome, Reply, Request, RowWork
from prism_cli.rows.decode import decode_row
from prism_cli.rows.row import Dropped, Row
from prism_cli.shards.shard_set import ShardSet

MAX_GROUP_ROWS = 10_000
"""Most adjacent rows that are processed together; further ones form another group."""
MAX_RANKED_ROWS = 100_000
"""Most adjacent rows of a query that get ranks."""

ForecastRequests = Generator[tuple[Request, float], Reply | None]
"""Yields (request, probability that it is sent); receives the cached reply, or None."""


class RowStage:
    """Rows in, rows out: subclass and write `work`.

    Attributes:
        name: the command's word; names outputs (NAME.STAGE.jsonl), manifests and ledger entries.
        outputs: names of several outputs, where `work` returns `Routed` or `output_of` chooses; ()
            for a single output.
        shard_set: names of outputs that are opened as rows come; `outputs` are those that exist
            already. None for a fixed number of outputs.
        survey: what must be known of all rows of the run before the first `work`; `use_survey`
            receives the result. None if nothing must be known.
        needs_first_pass_per_shard: True if `first_pass` must see all rows of a shard, and no
            others, before that shard's first `work`.
        learns_first: True if the replies to some rows of a shard decide how all are processed:
            `learns` chooses them, `learn` asks, and `finish_learning` follows, before that shard's
            first `work`.
        ranks_queries: True if the outcome of a row depends on the adjacent rows of the same
            `group_of`, so that they must be in one shard.
        groups: True if `work_group` processes the rows, not `work`.
        query_rows: True if an input row carries a query under its query_id, so that one id with two
            queries is an error.
        nouns: names that the progress uses for rows that ask several questions each, and for those
            questions.
        takes_documents: True if an input may be documents, which have no query.
        plain_lines: True if the input's lines are not JSON rows, whatever the file's name.
        text_output: True if the output's lines are not JSON rows.
        location: file and line of the row that `work` received last.
        looks_ahead: True if `look_ahead` receives lines before `work` receives their rows.
        forecast_note: what `forecast_requests` assumes, for the user; "" for nothing.
        counted: names of the attributes that hold figures of a shard; see `begin_shard`.
    """

    name: ClassVar[str]
    _init_args: tuple[tuple[Any, ...], dict[str, Any]]
    outputs: tuple[str, ...] = ()
    shard_set: ShardSet | None = None
    survey: Survey | None = None
    needs_first_pass_per_shard: bool = False
    learns_first: bool = False
    ranks_queries: bool = False
    groups: bool = False
    query_rows: bool = True
    nouns: tuple[str, str] = ("rows", "questions")
    plain_lines: bool = False
    text_output: bool = False
    takes_documents: bool = False
    location: tuple[str, int] = ("", 0)
    looks_ahead: bool = False
    forecast_note: str = ""
    counted: tuple[str, ...] = ()
    _earlier: dict[str, Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Keep the constructor's arguments for `new_copy`."""
        stage = super().__new__(cls)
        stage._init_args = args, kwargs
        stage._earlier = {}
        return stage

    def new_copy(self) -> Self:
        """Return the same stage before its first row."""
        args, kwargs = self._init_args
        return type(self)(*args, **kwargs)

    def server_specs(self) -> list[str]:
        """Return the specs of the servers among the constructor's arguments."""
        args, kwargs = self._init_args
        given = [one for value in (*args, *kwargs.values()) for one in _items(value)]
        return [backend.spec for backend in given if isinstance(backend, CallBackend)]

    def decode(self, raw: bytes, fields: Mapping[str, str]) -> Row:
        """Return the row on one line of the input; override for other formats than that of
        `decode_row`."""
        return decode_row(raw, fields)

    def check(self, row: Row) -> None:
        """Raise RowError if the row breaks this stage's contract."""

    def prepare(self, rows: Iterator[Row]) -> None:
        """Load what the work on these well-formed rows needs, such as a model. Called with the
        output's lock held; not called for an output that is finished or refused."""

    def first_pass(self, rows: Iterator[Row]) -> None:
        """Read all well-formed rows of a shard before its first `work`. Keep little: spill to
        disk."""

    def learns(self, row: Row) -> bool:
        """Return whether `learn` is called for a row; at most a few thousand of a shard."""
        return False

    def learn(self, row: Row) -> RowWork:
        """Return a generator that asks for replies and keeps what they say. Its outcome is not
        written: the row comes again in `work`, where it finds the replies."""
        raise TypeError(f"{type(self).__name__} does not learn")

    def finish_learning(self) -> None:
        """Use what the calls of `learn` kept, which must not depend on their order."""

    def use_survey(self, result: bytes) -> None:
        """Receive the result of `survey`, before the first `work`. Called once."""

    def look_ahead(
        self, lines: Sequence[tuple[str, int, bytes]], fields: Mapping[str, str]
    ) -> None:
        """Begin, in other processes, with lines (file, number, bytes) that `work` will receive
        after those of an earlier call."""

    def work(self, row: Row) -> Outcome | RowWork:
        """Return the outcome, or a generator that asks for replies first.

        May change `row` in place. Raises RowError to have the row rejected.
        """
        raise TypeError(f"{type(self).__name__} has no work")

    def group_of(self, row: Row) -> bytes:
        """Return the key that adjacent rows of one group share; b"" for a row without a group."""
        return b""

    def work_group(self, rows: list[Row]) -> GroupWork:
        """Return a generator that asks for replies and returns the outcome of each of at most
        MAX_GROUP_ROWS adjacent rows.

        Raises RowError to have all of them rejected. Rejected lines between rows do not end a
        group.
        """
        raise TypeError(f"{type(self).__name__} has no work on groups")

    def forecast_requests(self, row: Row) -> ForecastRequests:
        """Yield the requests of `row`, each with its probability, for a forecast.

        Receives the ledger's reply, or None. May change `row` in place. Never raises: a row that
        cannot be processed yields nothing.
        """
        try:
            work = self.work(row)
            if isinstance(work, Generator):
                yield from ((request, 1.0) for request in next(work))
        except (RowError, StopIteration):
            return

    def forecast_group(self, rows: list[Row]) -> ForecastRequests:
        """Yield the requests of adjacent rows of one group, as `forecast_requests`."""
        for row in rows:
            yield from self.forecast_requests(row)

    def arrange(self, rows: Iterator[Row]) -> Iterator[Row | Dropped]:
        """Transform the output rows in order, such as to add ranks over adjacent rows.

        Yield a `Dropped` in place of a row that was the only output of its input row.
        """
        return rows

    def output_of(self, row: Row) -> str:
        """Return the name, among `outputs`, of the output that an arranged row belongs to."""
        raise TypeError(f"{type(self).__name__} has named outputs and returned a plain row")

    def render(self, row: Row) -> bytes:
        """Return one line of the output, with its line end."""
        return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)

    def batch_plan(self) -> dict[str, int]:
        """Return the sizes that decide, besides the rows, which rows a model sees together; stored
        in the manifest."""
        return {}

    def apply_batch_plan(self, plan: Mapping[str, int]) -> None:
        """Plan batches as an earlier attempt at the same output did; `plan` has the names of
        `batch_plan`."""

    def begin_shard(self) -> None:
        """Reset the figures: those in a shard's manifest count its own rows."""
        for name in self.counted:
            figures = getattr(self, name)
            self._add_earlier(name)
            self._earlier[name] = getattr(self, name)
            setattr(self, name, empty_copy(figures))

    def end_shards(self) -> None:
        """Make `summary` cover all shards."""
        for name in self.counted:
            self._add_earlier(name)

    def take_counted(self) -> dict[str, Any]:
        """Return the figures of the last shard that can be summed, and leave them out of the sums
        of this object: they are added to those of another process."""
        every = {name: getattr(self, name) for name in self.counted}
        figures = {name: figure for name, figure in every.items() if is_sum(figure)}
        for name, figure in figures.items():
            setattr(self, name, empty_copy(figure))
        return figures

    def add_counted(self, figures: Mapping[str, Any]) -> None:
        """Add what `take_counted` returned in another process."""
        for name, figure in figures.items():
            setattr(self, name, merged(getattr(self, name), figure))

    def _add_earlier(self, name: str) -> None:
        if name in self._earlier:
            setattr(self, name, merged(self._earlier.pop(name), getattr(self, name)))

    def summary(self) -> dict[str, object]:
        """Return the figures of the last shard; after `end_shards`, of the whole run."""
        return {}


def _items(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else (value,)
