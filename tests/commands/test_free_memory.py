"""Free memory of the machine and of its control groups."""

from pathlib import Path

import pytest

from prism_cli.commands.free_memory import free_memory, memory_budget


def machine(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


FREE = {"proc/meminfo": "MemTotal:  9000 kB\nMemAvailable:   4000 kB\n"}
TWO = {
    "proc/self/cgroup": "0::/slurm/job_7/step_0\n",
    "sys/fs/cgroup/slurm/memory.max": "max\n",
    "sys/fs/cgroup/slurm/job_7/memory.max": "3000000\n",
    "sys/fs/cgroup/slurm/job_7/memory.current": "1500000\n",
    "sys/fs/cgroup/slurm/job_7/memory.stat": "anon 5\ninactive_file 500000\n",
}
ONE = {
    "proc/self/cgroup": "5:cpu,cpuacct:/a\n4:memory:/a/b\n",
    "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "1000000\n",
    "sys/fs/cgroup/memory/a/memory.usage_in_bytes": "400000\n",
}
OUTSIDE = {
    "proc/self/cgroup": "0::/../host\n",
    "sys/fs/cgroup/memory.max": "800",
    "sys/fs/cgroup/memory.current": "900",
}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        pytest.param({}, 4_096_000, id="no groups"),
        pytest.param(TWO, 2_000_000, id="version 2, limit of a parent"),
        pytest.param(ONE, 600_000, id="version 1"),
        pytest.param(OUTSIDE, 0, id="over its limit"),
    ],
)
def test_the_smallest_limit_counts(tmp_path: Path, files: dict[str, str], expected: int) -> None:
    assert free_memory(machine(tmp_path, FREE | files)) == expected


def test_a_system_without_figures_has_all_its_memory(tmp_path: Path) -> None:
    assert free_memory(tmp_path) > 64 << 20


def test_the_budget_is_a_share_of_what_is_free() -> None:
    assert memory_budget(1e-12) == 64 << 20
    assert memory_budget() >= 64 << 20
