"""The well-formed rows of several jobs with their places, for a look ahead of the work."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple

from prism_cli.engine.control import Control
from prism_cli.engine.jobs import Job, read_lines
from prism_cli.engine.stage import RowStage
from prism_cli.errors import RowError
from prism_cli.rows.row import Row, query_id
from prism_cli.shards.spill import SeenTexts

_TOLD_QUERIES = 3


class LocatedRow(NamedTuple):
    """A row, its file as the user named it, and its line from 1."""

    file: str
    line: int
    row: Row


def well_formed_rows(
    stage: RowStage,
    jobs: Sequence[Job],
    fields: Mapping[str, str],
    limit: int | None,
    control: Control,
) -> Iterator[LocatedRow]:
    """The rows that the stage takes; of each job at most `limit`.

    Raises:
        InterruptedRunError, LimitReachedError, MissingDataError.
    """
    for job in jobs:
        for count, (file, line, raw) in enumerate(read_lines(job.inputs, {}, limit, fields)):
            if count % 1024 == 0:
                control.check()
            if not raw.strip():
                continue
            try:
                row = stage.decode(raw, fields)
                stage.check(row)
            except RowError:
                continue  # the main pass sets it aside
            yield LocatedRow(file, line, row)


def split_queries(
    jobs: Sequence[Job],
    group_of: Callable[[Row], bytes],
    rows: Callable[[Sequence[Job]], Iterator[LocatedRow]],
    guard: Callable[[Job], AbstractContextManager[None]],
) -> dict[int, list[str]]:
    """Queries whose rows stand in more than one job's shard, in bounded memory.

    Args:
        group_of: what the rows of a query have in common; b"" for a row alone.
        guard: around the reading of each job.

    Returns:
        id of each job that has part of such a query -> a line each, with both places.
    """
    seen = SeenTexts()
    found: dict[int, list[str]] = {}
    more: dict[int, int] = {}
    for number, job in enumerate(jobs):
        current = b""
        with guard(job):
            for file, line, row in rows([job]):
                key = group_of(row)
                if key == current or not key:
                    current = key
                    continue
                current = key
                first_number, _, first_place = seen.first(
                    key, f"{number} {file}:{line}".encode()
                ).partition(b" ")
                if int(first_number) == number:
                    continue
                told = (
                    f"query_id {query_id(row)!r}, {row['query'][:60]!r}: "
                    f"{first_place.decode()} and {file}:{line}"
                )
                for one in (jobs[int(first_number)], job):
                    if len(found.setdefault(id(one), [])) < _TOLD_QUERIES:
                        found[id(one)].append(told)
                    else:
                        more[id(one)] = more.get(id(one), 0) + 1
    return {
        key: told + ([f"and {more[key]:,} more queries"] if key in more else [])
        for key, told in found.items()
    }
