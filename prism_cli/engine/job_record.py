"""The run record of a job."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from prism_cli.engine.heartbeat import take_killed_seconds
from prism_cli.engine.jobs import Job
from prism_cli.engine.output_files import SIDE_KINDS, side_path
from prism_cli.engine.shard import WINDOW_BYTES, WINDOW_ROWS
from prism_cli.shards.reader import Shard
from prism_cli.shards.run_record import RunRecord


def job_record(
    job: Job,
    stage: str,
    config: Mapping[str, Any],
    dependencies: Sequence[Path] = (),
    also: Sequence[Path] = (),
    *,
    guarded: bool = True,
) -> RunRecord:
    """Return the run record of a job; arguments as for `RunRecord`."""
    return RunRecord(
        stage,
        config,
        job.record_path,
        job.manifest_path,
        inputs=job.inputs,
        dependencies=dependencies,
        outputs=list((job.outputs or {}).values()),
        side_files=[side_path(job.record_path, kind) for kind in SIDE_KINDS],
        also=also,
        batch_plan={"window_rows": WINDOW_ROWS, "window_bytes": WINDOW_BYTES},
        killed_seconds=partial(take_killed_seconds, job.record_path),
        guarded=guarded,
    )


def count_lines(record: RunRecord, limit: int | None = None) -> int | None:
    """Return the approximate number of lines of all inputs, at most `limit`; None if that would
    require reading them."""
    shards = [source for source in record.inputs if isinstance(source, Shard)]
    if len(shards) < len(record.inputs) or any(
        shard.packed or shard.format != "lines" for shard in shards
    ):
        return None
    lines = sum(record.digests[shard.name].line_ends for shard in shards)
    return lines if limit is None else min(lines, limit)
