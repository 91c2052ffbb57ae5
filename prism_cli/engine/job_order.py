"""Choice and order of the jobs of one process, of several that run the same command."""

import os
import platform
from collections.abc import Sequence
from hashlib import sha256

from prism_cli.engine.jobs import Job
from prism_cli.errors import UsageError


def jobs_of_process(jobs: Sequence[Job], part: tuple[int, int]) -> Sequence[Job]:
    """Return the jobs of this process, of several that run the same command.

    Args:
        part: (index of this process, number of processes).

    Raises:
        UsageError: more processes than outputs.
    """
    rank, size = part
    if size > len(jobs):
        raise UsageError(
            f"{size} processes and {len(jobs)} output{'s' * (len(jobs) != 1)}: each process works "
            f"outputs of its own. Name a directory of at least {size} shards, or start one process"
        )
    return jobs[rank::size]


def rotated(jobs: Sequence[Job]) -> list[Job]:
    """Return the jobs from another one on in each process, so that processes that share them begin
    at different ones."""
    me = f"{platform.node()} {os.getpid()}".encode()
    first = int.from_bytes(sha256(me).digest()[:8]) % max(1, len(jobs))
    return [*jobs[first:], *jobs[:first]]
