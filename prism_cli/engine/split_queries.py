"""Queries whose rows are in more than one shard."""

import os
import shlex
from array import array
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from prism_cli.engine.jobs import Job
from prism_cli.engine.run_plan import RunPlan
from prism_cli.engine.survey import LocatedRow
from prism_cli.engine.surveys import Rows, SurveyParts
from prism_cli.files.urls import is_url
from prism_cli.rows.row import Row, query_id
from prism_cli.shards.folder import is_row_file
from prism_cli.shards.shared_keys import HASH_BYTES, common, hashes_of, shared_hashes
from prism_cli.shards.spill import SeenTexts

_LISTED_QUERIES = 3
_NAMED_INPUTS = 20
"""Most inputs of a shown command."""


@dataclass(frozen=True)
class QuerySurvey:
    """Hashes of the queries that are in more than one part.

    Attributes:
        group_of: returns the key, a hash, that the rows of a query share; b"" for a row without a
            query.
    """

    group_of: Callable[[Row], bytes]

    def read(self, rows: Iterable[LocatedRow]) -> bytes:
        """Return the sorted hashes of all queries, 8 bytes each."""
        keys = {self.group_of(row) for *_, row in rows}
        return array("Q", sorted({_hash(key) for key in keys if key})).tobytes()

    def merge(self, parts: Sequence[bytes]) -> bytes:
        """Return the sorted hashes that are in more than one part."""
        return shared_hashes(parts).tobytes()


@dataclass
class SplitQueries:
    """Queries whose rows are in more than one job's shard.

    Attributes:
        lines: by number of each job that has part of such a query: a line for each, with both
            places.
        scattered: True if the rows of a query would not all be adjacent if the shards were read one
            after another.
    """

    lines: dict[int, list[str]] = field(default_factory=dict)
    scattered: bool = False
    _more: dict[int, int] = field(default_factory=dict)

    def add(self, holder: int, text: str) -> None:
        """Add a query of a job."""
        listed = self.lines.setdefault(holder, [])
        if len(listed) < _LISTED_QUERIES:
            listed.append(text)
        else:
            self._more[holder] = self._more.get(holder, 0) + 1

    def of(self, holder: int) -> list[str]:
        """Return the lines of a job."""
        more = self._more.get(holder)
        return self.lines[holder] + ([f"and {more:,} more queries"] if more else [])

    def mending_command(self, plan: RunPlan) -> str:
        """Return the command that writes the inputs as shards without split queries."""
        names = _shown_inputs([source.name for job in plan.jobs for source in job.inputs])
        first, fields = Path(names[0]), plan.options.fields
        output = str(first) if first.is_dir() else first.name.partition(".")[0]
        output = output if output.strip("./") else "shards"
        options = ["--sort-queries"] if self.scattered else []
        for name in ("query", "query_id"):
            options += ["--field", f"{name}={fields[name]}"] if name in fields else []
        paths = [_not_an_option(name) for name in (*names, f"{output}.sharded")]
        return shlex.join(["prism", "shard", *paths[:-1], "-o", paths[-1], *options])


def unsurveyed(plan: RunPlan, rows: Rows) -> list[Job]:
    """Return the jobs that `survey_queries` would read."""
    parts = SurveyParts(plan, QuerySurvey(plan.stage.group_of), rows)
    return [job for job in plan.jobs if parts.lacks(job)]


def survey_queries(plan: RunPlan, rows: Rows) -> None:
    """Store the hashes of the queries of all shards in the state directory, for `split_queries` in
    another process."""
    SurveyParts(plan, QuerySurvey(plan.stage.group_of), rows).share()


def _shown_inputs(names: Sequence[str]) -> list[str]:
    """Return the names of inputs; a folder in place of all its row files, or of too many."""
    folders = [_folder(name) for name in names]
    given, whole = {Path(name) for name in names}, dict[str, bool]()
    for folder in set(folders):
        files = set(filter(is_row_file, Path(folder).iterdir() if os.path.isdir(folder) else ()))
        whole[folder] = bool(files) and files <= given
    shown = dict.fromkeys(
        folder if whole[folder] else name for folder, name in zip(folders, names, strict=True)
    )
    if len(shown) > _NAMED_INPUTS:
        shown = dict.fromkeys(folders)
    return list(shown)


def _folder(name: str) -> str:
    return f"{name.rpartition('/')[0]}/" if is_url(name) else str(Path(name).parent)


def _not_an_option(path: str) -> str:
    return f"./{path}" if path.startswith("-") else path


def split_queries(
    plan: RunPlan, rows: Rows, guard: Callable[[Job], AbstractContextManager[None]]
) -> SplitQueries:
    """Find the queries whose rows are in more than one shard, in bounded memory.

    All shards are surveyed for hashes; those that share one are read again for the places.

    Args:
        guard: context entered around the reading of each job.
    """
    survey = QuerySurvey(plan.stage.group_of)
    found = SplitQueries()
    parts = SurveyParts(plan, survey, rows)
    if plan.options.shared:
        parts.share()
    ends = []
    for job in plan.jobs:
        with guard(job):
            parts.read(job)
        ends.append(len(parts))
    shared = hashes_of(survey.merge(parts))
    if not shared:
        return found
    seen, start, last = SeenTexts(), 0, b""
    for number, (job, end) in enumerate(zip(plan.jobs, ends, strict=True)):
        own = set[int]()
        for index in range(start, end):
            own |= common(hashes_of(parts[index]), shared)
        empty, start = start == end, end
        if not own:
            last = last if empty else b""
            continue
        with guard(job):
            last = _locate(number, rows([job]), survey.group_of, own, seen, last, found)
    return found


def _locate(
    number: int,
    rows: Iterable[LocatedRow],
    group_of: Callable[[Row], bytes],
    hashes: set[int],
    seen: SeenTexts,
    last: bytes,
    found: SplitQueries,
) -> bytes:
    """Add the split queries of job `number` to `found`; return the key of its last row.

    Args:
        hashes: of the queries to look at.
        last: key of the last row before the job.
    """
    for key, group in groupby(rows, lambda located: group_of(located.row)):
        joins, last = key == last, key
        if not key or _hash(key) not in hashes:
            continue
        file, line, row = next(group)
        place = f"{number} {file}:{line}"
        first = seen.first(key, place.encode()).decode()
        if first == place:
            continue
        found.scattered |= not joins
        first_number, _, first_place = first.partition(" ")
        if int(first_number) != number:
            name = f"query_id {query_id(row)!r}, {row['query'][:60]!r}"
            for holder in (int(first_number), number):
                found.add(holder, f"{name}: {first_place} and {file}:{line}")
    return last


def _hash(key: bytes) -> int:
    return int.from_bytes(key[:HASH_BYTES])
