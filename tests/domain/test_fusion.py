"""Fused scores against values worked by hand."""

import math

import pytest

from prism_cli.domain.fusion import first_stage_values, fused_scores, fusion_of

LOGITS = [2.0, 0.0, -2.0, None]
FIRST = [10.0, 30.0, 20.0, 99.0]


def test_weighted_sum_scales_both_over_the_scored_documents() -> None:
    # logits: 1, 1/2, 0; first stage: 0, 1, 1/2
    assert fused_scores(LOGITS, FIRST, 0.25) == [0.75, 0.625, 0.125, None]


@pytest.mark.parametrize(("weight", "order"), [(0.0, [0, 1, 2]), (1.0, [1, 2, 0])])
def test_ends_of_the_range_are_one_of_the_two_orders(weight: float, order: list[int]) -> None:
    fused = fused_scores(LOGITS[:3], FIRST, weight)
    assert sorted(range(3), key=lambda place: -(fused[place] or 0)) == order


def test_reciprocal_ranks_are_summed() -> None:
    expected = [1 / 61 + 1 / 63, 1 / 62 + 1 / 61, 1 / 63 + 1 / 62]
    fused = fused_scores(LOGITS, FIRST, "rrf")
    assert fused[:3] == pytest.approx(expected, abs=1e-8)
    assert fused[3] is None


def test_equal_values_share_a_rank_and_a_scale() -> None:
    assert fused_scores([1.0, 1.0], [5.0, 5.0], 0.3) == [0.5, 0.5]
    assert fused_scores([1.0, 1.0, 0.0], [None, 5.0, 5.0], "rrf") == pytest.approx(
        [1 / 61, 2 / 61, 1 / 63 + 1 / 61], abs=1e-8
    )


def test_one_document_and_none_are_no_division_by_zero() -> None:
    assert fused_scores([3.0], [7.0], 0.5) == [0.5]
    assert fused_scores([], [], 0.5) == []
    assert fused_scores([None], [1.0], "rrf") == [None]


def test_document_that_the_first_stage_has_not_found_counts_as_its_last() -> None:
    assert fused_scores([0.0, 1.0, 0.0], [None, 1.0, 3.0], 0.5) == [0.0, 0.5, 0.5]


def test_ranks_take_the_place_of_scores_where_there_are_none() -> None:
    assert first_stage_values([None, None], [1, 2]) == [1 / 61, 1 / 62]
    assert first_stage_values([None, 0.5], [1, 2]) == [None, 0.5]
    ranks = first_stage_values([None, None, None], [1, 2, 3])
    middle = (1 / 62 - 1 / 63) / (1 / 61 - 1 / 63)
    assert fused_scores([0.0, 0.0, 0.0], ranks, 1.0) == pytest.approx([1.0, middle, 0.0], abs=1e-8)


@pytest.mark.parametrize("value", ["", "1.5", -0.1, "bm25", True, math.nan, [0.5]])
def test_other_settings_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match="0 to 1, or rrf"):
        fusion_of(value)


def test_settings_are_read_as_written() -> None:
    assert [fusion_of(value) for value in ("0.25", 1, "rrf", None)] == [0.25, 1.0, "rrf", None]
