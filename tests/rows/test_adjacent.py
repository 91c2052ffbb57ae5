"""Groups of adjacent rows, in bounded memory."""

import pytest

from prism_cli.rows import adjacent as module
from prism_cli.rows.adjacent import adjacent


def sizes(queries: str) -> list[int]:
    return [len(group) for group in adjacent({"query": one} for one in queries)]


def test_rows_of_a_query_that_stand_together_are_a_group() -> None:
    assert sizes("aabbba") == [2, 3, 1]
    assert sizes("") == []


def test_long_group_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_GROUP_ROWS", 2)
    assert sizes("aaaaab") == [2, 2, 1, 1]
