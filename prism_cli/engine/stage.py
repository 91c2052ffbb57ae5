"""What the engine asks of a stage. Order, resume, rejects, ledger and progress are the engine's."""

from collections.abc import Generator, Iterator, Mapping
from typing import Any, ClassVar, Self

import orjson

from prism_cli.engine.figures import added, begun_anew
from prism_cli.errors import RowError
from prism_cli.ports import GroupWork, Outcome, Reply, Request, RowWork
from prism_cli.rows.decode import decode_row
from prism_cli.rows.row import Dropped, Row

MAX_GROUP_ROWS = 10_000
"""Adjacent rows that are worked together at the most; what is beyond is another group."""

Questions = Generator[tuple[Request, float], Reply | None]
"""Requests, each with its probability; sent the reply that is known, or None."""


class RowStage:
    """Rows in, rows out: subclass and write `work`.

    Attributes:
        name: the command's word; names outputs (NAME.STAGE.jsonl), manifests and ledger entries.
        outputs: names of several outputs, where `work` returns `Routed`, or `output_of` tells; ()
            for the usual one.
        surveys: True where `survey` must see all rows of the run before the first `work`.
        surveys_shard: True where `survey` must see all rows of a shard before its first `work`, and
            no others.
        ranks_queries: True where what a row becomes depends on the rows of the same `group_of`
            beside it, so that they must stand in one shard.
        groups: True where `work_group` works rows, not `work`.
        query_rows: True where an input row carries a query under its query_id, so that one id with
            two queries is an error.
        nouns: what the progress calls rows that ask several questions each, and those.
        takes_documents: True where an input may be documents, which have no query.
        plain_lines: True where the input's lines are no JSON rows, whatever the file's name.
        place: file and line of the row that `work` was last given.
        counted: the attributes that figures of a shard are counted in; see `begin_shard`.
    """

    name: ClassVar[str]
    _made_of: tuple[tuple[Any, ...], dict[str, Any]]
    outputs: tuple[str, ...] = ()
    surveys: bool = False
    surveys_shard: bool = False
    ranks_queries: bool = False
    groups: bool = False
    query_rows: bool = True
    nouns: tuple[str, str] = ("rows", "questions")
    plain_lines: bool = False
    takes_documents: bool = False
    place: tuple[str, int] = ("", 0)
    counted: tuple[str, ...] = ()
    _earlier: dict[str, Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Notes what the stage is made of, for `anew`."""
        made = super().__new__(cls)
        made._made_of = args, kwargs
        made._earlier = {}
        return made

    def anew(self) -> Self:
        """The same stage before its first row."""
        args, kwargs = self._made_of
        return type(self)(*args, **kwargs)

    def decode(self, raw: bytes, fields: Mapping[str, str]) -> Row:
        """The row on one line of the input; see `decode_row`, which another format replaces."""
        return decode_row(raw, fields)

    def check(self, row: Row) -> None:
        """Raise RowError where the row breaks this stage's contract."""

    def prepare(self, rows: Iterator[Row]) -> None:
        """Load what the work on these well-formed rows needs, such as a model. The output's lock is
        held; nothing is loaded for an output that is finished or refused."""

    def survey(self, rows: Iterator[Row]) -> None:
        """A first pass over well-formed rows. Keep little: spill to disk."""

    def work(self, row: Row) -> Outcome | RowWork:
        """The outcome, or a generator that asks for replies first.

        May change `row` in place. Raises RowError to have the row rejected.
        """
        raise TypeError(f"{type(self).__name__} has no work")

    def group_of(self, row: Row) -> bytes:
        """What adjacent rows that are worked together have in common; b"" for a row alone."""
        return b""

    def work_group(self, rows: list[Row]) -> GroupWork:
        """The outcome of each of at most MAX_GROUP_ROWS adjacent rows, for which replies are asked.

        Raises RowError to have all of them rejected. Rejected lines between rows do not part them.
        """
        raise TypeError(f"{type(self).__name__} has no work on groups")

    def questions(self, row: Row) -> Questions:
        """For a forecast: what will be asked for `row`, and with which probability.

        It is sent the reply where the ledger has one, else None. May change `row` in place. Raises
        nothing: a row that cannot be worked asks nothing.
        """
        try:
            work = self.work(row)
            if isinstance(work, Generator):
                yield from ((request, 1.0) for request in next(work))
        except (RowError, StopIteration):
            return

    def arrange(self, rows: Iterator[Row]) -> Iterator[Row | Dropped]:
        """A last look at the output rows, in order, such as ranks over adjacent rows.

        A `Dropped` stands for a row that was the only one that its input row became.
        """
        return rows

    def output_of(self, row: Row) -> str:
        """The one of `outputs` that an arranged row belongs to."""
        raise TypeError(f"{type(self).__name__} has named outputs and returned a plain row")

    def render(self, row: Row) -> bytes:
        """One line of the output, with its end."""
        return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)

    def batch_plan(self) -> dict[str, int]:
        """What decides, besides the rows, which of them a model sees together; for the manifest."""
        return {}

    def follow(self, plan: Mapping[str, int]) -> None:
        """Plan as an earlier attempt at the same output did; `plan` has the names of
        `batch_plan`."""

    def begin_shard(self) -> None:
        """Count anew: a shard's figures, in its manifest, are those of its own rows."""
        for name in self.counted:
            found = getattr(self, name)
            self._add_earlier(name)
            self._earlier[name] = getattr(self, name)
            setattr(self, name, begun_anew(found))

    def end_shards(self) -> None:
        """From now on `summary` tells of all shards."""
        for name in self.counted:
            self._add_earlier(name)

    def _add_earlier(self, name: str) -> None:
        if name in self._earlier:
            setattr(self, name, added(self._earlier.pop(name), getattr(self, name)))

    def summary(self) -> dict[str, object]:
        """Figures of the shard that was worked last; after `end_shards`, of the whole run."""
        return {}
