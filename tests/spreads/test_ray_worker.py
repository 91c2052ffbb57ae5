"""When a worker ends itself."""

import pytest

from prism_cli.spreads.ray_worker import Orphan


@pytest.mark.parametrize(
    ("lost", "silent", "alone"),
    [(False, 1000, False), (True, 29, False), (True, 31, True)],
)
def test_a_worker_is_alone_without_head_and_command(lost: bool, silent: int, alone: bool) -> None:
    now = 0.0
    orphan = Orphan(lambda: lost, lambda: now)
    now = 500.0
    orphan.called()
    now += silent
    assert orphan.alone is alone
