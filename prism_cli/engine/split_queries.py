"""Queries whose rows are in more than one shard."""

import os
import shlex
from array import array
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import groupby, takewhile
from pathlib import Path

from prism_cli.engine.jobs import Job
from prism_cli.engine.run_plan import RunPlan
from prism_cli.engine.survey import LocatedRow
from prism_cli.engine.surveys import Rows, SurveyParts, sweep_parts
from prism_cli.files.names import is_pattern, split_pattern
from prism_cli.files.urls import is_url
from prism_cli.rows.row import Row, query_id
from prism_cli.shards.reader import STDIN
from prism_cli.shards.shared_keys import HASH_BYTES, common, hashes_of, shared_hashes
from prism_cli.shards.spill import SeenTexts

_LISTED_QUERIES = 3
_NAMED_INPUTS = 20
"""Most inputs of a shown command for which no pattern is looked for."""


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
        scattered: True if the rows of such a query would not all be adjacent if the shards were
            read one after another.
        loose: queries with rows that are not adjacent in one shard.
    """

    lines: dict[int, list[str]] = field(default_factory=dict)
    scattered: bool = False
    loose: SeenTexts = field(default_factory=SeenTexts)
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
        names = _shown_inputs(plan.typed)
        folder, fields = _folder_of(names[0]), plan.options.fields
        output = folder if folder.strip("./") else "shards"
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


def _shown_inputs(typed: Sequence[str]) -> list[str]:
    """Return the inputs as the user named them; of many, those of a folder as a pattern if that
    has the same files in the same order."""
    if len(typed) <= _NAMED_INPUTS:
        return list(typed)
    groups = [list(group) for _, group in groupby(typed, os.path.dirname)]
    return [name for group in groups for name in _pattern_of(group) or group]


def _pattern_of(names: Sequence[str]) -> list[str]:
    """Return the pattern of some files of one folder; [] without one for just these."""
    start = _common_start(names)
    end = _common_start([name[len(start) :][::-1] for name in names])[::-1]
    if len(names) == 1 or is_url(start) or is_pattern(start + end):
        return []
    folder, first = os.path.split(start)
    same = sorted(Path(folder).glob(f"{first}*{end}")) == [*map(Path, names)]
    return [f"{start}*{end}"] if same else []


def _common_start(names: Sequence[str]) -> str:
    same = takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    return "".join(letters[0] for letters in same)


def _folder_of(name: str) -> str:
    """Return the path of a folder or of a pattern's folder; of a file or an object its name without
    suffixes."""
    if is_pattern(name) and not os.path.exists(name):
        name = name.rpartition("/")[0] if is_url(name) else str(split_pattern(name)[0])
    path = Path(name)
    return str(path) if path.is_dir() else path.name.partition(".")[0]


def _not_an_option(path: str) -> str:
    return f"./{path}" if path.startswith("-") and path != STDIN else path


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
    sweep_parts(plan)
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
        first_number, _, first_place = first.partition(" ")
        if int(first_number) == number:
            if not joins:
                found.loose.first(key, b"loose")
            continue
        found.scattered |= not joins or found.loose.first(key, b"") == b"loose"
        name = f"query_id {query_id(row)!r}, {row['query'][:60]!r}"
        for holder in (int(first_number), number):
            found.add(holder, f"{name}: {first_place} and {file}:{line}")
    return last


def _hash(key: bytes) -> int:
    return int.from_bytes(key[:HASH_BYTES])
