"""A step's rows, and how they are split into passes."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_cli.domain.mixture import Draws, draw_rows
from prism_cli.modeling.losses import TokenizedRow
from prism_cli.training.batches import (
    StepDataset,
    assign_to_ranks,
    even_batches,
    passes_of_rank,
    token_batches,
)
from tests.training.arrow import rows_on_disk

LENGTHS = st.lists(st.tuples(st.integers(1, 60), st.integers(0, 30)), max_size=24)


def rows_of(lengths: list[tuple[int, int]]) -> list[TokenizedRow]:
    return [
        TokenizedRow([1] * prompt, [2] * target, 0.5, True, f"a:{number}")
        for number, (prompt, target) in enumerate(lengths)
    ]


@given(LENGTHS, st.integers(1, 400))
def test_batches_are_a_permutation_within_the_budget(
    lengths: list[tuple[int, int]], budget: int
) -> None:
    rows = rows_of(lengths)
    batches = token_batches(rows, budget)
    places = [row.place for some in batches for row in some]
    assert sorted(places) == sorted(row.place for row in rows)
    for some in batches:
        padded = max(row.tokens for row in some) * len(some)
        assert padded <= budget or len(some) == 1
    widths = [row.tokens for some in batches for row in some]
    assert widths == sorted(widths, reverse=True)
    assert token_batches(rows, budget) == batches


@given(LENGTHS, st.integers(1, 400))
def test_batches_of_like_rows_have_little_padding(
    lengths: list[tuple[int, int]], budget: int
) -> None:
    rows = rows_of(lengths)
    batches = token_batches(rows, budget, similarity=0.8)
    assert sorted(row.place for some in batches for row in some) == sorted(
        row.place for row in rows
    )
    for some in batches:
        padded = some[0].tokens * len(some)
        assert padded <= budget or len(some) == 1
        assert sum(row.tokens for row in some) >= 0.8 * padded


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=32), st.integers(1, 8))
def test_rows_are_dealt_once_and_evenly(tokens: list[int], hands: int) -> None:
    dealt = assign_to_ranks(tokens, hands)
    assert sorted(row for hand in dealt for row in hand) == list(range(len(tokens)))
    if len(tokens) >= hands:
        assert all(dealt)
    held = [sum(tokens[row] for row in hand) for hand in dealt]
    # Whoever has the most took the last row when no one had less.
    most = held.index(max(held))
    if dealt[most]:
        assert held[most] - min(tokens[row] for row in dealt[most]) <= min(held)
    assert assign_to_ranks(tokens, hands) == dealt


@given(LENGTHS, st.integers(1, 400))
def test_a_batch_is_closed_only_when_the_next_row_does_not_fit(
    lengths: list[tuple[int, int]], budget: int
) -> None:
    batches = token_batches(rows_of(lengths), budget)
    for some, following in pairwise(batches):
        assert following
        assert some[0].tokens * (len(some) + 1) > budget


@given(LENGTHS, st.integers(1, 400), st.sampled_from([0.0, 0.8]))
def test_even_batches_are_a_power_of_two_or_the_rows(
    lengths: list[tuple[int, int]], budget: int, similarity: float
) -> None:
    rows = rows_of(lengths)
    fewest = len(token_batches(rows, budget, similarity))
    batches = even_batches(rows, budget, similarity)
    assert sorted(row.place for batch in batches for row in batch) == sorted(
        row.place for row in rows
    )
    assert len(batches) in ({0} if not rows else {1, 2, 4, 8, 16, len(rows)})
    assert fewest <= len(batches) <= 2 * fewest
    for batch in batches:
        assert max(row.tokens for row in batch) * len(batch) <= budget or len(batch) == 1


def test_even_batches_are_even() -> None:
    rows = rows_of([(10, 0)] * 12)
    assert [len(batch) for batch in even_batches(rows, 100)] == [6, 6], "not 10 and 2"
    assert [len(batch) for batch in even_batches(rows, 50)] == [3, 3, 3, 3], "not 5, 5 and 2"


@given(LENGTHS, st.integers(1, 400), st.sampled_from([0.0, 0.8]), st.integers(1, 5))
def test_processes_share_a_step(
    lengths: list[tuple[int, int]], budget: int, similarity: float, processes: int
) -> None:
    rows = rows_of(lengths)
    whole = passes_of_rank(rows, budget, similarity, 0, 1)
    parts = [
        one
        for rank in range(processes)
        for one in passes_of_rank(rows, budget, similarity, rank, processes)
    ]
    assert sorted(row.place for one in parts for row in one.rows) == sorted(
        row.place for row in rows
    )
    assert len({one.number for one in parts}) == len(parts)
    if len(whole) % processes == 0:
        assert sorted(parts, key=lambda one: one.number) == whole, "the passes of one process"


def test_a_step_is_its_span_of_the_draws() -> None:
    rows = rows_on_disk(12)
    draws = draw_rows(rows.pools, 0.5, "mixed", 0, 20)
    found = [row.place for step in range(4) for row in StepDataset(rows, draws, 5)[step]]
    assert found == [f"rows.jsonl:{number}" for number in draws.rows]


def test_draws_of_the_pointwise_pool_have_that_objective_alone() -> None:
    rows = rows_on_disk(12)
    both = [number for number in rows.pools.sft if number in set(rows.pools.pointwise)]
    number = both[0]
    draws = Draws(np.array([number, number]), np.array([True, False]))
    own, scored = StepDataset(rows, draws, 2)[0]
    assert own.target
    assert own.pointwise
    assert not scored.target
    assert scored.pointwise
    assert own.teacher_score == scored.teacher_score == pytest.approx(number / 100)


def test_a_row_without_score_teaches_its_text_alone() -> None:
    rows = rows_on_disk(12)
    unscored = set(rows.pools.sft) - set(rows.pools.pointwise)
    (row,) = rows.draws([min(unscored)], [True])
    assert row.target
    assert not row.pointwise
    assert row.teacher_score == 0.0
