"""Batches of prompts."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from prism_cli.adapters.runtimes.batch_plan import PREFIX_TOKENS, plan_batches, plan_prefixes

ROWS = st.lists(st.tuples(st.integers(0, 6), st.integers(1, 400)), max_size=60)


@given(ROWS, st.integers(1, 1000), st.booleans())
def test_plan_is_a_permutation_within_the_budget(
    rows: list[tuple[int, int]], budget: int, equal: bool
) -> None:
    queries, lengths = [q for q, _ in rows], [n for _, n in rows]
    batches = plan_batches(queries, [100] * len(rows), lengths, budget, equal_lengths=equal)
    assert sorted(index for batch in batches for index in batch) == list(range(len(rows)))
    for batch in batches:
        longest = max(lengths[index] for index in batch)
        assert len(batch) == 1 or len(batch) * longest <= budget
        assert not equal or len({lengths[index] for index in batch}) == 1


@given(ROWS)
def test_rows_of_a_query_are_adjacent_in_a_batch(rows: list[tuple[int, int]]) -> None:
    queries = [q for q, _ in rows]
    for batch in plan_batches(queries, [1] * len(rows), [n for _, n in rows], 2000):
        changes = sum(queries[a] != queries[b] for a, b in pairwise(batch))
        assert changes == len({queries[index] for index in batch}) - 1


def test_prefixes_of_a_chunk_fit_the_cache() -> None:
    queries = [number // 2 for number in range(100)]
    prefix = PREFIX_TOKENS // 4
    batches = plan_batches(queries, [prefix] * 100, [1] * 100, 100_000)
    assert [len({queries[index] for index in batch}) for batch in batches] == [4] * 12 + [2]


def test_lengths_within_a_batch_are_close() -> None:
    lengths = [10, 500, 11, 490, 12, 480]
    batches = plan_batches(["q"] * 6, [9] * 6, lengths, 1500)
    assert batches == [[1, 3, 5], [0, 2, 4]]


def test_short_tails_after_a_long_prefix_are_split_into_batches() -> None:
    batches = plan_batches(["q"] * 100, [990] * 100, [10] * 100, 1000)
    assert [len(batch) for batch in batches] == [4] * 25


@given(ROWS, st.integers(1, 1000))
def test_prefixes_are_each_in_one_group_within_the_budget(
    rows: list[tuple[int, int]], budget: int
) -> None:
    queries = [q for q, _ in rows]
    lengths = [20 + 30 * q for q in queries]
    groups = plan_prefixes(queries, lengths, 20, budget)
    assert sorted(queries[row] for group in groups for row in group) == sorted(set(queries))
    for group in groups:
        assert len(group) == 1 or len(group) * max(lengths[r] - 20 for r in group) <= budget


def test_prefixes_of_different_chunks_are_computed_apart() -> None:
    prefix = PREFIX_TOKENS // 2
    groups = plan_prefixes(list("aabbcc"), [prefix] * 6, prefix - 1, 100)
    assert groups == [[0, 2], [4]]
