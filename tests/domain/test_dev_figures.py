"""Baselines and signs of a collapse, against worked numbers."""

import math
from itertools import permutations

import numpy as np
import pytest

from prism_cli.domain.dev_figures import (
    auc_interval,
    collapse,
    figures_in_words,
    random_ndcg,
)
from prism_cli.domain.metrics import query_values
from prism_cli.training.dev import area_under_curve


def auc_of(logits: list[float], relevant: list[bool]) -> float:
    return area_under_curve(np.array(logits), np.array(relevant))


RELEVANT = [True] * 10 + [False] * 30


@pytest.mark.parametrize(
    ("yes", "no", "warnings"),
    [
        ([3.0, 2.0], [-3.0, -2.0], []),
        ([-1.0, -2.0], [-5.0, -6.0], ["it says no to all of them"]),
        ([5.0, 6.0], [1.0, 2.0], ["it says yes to all of them"]),
        ([-9.2, -9.21], [-9.22, -9.23], ["says no to all", "logits are all but equal"]),
        ([-9.2, -9.2], [-9.2, -9.2], ["says no to all", "all but equal", "AUC of 0.500"]),
        ([1.0, -1.0], [1.0, -1.0], ["AUC of 0.500 (95 % 0.29"]),
        ([-2.0, -3.0], [2.0, 3.0], ["AUC of 0.000"]),
        ([0.03, 0.02], [-0.03, -0.02], ["logits are all but equal"]),
    ],
    ids=["good", "all-no", "all-yes", "margin", "same", "chance", "wrong-way", "near-zero"],
)
def test_signs_of_a_collapse(yes: list[float], no: list[float], warnings: list[str]) -> None:
    logits = yes * 5 + no * 15
    warning = collapse(logits, RELEVANT, auc_of(logits, RELEVANT))
    if not warnings:
        assert warning is None
        return
    assert warning is not None
    assert warning.startswith("the model may have collapsed: of 40 rows, 10 of them yes, ")
    assert all(expected in warning for expected in warnings)
    assert warning.count(" and ") == len(warnings) - 1


def test_labels_with_one_answer_are_no_sign_of_a_collapse() -> None:
    assert collapse([-1.0, -1.0], [True, True], math.nan) is None
    assert collapse([], [], math.nan) is None


def test_the_interval_of_an_auc() -> None:
    """Hanley and McNeil 1982, table II: 58 normal and 51 abnormal images, AUC .893, se .032."""
    low, high = auc_interval(0.893, 51, 58)
    assert (high - low) / (2 * 1.959964) == pytest.approx(0.032, abs=0.001)
    assert auc_interval(1.0, 3, 3) is auc_interval(0.0, 3, 3) is None
    low, high = auc_interval(0.5, 2, 2)
    assert (low, high) == (0.0, 1.0)


def test_the_ndcg_of_a_random_order_is_the_mean_over_all_orders() -> None:
    grades = [1, 0, 0, 1, 0]
    figures = []
    for order in permutations(range(5)):
        run = {"q": [(str(doc), float(-place)) for place, doc in enumerate(order)]}
        qrels = {"q": {str(doc): grade for doc, grade in enumerate(grades)}}
        figures.append(query_values(qrels, run, ["q"], ["nDCG@10"])["nDCG@10"][0])
    assert random_ndcg([grades, [0, 0]]) == pytest.approx(sum(figures) / len(figures))


def test_figures_have_their_baselines() -> None:
    figures = {
        "rows": 8, "verdict_accuracy": 0.8, "auc": 0.71, "auc_interval": [0.6, 0.82],
        "target_loss": 1.5, "baseline": {"verdict_accuracy": 0.75, "auc": 0.5}, "collapsed": "x",
    }  # fmt: skip
    assert figures_in_words(figures) == (
        "rows 8, right verdicts 0.8 (larger class 0.75), AUC 0.71 (chance 0.5, 95 % 0.6 to 0.82), "
        "target loss 1.5"
    )
