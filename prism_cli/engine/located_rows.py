"""Reading of all jobs' rows before the main pass: each valid row with file and line, and queries
whose rows are in more than one shard."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager

from prism_cli.engine.control import Control
from prism_cli.engine.jobs import Job, read_lines
from prism_cli.engine.stage import RowStage
from prism_cli.engine.survey import LocatedRow
from prism_cli.errors import RowError
from prism_cli.rows.row import Row, query_id
from prism_cli.shards.spill import SeenTexts

_LISTED_QUERIES = 3


def well_formed_rows(
    stage: RowStage,
    jobs: Sequence[Job],
    fields: Mapping[str, str],
    limit: int | None,
    control: Control,
) -> Iterator[LocatedRow]:
    """Yield the rows that the stage accepts; at most `limit` of each job.

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
                continue  # the main pass rejects it
            yield LocatedRow(file, line, row)


def split_queries(
    jobs: Sequence[Job],
    group_of: Callable[[Row], bytes],
    rows: Callable[[Sequence[Job]], Iterator[LocatedRow]],
    guard: Callable[[Job], AbstractContextManager[None]],
) -> dict[int, list[str]]:
    """Find queries whose rows are in more than one job's shard, in bounded memory.

    Args:
        group_of: returns the key that the rows of a query share; b"" for a row without a query.
        guard: context entered around the reading of each job.

    Returns:
        By id of each job that has part of such a query: a line for each, with both places.
    """
    seen = SeenTexts()
    lines: dict[int, list[str]] = {}
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
                text = (
                    f"query_id {query_id(row)!r}, {row['query'][:60]!r}: "
                    f"{first_place.decode()} and {file}:{line}"
                )
                for holder in (id(jobs[int(first_number)]), id(job)):
                    if len(lines.setdefault(holder, [])) < _LISTED_QUERIES:
                        lines[holder].append(text)
                    else:
                        more[holder] = more.get(holder, 0) + 1
    return {
        holder: listed + ([f"and {more[holder]:,} more queries"] if holder in more else [])
        for holder, listed in lines.items()
    }
