"""The panel's voting rules."""

from collections.abc import Sequence
from itertools import permutations, product
from math import fsum, prod
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_cli.domain.voting import (
    Poll,
    label_vote,
    majority,
    reach_probabilities,
    score_probability,
)

VOTES = st.lists(st.sampled_from(["yes", "no", None]), min_size=1, max_size=7)


def stopped(votes: list[Any]) -> Poll:
    """Ask judges in turn, and stop as the stage does."""
    poll = Poll(len(votes))
    for number, vote in enumerate(votes):
        if poll.settled:
            break
        poll.add(str(number), vote)
    return poll


def full_panel_verdict(votes: Sequence[Any]) -> Any:
    """Return the verdict of a panel whose judges were all asked."""
    poll = Poll(len(votes))
    for number, vote in enumerate(votes):
        poll.add(str(number), vote)
    return poll.verdict


def expected_judgements(probabilities: Sequence[float]) -> float:
    return fsum(reach_probabilities(probabilities))


@given(VOTES)
def test_early_stop_never_changes_the_verdict(votes: list[Any]) -> None:
    assert stopped(votes).verdict == full_panel_verdict(votes)


@given(VOTES, st.randoms(use_true_random=False))
def test_verdict_of_a_full_panel_does_not_depend_on_order(votes: list[Any], lot: Any) -> None:
    shuffled = list(votes)
    lot.shuffle(shuffled)
    assert full_panel_verdict(shuffled) == full_panel_verdict(votes)


@given(VOTES)
def test_panel_stops_as_soon_as_it_can(votes: list[Any]) -> None:
    """Before the last requested vote, some continuation would have changed the outcome."""
    poll = stopped(votes)
    calls = len(poll.votes) + poll.abstentions
    before, left = votes[: calls - 1], len(votes) - calls + 1
    outcomes = {full_panel_verdict([*before, *[vote] * left]) for vote in ("yes", "no", None)}
    assert len(outcomes) > 1


@given(VOTES)
def test_verdict_needs_more_than_half_of_the_size(votes: list[Any]) -> None:
    for vote in ("yes", "no"):
        assert (full_panel_verdict(votes) == vote) == (2 * votes.count(vote) > len(votes))


@given(VOTES)
def test_agreement_is_the_share_of_votes_cast(votes: list[Any]) -> None:
    poll = stopped(votes)
    if poll.verdict is None:
        assert poll.agreement_with(poll.verdict) is None
    else:
        cast = list(poll.votes.values())
        assert poll.agreement_with(poll.verdict) == cast.count(poll.verdict) / len(cast)
        assert poll.agreement_with(poll.verdict) > 0.5


@given(st.lists(st.floats(0, 1), min_size=1, max_size=7))
def test_expected_judgements_equal_the_enumeration_of_votes(probabilities: list[float]) -> None:
    enumerated = sum(
        prod(
            odd if vote == "yes" else 1 - odd
            for odd, vote in zip(probabilities, votes, strict=True)
        )
        * len(stopped(list(votes)).votes)
        for votes in product(["yes", "no"], repeat=len(probabilities))
    )
    assert expected_judgements(probabilities) == pytest.approx(enumerated)


def test_expected_judgements_of_known_panels() -> None:
    assert expected_judgements([1.0] * 5) == 3
    assert expected_judgements([0.5] * 5) == 3 * 1 / 4 + 4 * 3 / 8 + 5 * 3 / 8
    assert expected_judgements([0.9, 0.9]) == 2  # the first vote never decides alone
    assert expected_judgements([]) == 0
    probabilities = [0.9, 0.8, 0.7, 0.6, 0.5]
    assert expected_judgements(probabilities) == pytest.approx(
        expected_judgements([1 - p for p in probabilities])
    )


def test_third_matching_vote_of_five_stops_the_panel() -> None:
    poll = stopped(["yes", "no", "yes", "yes", "no"])
    assert (len(poll.votes), poll.verdict, poll.agreement_with(poll.verdict)) == (4, "yes", 0.75)
    assert len(stopped(["no", "no", "no", "yes", "yes"]).votes) == 3


def test_third_abstention_of_five_puts_a_verdict_out_of_reach() -> None:
    poll = stopped([None, None, None, "yes", "yes"])
    assert (poll.verdict, poll.votes, poll.abstentions) == (None, {}, 3)


def test_two_judges_that_differ_leave_a_row_undecided() -> None:
    for votes in permutations(["yes", "no"]):
        assert full_panel_verdict(votes) is None


@pytest.mark.parametrize(("size", "needed"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3)])
def test_majority(size: int, needed: int) -> None:
    assert majority(size) == needed


@pytest.mark.parametrize(
    ("label", "grade", "vote"),
    [
        ("1", 1, "yes"),
        ("0", 1, "no"),
        ("-1", 1, "no"),
        ("1", 2, "no"),
        ("2", 2, "yes"),
        (" 2.0 ", 2, "yes"),
        (".5", 0.5, "yes"),
        (1, 1, "yes"),
        (0, 1, "no"),
        (1.5, 2, "no"),
        (True, 2, "yes"),
        (False, 1, "no"),
        ("Yes", 3, "yes"),
        ("NO", 1, "no"),
        ("true", 1, "yes"),
        ("", 1, None),
        (" ", 1, None),
        (None, 1, None),
    ],
)
def test_label_as_a_vote(label: Any, grade: float, vote: str | None) -> None:
    assert label_vote(label, grade) == vote


@pytest.mark.parametrize("label", ["maybe", "nan", "inf", "1e3x", "٣", "１", "1_0", [1], {}])
def test_a_label_without_a_meaning_is_an_error(label: Any) -> None:
    with pytest.raises(ValueError, match="expected a grade, yes or no"):
        label_vote(label)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0.01, 0.99))
def test_a_score_becomes_a_probability_that_votes_alike(
    one_score: float, other: float, threshold: float
) -> None:
    first, second = (score_probability(score, threshold) for score in sorted((one_score, other)))
    assert 0 <= first <= second <= 1
    # The slope is bounded everywhere: no jump, not even at the threshold.
    steepest = 0.5 / min(threshold, 1 - threshold)
    assert second - first <= steepest * abs(one_score - other) + 1e-12
    ends = [score_probability(score, threshold) for score in (0.0, threshold, 1.0)]
    assert ends == pytest.approx([0, 0.5, 1])
    assert score_probability(one_score, 0.5) == pytest.approx(one_score)


def test_a_threshold_of_zero_accepts_every_positive_score() -> None:
    assert [score_probability(score, 0) for score in (0, 0.5, 1)] == [0.5, 0.75, 1]
