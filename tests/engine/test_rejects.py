"""The limit on rejected rows."""

import pytest

from prism_cli.engine.rejects import too_many_rejects


@pytest.mark.parametrize("percent", range(1, 100))
def test_a_share_at_the_limit_is_allowed_and_one_row_more_is_not(percent: int) -> None:
    assert not too_many_rejects(percent, 100, percent / 100)
    assert too_many_rejects(percent + 1, 100, percent / 100)


def test_no_rows_are_not_too_many() -> None:
    assert not too_many_rejects(0, 0, 0.0)
