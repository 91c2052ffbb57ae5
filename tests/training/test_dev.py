"""Figures of the dev rows, against numbers worked by hand."""

import math
from collections.abc import Sequence
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from prism_cli.configs.train import SELECTABLE, Select
from prism_cli.errors import ModelError
from prism_cli.modeling.losses import RowBatch
from prism_cli.training.data import COLUMNS, TokenizedRows
from prism_cli.training.dev import (
    area_under_curve,
    dev_metrics,
    selected_by,
    selection_value,
)


class Scripted(nn.Module):
    """Answers with the logit and the loss that the prompt's first token stands for."""

    def __init__(self, logits: Sequence[float], losses: Sequence[float] = ()) -> None:
        super().__init__()
        self.logits = logits
        self.losses = losses or [0.0] * len(logits)
        self.rows_seen = 0
        self.modes: list[bool] = []

    def forward(self, batch: RowBatch) -> tuple[Tensor, Tensor]:
        self.rows_seen += len(batch.verdict_at)
        self.modes.append(self.training)
        firsts = [int(one) for one in batch.ids[batch.layout.starts]]
        found = [[answers[one] for one in firsts] for answers in (self.logits, self.losses)]
        return torch.tensor(found[0]), torch.tensor(found[1])


def dev_rows(
    verdicts: Sequence[int],
    teacher: Sequence[float | None],
    queries: Sequence[str],
    targets: Sequence[Sequence[int]] = (),
) -> TokenizedRows:
    count = len(verdicts)
    records: dict[str, Any] = {
        "prompt": [[number] * (2 + 5 * number % 7) for number in range(count)],
        "target": list(targets) or [[] for _ in range(count)],
        "teacher_score": list(teacher),
        "verdict": list(verdicts),
        "pointwise": [score is not None for score in teacher],
        "sft": [bool(targets and targets[number]) for number in range(count)],
        "query_id": list(queries),
        "place": [f"dev.jsonl:{number + 1}" for number in range(count)],
        "pair": list(range(count)),
    }
    return TokenizedRows(datasets.Dataset.from_dict(records, features=COLUMNS), {})


def measured(forward: Scripted, rows: TokenizedRows, **more: Any) -> dict[str, Any] | None:
    return dev_metrics(forward, rows, 12, torch.device("cpu"), **more)  # type: ignore[arg-type]


def test_figures_worked_by_hand() -> None:
    """Query a: no (2.0), yes (1.0), no (-1.0): the yes is second, nDCG = 1 / log2(3).
    Query b: yes (0.0), no (-2.0): 1. Query c has no yes and is left out. Row 6 has no verdict.
    """
    logits = [2.0, 1.0, -1.0, 0.0, -2.0, 1.0, 5.0]
    verdicts = [0, 1, 0, 1, 0, 0, -1]
    teacher = [None, 0.5, None, 0.5, None, None, 1.0]
    rows = dev_rows(verdicts, teacher, ["a", "a", "a", "b", "b", "c", "b"])
    figures = measured(Scripted(logits), rows)
    assert figures is not None

    def sigmoid(logit: float) -> float:
        return 1 / (1 + math.exp(-logit))

    squares = [(sigmoid(1.0) - 0.5) ** 2, 0.0, (sigmoid(5.0) - 1) ** 2]
    assert figures.pop("score_mse") == pytest.approx(sum(squares) / 3)
    # Says yes above 0: wrong on rows 0 and 5 (no), and on row 3 (yes at exactly 0).
    assert figures.pop("verdict_accuracy") == pytest.approx(3 / 6)
    # Pairs of yes (1.0, 0.0) and no (2.0, -1.0, -2.0, 1.0): 2 wins and a tie, 2 wins, of 8.
    assert figures.pop("auc") == pytest.approx(4.5 / 8)
    assert figures.pop("nDCG@10") == pytest.approx((1 / math.log2(3) + 1) / 2)
    # Teacher .5, .5, 1; four of six say no; a random place of one yes in three, and in two.
    second, third = 1 / math.log2(3), 1 / 2
    assert figures.pop("baseline") == {
        "score_mse": pytest.approx(1 / 18),
        "verdict_accuracy": pytest.approx(4 / 6),
        "auc": 0.5,
        "nDCG@10": pytest.approx(((1 + second + third) / 3 + (1 + second) / 2) / 2),
    }
    low, high = figures.pop("auc_interval")
    assert 0 < low < 4.5 / 8 < high <= 1
    assert "its AUC of 0.562" in figures.pop("collapsed")
    assert figures == {"rows": 7}


def test_the_target_loss_is_that_of_rows_with_a_target() -> None:
    targets = [[1, 2, 3], [], [4]]
    rows = dev_rows([1, -1, 0], [None] * 3, ["a"] * 3, targets)
    figures = measured(Scripted([1.0, 0.0, -1.0], [2.0, 9.0, 0.5]), rows)
    assert figures is not None
    assert figures["target_loss"] == pytest.approx((2.0 + 0.5) / 2)


def test_what_the_rows_cannot_give_is_left_out() -> None:
    scored = measured(Scripted([0.0, 0.0]), dev_rows([-1, -1], [0.5, 0.0], ["a", "a"]))
    assert scored == {
        "rows": 2, "score_mse": pytest.approx(0.125), "baseline": {"score_mse": 0.0625}
    }  # fmt: skip
    one_sided = measured(Scripted([1.0, -1.0]), dev_rows([1, 1], [None, None], ["a", "a"]))
    assert one_sided == {
        "rows": 2, "verdict_accuracy": 0.5, "baseline": {"verdict_accuracy": 1.0}
    }  # fmt: skip


def test_every_row_is_scored_once_without_dropout_and_the_mode_is_put_back() -> None:
    forward = Scripted([0.0] * 600)
    forward.train()
    figures = measured(forward, dev_rows([0, 1] * 300, [0.5] * 600, ["a"] * 600))
    assert figures is not None
    assert forward.rows_seen == 600
    assert not any(forward.modes)
    assert forward.training


def test_extreme_logits_do_not_overflow() -> None:
    figures = measured(Scripted([1000.0, -1000.0]), dev_rows([1, 0], [1.0, 0.0], ["a", "a"]))
    assert figures is not None
    assert figures["score_mse"] == 0.0


@pytest.mark.parametrize("logit", [math.nan, math.inf])
def test_a_logit_that_is_no_number_is_told_with_its_row(logit: float) -> None:
    with pytest.raises(ModelError, match=r"dev\.jsonl:2: the logit of this dev row is (nan|inf)"):
        measured(Scripted([0.0, logit]), dev_rows([1, 0], [None, None], ["a", "a"]))


def test_a_stop_ends_the_measurement() -> None:
    forward = Scripted([0.0] * 50)
    forward.train()
    rows = dev_rows([0, 1] * 25, [None] * 50, ["a"] * 50)
    assert measured(forward, rows, stopping=lambda: forward.rows_seen > 10) is None
    assert forward.rows_seen < 50
    assert forward.training


@given(
    st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=1, max_size=20),
)
def test_auc_is_the_share_of_pairs_in_order(found: list[tuple[int, bool]]) -> None:
    scores = np.array([score for score, _ in found], dtype=float)
    relevant = np.array([yes for _, yes in found])
    pairs = [(a, b) for a in scores[relevant] for b in scores[~relevant]]
    auc = area_under_curve(scores, relevant)
    if not pairs:
        assert math.isnan(auc)
    else:
        wins = sum((a > b) + (a == b) / 2 for a, b in pairs)
        assert auc == pytest.approx(wins / len(pairs))


METRICS = {
    "auc": 0.8, "score_mse": 0.2, "target_loss": 2.0, "nDCG@10": 0.7, "verdict_accuracy": 0.6,
}  # fmt: skip


@pytest.mark.parametrize("select", SELECTABLE)
def test_the_best_is_best_at_what_was_chosen(select: Select) -> None:
    lower = select in ("score_mse", "target_loss")
    better = METRICS | {select: METRICS[select] + (-0.1 if lower else 0.1)}
    assert selection_value(better, select) > selection_value(METRICS, select)
    others = {name: 1 - value for name, value in METRICS.items() if name != select}
    same = others | {select: METRICS[select]}
    assert selection_value(same, select) == selection_value(METRICS, select)


def test_what_the_rows_cannot_give_falls_back() -> None:
    assert selected_by(METRICS, "nDCG@10") == "nDCG@10"
    assert selected_by({"score_mse": 0.1, "target_loss": 1.0}, "auc") == "score_mse"
    assert selected_by({"target_loss": 1.0, "verdict_accuracy": 1.0}, "nDCG@10") == "target_loss"
    assert selection_value({"score_mse": 0.1}, "auc") > selection_value({"score_mse": 0.2}, "auc")
