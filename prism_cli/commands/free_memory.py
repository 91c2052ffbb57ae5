"""Memory that this process may take: what the machine has free, within its control groups."""

import os
from collections.abc import Iterator
from pathlib import Path

_LEAST = 64 << 20


def memory_budget(share: float = 0.5) -> int:
    """Return a share of the free memory in bytes, at least 64 MiB."""
    return max(int(free_memory() * share), _LEAST)


def free_memory(root: Path = Path("/")) -> int:
    """Return the free memory in bytes; where the system does not say, all memory.

    A control group, of a container or a SLURM job, may allow less than the machine has.

    Args:
        root: folder with proc/ and sys/.
    """
    numbers = _numbers(root / "proc/meminfo")
    free = numbers["MemAvailable:"] << 10 if "MemAvailable:" in numbers else _all_memory()
    return max(min([free, *_left_in_groups(root)]), 0)


def _left_in_groups(root: Path) -> Iterator[int]:
    """Yield what each control group of the process, of version 1 or 2, has left."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            top, limit, used = root / "sys/fs/cgroup/memory", "limit_in_bytes", "usage_in_bytes"
        elif not controllers:
            top, limit, used = root / "sys/fs/cgroup", "max", "current"
        else:
            continue
        folder = top / path.lstrip("/")
        for group in (folder, *folder.parents):
            if not group.is_relative_to(top):
                break
            try:
                most = int((group / f"memory.{limit}").read_text())
                taken = int((group / f"memory.{used}").read_text())
            except (OSError, ValueError):  # no limit, or no such group in this container
                continue
            statistics = _numbers(group / "memory.stat")
            cached = statistics.get("total_inactive_file", statistics.get("inactive_file", 0))
            yield most - taken + cached


def _numbers(path: Path) -> dict[str, int]:
    """Return the second word of each line by the first; {} without the file."""
    try:
        words = [line.split() for line in path.read_text().splitlines()]
    except OSError:
        return {}
    return {line[0]: int(line[1]) for line in words if len(line) > 1 and line[1].isdigit()}


def _all_memory() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
