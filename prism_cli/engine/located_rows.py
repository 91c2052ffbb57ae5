"""Reading of jobs' rows before the main pass: each valid row with file and line."""

from collections.abc import Iterator, Mapping, Sequence

from prism_cli.engine.consistent_ids import row_reader
from prism_cli.engine.control import Control
from prism_cli.engine.jobs import Job, read_lines
from prism_cli.engine.stage import RowStage
from prism_cli.engine.survey import LocatedRow
from prism_cli.errors import RowError
from prism_cli.shards.file_digest import FileDigest


def well_formed_rows(
    stage: RowStage,
    jobs: Sequence[Job],
    fields: Mapping[str, str],
    limit: int | None,
    control: Control,
    measured: Mapping[str, FileDigest] | None = None,
) -> Iterator[LocatedRow]:
    """Yield the rows that are not rejected before the stage's `work`; at most `limit` of each job.

    Args:
        measured: digests that the inputs must still have.

    Raises:
        InterruptedRunError, LimitReachedError, MissingDataError, ChangedInputError.
    """
    for job in jobs:
        read = row_reader(stage, fields)
        lines = read_lines(job.inputs, measured or {}, limit, fields)
        for count, (file, line, raw) in enumerate(lines):
            if count % 1024 == 0:
                control.check()
            if not raw.strip():
                continue
            try:
                row = read(raw)
            except RowError:
                continue  # the main pass rejects it
            yield LocatedRow(file, line, row)
