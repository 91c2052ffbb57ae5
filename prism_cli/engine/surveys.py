"""Surveys over the shards of a run.

Parts are cached in the state directory, so that a run that goes on, or another node, does not read
a shard again.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from hashlib import sha256
from itertools import islice
from pathlib import Path

from prism_cli.engine.job_order import rotated
from prism_cli.engine.jobs import Input, Job
from prism_cli.engine.run_plan import RunPlan
from prism_cli.engine.skipped_outputs import OUTPUT_ERRORS
from prism_cli.engine.survey import LocatedRow, Survey
from prism_cli.engine.survey_cache import header, is_current, packed, sweep
from prism_cli.shards.file_digest import size_and_change
from prism_cli.shards.reader import STDIN, Shard
from prism_cli.shards.spilled_parts import SpilledParts, StoredParts
from prism_cli.shards.state import ledger_path, state_directory
from prism_cli.shards.writer import whole_file
from prism_cli.version import __version__

PART_ROWS = 20_000
"""Most rows of one part."""
_CACHED_BYTES = 1 << 20
"""Size of the smallest input whose parts are cached; a smaller one is read again as quickly."""
_CACHE = "surveys"
_NUMBER = len(packed(0))
"""Bytes of the size that stands before each part in a file of parts."""

Rows = Callable[[Sequence[Job]], Iterator[LocatedRow]]


def surveyed(plan: RunPlan, survey: Survey, rows: Rows) -> bytes:
    """Return the result of a survey over all jobs of a run.

    Args:
        rows: returns the valid rows of some jobs.

    Raises:
        PrismError: of `survey`, or of the reading of the rows.
    """
    parts = SurveyParts(plan, survey, rows)
    if plan.options.shared:
        parts.share()
    for job in plan.jobs:
        parts.read(job)
    result = survey.merge(parts)
    sweep_parts(plan)
    return result


def input_sizes(jobs: Sequence[Job]) -> dict[str, int]:
    """Return the bytes of each input file, by name, but for those that cannot be read."""
    sizes = dict[str, int]()
    for source in (source for job in jobs for source in job.inputs):
        if isinstance(source, Shard) and source.name != STDIN:
            with suppress(OSError):
                sizes[source.name] = source.size_and_change()[0]
    return sizes


def sweep_parts(plan: RunPlan) -> None:
    """Remove the cached parts that are of no use."""
    sweep(ledger_path(plan.jobs[0].home).with_name(_CACHE))


class SurveyParts(StoredParts):
    """The parts of a survey, on disk.

    Args:
        rows: as for `surveyed`.
    """

    def __init__(self, plan: RunPlan, survey: Survey, rows: Rows) -> None:
        self._plan = plan
        self._survey = survey
        self._rows = rows
        self._places: list[tuple[Path | None, int, int]] = []
        self._uncached = SpilledParts()

    def __len__(self) -> int:
        return len(self._places)

    def read_part(self, index: int) -> bytes:
        """Return one part."""
        path, offset, size = self._places[index]
        if path is None:
            return self._uncached[offset]
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(size)

    def share(self) -> None:
        """Store the parts of all jobs in the state directory where they are not: processes that
        share a run thus read each shard once."""
        for job in rotated(self._plan.jobs):
            with suppress(*OUTPUT_ERRORS):  # raised again by `read`
                for path, alone in self._cached(job):
                    self._fill(path, alone)

    def lacks(self, job: Job) -> bool:
        """Return whether `share` would read the job."""
        return any(not is_current(path, _header(one)) for path, one in self._cached(job))

    def _cached(self, job: Job) -> list[tuple[Path, Job]]:
        """Return each input that is cached as a job, and the path of its parts."""
        paths = [(self._cache_path(source), source) for source in job.inputs]
        return [(path, replace(job, inputs=[source])) for path, source in paths if path]

    def read(self, job: Job) -> None:
        """Add the parts of a job.

        Raises:
            PrismError: as for `surveyed`.
        """
        if self._plan.options.limit is not None:
            self._read(job, None)
            return
        for source in job.inputs:
            self._read(replace(job, inputs=[source]), self._cache_path(source))

    def _read(self, job: Job, path: Path | None) -> None:
        if path is None:
            for part in self._parts(job):
                self._places.append((None, len(self._uncached), len(part)))
                self._uncached.append(part)
            return
        offset, end = self._fill(path, job), path.stat().st_size
        with path.open("rb") as stored:
            while offset < end:
                stored.seek(offset)
                size = int.from_bytes(stored.read(_NUMBER))
                self._places.append((path, offset + _NUMBER, size))
                offset += _NUMBER + size

    def _fill(self, path: Path, job: Job) -> int:
        """Write the parts of a job with one input to `path` unless they are there; return where
        they begin."""
        begin = _header(job)
        if not is_current(path, begin):
            with whole_file(path) as cache:
                cache.write(begin)
                for part in self._parts(job):
                    cache.write(packed(len(part)) + part)
        return len(begin)

    def _parts(self, job: Job) -> Iterator[bytes]:
        rows, seen = self._rows([job]), 0

        def some() -> Iterator[LocatedRow]:
            nonlocal seen
            for row in islice(rows, PART_ROWS):
                seen += 1
                yield row

        while True:
            seen = 0
            part = self._survey.read(some())
            if seen:
                yield part
            if seen < PART_ROWS:
                return

    @cached_property
    def _layout(self) -> bytes:
        """The part of no rows, which shows what a part holds, such as its columns."""
        return self._survey.read(())

    def _cache_path(self, source: Input) -> Path | None:
        """Return the path of the cached parts of an input; None if they are not cached."""
        if self._plan.options.limit is not None or not isinstance(source, Shard):
            return None
        if source.name == STDIN or source.path.is_dir():
            return None
        if source.size_and_change()[0] < _CACHED_BYTES:
            return None
        options = self._plan.options
        settings = [
            __version__,
            self._plan.stage.name,
            type(self._survey).__name__,
            self._layout,
            options.settings,
            [(str(path), *size_and_change(path)) for path in options.dependencies],
            str(source.path.resolve()),
            source.name,
        ]
        key = sha256(repr(settings).encode()).hexdigest()[:32]
        return state_directory(self._plan.jobs[0].home) / _CACHE / key


def _header(job: Job) -> bytes:
    """Return the beginning of the file of parts of a job with one input: a digest of the input's
    size and times, and its path."""
    (source,) = job.inputs
    assert isinstance(source, Shard)
    state: tuple[int | str, ...] = source.size_and_change()
    state += (source.version or source.path.stat().st_ctime_ns,)
    path = "" if source.version else os.path.abspath(source.path)
    return header(sha256(repr(state).encode()).digest(), path)
