"""Agreement of ratings against worked numbers, sklearn and scipy."""

import random

import pytest

from prism_cli.domain.rating_agreement import compare_ratings, ordinal_alpha

# Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability", example C: four observers.
KRIPPENDORFF = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
    [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
]


def ratings(count: int, seed: int) -> tuple[list[int], list[int]]:
    lots = random.Random(seed)
    people = [lots.randint(1, 5) for _ in range(count)]
    return people, [min(5, max(1, rating + lots.choice([-2, -1, 0, 0, 0, 1]))) for rating in people]


@pytest.mark.parametrize("seed", range(5))
def test_kappa_and_rho_equal_those_of_libraries(seed: int) -> None:
    people, judge = ratings(40, seed)
    figures = compare_ratings(people, judge, resamples=200)
    metrics = pytest.importorskip("sklearn.metrics")
    stats = pytest.importorskip("scipy.stats")
    kappa = metrics.cohen_kappa_score(people, judge, weights="quadratic")
    assert figures["kappa"].value == pytest.approx(kappa)
    assert figures["spearman"].value == pytest.approx(stats.spearmanr(people, judge).statistic)
    apart = [abs(rating - other) for rating, other in zip(people, judge, strict=True)]
    assert figures["mean_absolute_difference"].value == pytest.approx(sum(apart) / 40)
    assert figures["same"].value == pytest.approx(apart.count(0) / 40)
    assert figures["within_one"].value == pytest.approx(
        sum(distance < 2 for distance in apart) / 40
    )
    assert figures["people_mean"].value == pytest.approx(sum(people) / 40)
    for figure in figures.values():
        assert figure.value is not None
        assert figure.low is not None
        assert figure.high is not None
        assert figure.low <= figure.value <= figure.high


def test_a_worked_kappa() -> None:
    # Observed squared differences 0, 1, 4, 0: mean 1.25. By chance the mean of (a - b)² over all
    # pairs of {1, 2, 3, 5} and {1, 3, 5, 5} is 5.5. Kappa is 1 - 1.25 / 5.5.
    figures = compare_ratings([1, 2, 3, 5], [1, 3, 5, 5], resamples=50)
    assert figures["kappa"].value == pytest.approx(1 - 1.25 / 5.5)


def test_alpha_equals_krippendorffs_example() -> None:
    rows = [list(row) for row in zip(*KRIPPENDORFF, strict=True)]
    alpha = ordinal_alpha(rows, resamples=500)
    assert alpha.value == pytest.approx(0.815, abs=5e-4)
    assert alpha.low is not None
    assert alpha.high is not None
    assert alpha.low < 0.815 < alpha.high <= 1


def test_undefined_figures_are_none() -> None:
    flat = compare_ratings([3, 3, 3], [3, 3, 3], resamples=20)
    assert (flat["kappa"].value, flat["spearman"].value) == (None, None)
    assert (flat["people_mean"].low, flat["people_mean"].high) == (None, None)
    assert compare_ratings([], [], resamples=20)["people_mean"].value is None
    assert ordinal_alpha([[3, 3], [3, 3]], resamples=20).value is None
    assert ordinal_alpha([[1, None], [None, 2]], resamples=20).value is None
    assert ordinal_alpha([], resamples=20).value is None


def test_intervals_are_reproducible() -> None:
    people, judge = ratings(30, 9)
    first, two = (compare_ratings(people, judge, seed=4, resamples=300) for _ in range(2))
    assert first == two
    assert first != compare_ratings(people, judge, seed=5, resamples=300)


def test_shares_of_nothing_and_all_have_wilsons_interval() -> None:
    found = compare_ratings([1, 2, 3, 4], [2, 3, 4, 5])
    assert (found["within_one"].value, found["within_one"].high) == (1, 1)
    assert found["within_one"].low == pytest.approx(0.5101, abs=1e-4)
    assert (found["same"].value, found["same"].low) == (0, 0)
    assert found["same"].high == pytest.approx(0.4899, abs=1e-4)
