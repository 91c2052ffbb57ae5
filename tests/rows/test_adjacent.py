"""Groups of adjacent rows, in bounded memory."""

import pytest

from prism_cli.rows import adjacent as module
from prism_cli.rows.adjacent import adjacent


def sizes(queries: str) -> list[int]:
    return [len(group) for group in adjacent({"query": query} for query in queries)]


def test_adjacent_rows_of_a_query_are_a_group() -> None:
    assert sizes("aabbba") == [2, 3, 1]
    assert sizes("") == []


def test_a_long_group_is_split(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_GROUP_ROWS", 2)
    assert sizes("aaaaab") == [2, 2, 1, 1]
