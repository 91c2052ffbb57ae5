"""Agreement of judges, against worked numbers and another library."""

import random
from collections import Counter
from typing import Any

import pytest

from prism_cli.domain.agreement import (
    Alpha,
    PairAgreement,
    Pattern,
    effective_counts,
    krippendorff_alpha,
    pair_agreement,
    yes_rate,
)

# Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), examples A, B and C.
BINARY = ["0100000010", "1110010000"]
NOMINAL = ["aabbdcccedda", "babbbccceddd"]
MISSING = ["123321412...", "1233224125.3", ".3332342251.", "12332441251."]


def counted(judges: list[str]) -> Counter[Pattern]:
    """Count the patterns of judges' lines ("." is a missing vote)."""
    return Counter(
        tuple(None if vote == "." else vote for vote in row) for row in zip(*judges, strict=True)
    )


def simulated(rows: int, right: list[float], *, abstain: float = 0.0) -> Counter[Pattern]:
    dice = random.Random(7)
    patterns: Counter[Pattern] = Counter()
    for _ in range(rows):
        truth, false = dice.choice([("yes", "no"), ("no", "yes")])
        patterns[
            tuple(
                None if dice.random() < abstain else truth if dice.random() < odd else false
                for odd in right
            )
        ] += 1
    return patterns


@pytest.mark.parametrize(("judges", "alpha"), [(BINARY, 0.095), (NOMINAL, 0.692), (MISSING, 0.743)])
def test_alpha_of_published_examples(judges: list[str], alpha: float) -> None:
    assert krippendorff_alpha(counted(judges)).value == pytest.approx(alpha, abs=6e-4)


def test_rows_with_one_vote_do_not_count() -> None:
    judges = counted(MISSING)
    assert krippendorff_alpha(judges).rows == 11  # the twelfth has one vote
    more = judges + Counter({("5", None, None, None): 100, (None,) * 4: 50})
    assert krippendorff_alpha(more) == krippendorff_alpha(judges)


def test_kappa_equals_that_of_scikit_learn() -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    patterns = simulated(500, [0.9, 0.7, 0.5])
    rows = list(patterns.elements())
    for first, other in [(0, 1), (0, 2), (1, 2)]:
        theirs = sklearn.cohen_kappa_score(*([row[at] for row in rows] for at in (first, other)))
        agreement = pair_agreement(patterns, first, other)
        assert agreement.kappa == pytest.approx(theirs)
        assert agreement.share == sum(row[first] == row[other] for row in rows) / 500


def test_only_rows_where_both_voted_count_for_a_pair() -> None:
    patterns = Counter({("yes", "yes"): 20, ("yes", "no"): 5, ("no", "yes"): 10, ("no", "no"): 15})
    agreement = pair_agreement(patterns, 0, 1)
    assert (agreement.rows, agreement.share) == (50, 0.7)
    assert agreement.kappa == pytest.approx(0.4)  # the worked example of most textbooks
    patterns |= {("yes", None): 99, (None, "no"): 50}
    assert pair_agreement(patterns, 0, 1) == agreement
    assert yes_rate(patterns, 0) == (149, 124 / 149)
    assert yes_rate(patterns, 1) == (100, 0.3)


@pytest.mark.parametrize("patterns", [{}, {("yes", None): 4, (None, None): 1}])
def test_without_rows_of_two_votes_there_is_no_figure(patterns: Any) -> None:
    assert pair_agreement(patterns, 0, 1).kappa is None
    alpha = krippendorff_alpha(patterns)
    assert (alpha.rows, alpha.value, alpha.low) == (0, None, None)


def test_votes_that_never_vary_have_no_figure() -> None:
    patterns = {("yes", "yes"): 9}
    assert pair_agreement(patterns, 0, 1) == pair_agreement(patterns, 1, 0)
    assert pair_agreement(patterns, 0, 1).kappa is None
    assert pair_agreement(patterns, 0, 1).share == 1.0
    assert krippendorff_alpha(patterns).value is None
    assert yes_rate({(None,): 3}, 0) == (0, None)


@pytest.mark.parametrize(
    "patterns",
    [{("yes", "no"): 1}, {("yes", "yes"): 2, ("no", "no"): 1}, {("no", "yes"): 40}],
)
def test_where_all_resamples_are_equal_there_is_no_interval(patterns: Any) -> None:
    pair, alpha = pair_agreement(patterns, 0, 1), krippendorff_alpha(patterns)
    assert None not in (pair.kappa, alpha.value)
    assert (pair.low, pair.high, alpha.low, alpha.high) == (None,) * 4


def test_the_interval_contains_alpha_narrows_with_rows_and_is_reproducible() -> None:
    small, large = simulated(100, [0.9] * 5, abstain=0.1), simulated(10_000, [0.9] * 5)
    few, many = krippendorff_alpha(small), krippendorff_alpha(large)
    for size in (few, many):
        assert size.low
        assert size.value
        assert size.high
        assert size.low < size.value < size.high
    assert few.high - few.low > 5 * (many.high - many.low)  # type: ignore[operator]
    # Independent judges that are right in nine of ten: two agree in .82 of rows, by chance in .5.
    assert many.value == pytest.approx(0.64, abs=0.02)
    turned = Counter(dict(reversed(small.items())))
    assert krippendorff_alpha(turned) == few
    assert pair_agreement(turned, 0, 1) == pair_agreement(small, 0, 1)
    assert krippendorff_alpha(small, seed=1) != few


def test_the_interval_has_its_nominal_coverage() -> None:
    dice = random.Random(3)
    held = 0
    for _ in range(200):
        patterns: Counter[Pattern] = Counter()
        for _ in range(150):
            truth = dice.choice(["yes", "no"])
            other = {"yes": "no", "no": "yes"}[truth]
            patterns[tuple(truth if dice.random() < 0.9 else other for _ in range(3))] += 1
        alpha = krippendorff_alpha(patterns, resamples=400)
        assert alpha.low is not None
        assert alpha.high is not None
        held += alpha.low <= 0.64 <= alpha.high
    assert 0.89 <= held / 200 <= 0.99


def test_the_interval_of_kappa_has_its_nominal_coverage() -> None:
    """Two judges, each right in nine of ten, on 100 rows: kappa .64."""
    dice = random.Random(5)
    held = chance = 0
    for _ in range(200):
        patterns: Counter[Pattern] = Counter()
        for _ in range(100):
            truth = dice.choice(["yes", "no"])
            other = {"yes": "no", "no": "yes"}[truth]
            two = [truth if dice.random() < 0.9 else other for _ in range(2)]
            patterns[*two, dice.choice(["yes", "no"])] += 1
        agreement = pair_agreement(patterns, 0, 1, resamples=400)
        assert agreement.low is not None
        assert agreement.high is not None
        held += agreement.low <= 0.64 <= agreement.high
        lot = pair_agreement(patterns, 0, 2, resamples=400)
        chance += lot.in_words == "no better than chance"
        assert agreement.in_words in ("moderate", "substantial", "almost perfect")
    assert 0.89 <= held / 200 <= 0.99
    assert 0.94 <= chance / 200 <= 1.0


@pytest.mark.parametrize(
    ("kappa", "low", "rows", "words"),
    [
        (0.9, 0.8, 29, "too few rows to tell"),
        (None, None, 0, "too few rows to tell"),
        (None, None, 60, "always the same vote"),
        (0.3, -0.01, 60, "no better than chance"),
        (-0.3, -0.5, 60, "no better than chance"),
        (0.15, 0.1, 600, "slight"),
        (0.3, 0.1, 60, "fair"),
        (0.5, 0.1, 60, "moderate"),
        (0.7, 0.1, 60, "substantial"),
        (0.85, 0.1, 60, "almost perfect"),
        (1.0, None, 60, "almost perfect"),
        (0.0, None, 60, "no better than chance"),
    ],
)
def test_labels_of_kappa(kappa: float | None, low: float | None, rows: int, words: str) -> None:
    assert PairAgreement(rows, None, kappa, low).in_words == words


@pytest.mark.parametrize(
    ("alpha", "words"),
    [(None, "cannot be told"), (0.3, "unreliable"), (0.7, "for tentative conclusions"),
     (0.8, "reliable")],
)  # fmt: skip
def test_labels_of_alpha(alpha: float | None, words: str) -> None:
    assert Alpha(60, alpha, None, None).in_words == words


def test_alpha_of_few_rows_has_no_label() -> None:
    assert Alpha(29, 0.95, 0.9, 1.0).in_words == "too few rows to tell"
    assert Alpha(30, 0.95, 0.9, 1.0).in_words == "reliable"


def test_rows_that_were_drawn_with_different_shares_count_by_what_they_stand_for() -> None:
    counts = {(0.25, "yes"): 60, (0.25, "no"): 15, (0.03, "yes"): 60, (0.03, "no"): 240}
    found = effective_counts(counts)
    assert found["yes"] / sum(found.values()) == pytest.approx((240 + 2000) / (300 + 10_000))
    squares = 75 * 4**2 + 300 / 0.03**2
    assert sum(found.values()) == pytest.approx((300 + 10_000) ** 2 / squares)
    assert effective_counts({(0.25, "yes"): 60, (0.25, "no"): 15}) == {"yes": 60, "no": 15}
    assert effective_counts({(0.25, "yes"): 60, (None, "yes"): 15}) == {"yes": 75}
    assert effective_counts({}) == {}
