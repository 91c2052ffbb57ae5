"""Groups of rows as they stand, in bounded memory."""

from collections import Counter

import pytest

from prism_cli.rows import adjacent as module
from prism_cli.rows.adjacent import adjacent, once


def sizes(queries: str) -> list[int]:
    return [len(group) for group in adjacent({"query": one} for one in queries)]


def test_rows_of_a_query_that_stand_together_are_a_group() -> None:
    assert sizes("aabbba") == [2, 3, 1]
    assert sizes("") == []


def test_long_group_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_GROUP_ROWS", 2)
    assert sizes("aaaaab") == [2, 2, 1, 1]


def test_repeated_pair_comes_once_in_its_group_and_is_counted() -> None:
    rows = [{"query": q, "document": d, "source_label": "1"} for q, d in ("ax", "ax", "bx", "ax")]
    figures: Counter[str] = Counter()
    assert [row["query"] for row in once(iter(rows), figures)] == ["a", "b", "a"]
    assert figures == {"pairs that came before": 1}
