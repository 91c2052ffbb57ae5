"""Evaluation on the dev rows during training."""

from collections.abc import Callable, Mapping
from math import isfinite, isnan
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from prism_cli.configs.train import SELECTABLE, Select
from prism_cli.domain.dev_figures import auc_interval, collapse, random_ndcg
from prism_cli.domain.metrics import mean, query_values
from prism_cli.domain.scoring import relevance_score
from prism_cli.errors import ModelError
from prism_cli.modeling.losses import RowBatch, RowForward
from prism_cli.training.batches import token_batches
from prism_cli.training.data import TokenizedRows

_CHUNK_ROWS = 256


def dev_metrics(
    forward: RowForward,
    rows: TokenizedRows,
    tokens_per_batch: int,
    device: torch.device,
    stopping: Callable[[], bool] = lambda: False,
) -> dict[str, Any] | None:
    """Return figures over the dev rows; figures that the rows do not allow are omitted.

    rows: number of rows.

    baseline: the figures below for a model that knows nothing.

    collapsed: the reason, in a sentence, if the model may have collapsed (`domain/dev_figures.py`).

    score_mse: mean of (score - teacher_score)^2 over rows with a teacher score.
    verdict_accuracy, auc: over rows with a verdict; auc, with auc_interval, where both occur.
    nDCG@10: mean over queries with a yes; verdict yes is relevant.

    target_loss: mean over rows with a target of the mean cross-entropy of its tokens, in nats.

    Returns:
        None if `stopping` became true meanwhile.

    Raises:
        ModelError: a logit that is not a finite number; carries the row's place.
    """
    was_training = forward.training
    forward.eval()
    logits, losses = np.empty(len(rows)), np.full(len(rows), np.nan)
    for start in range(0, len(rows), _CHUNK_ROWS):
        numbers = list(range(start, min(start + _CHUNK_ROWS, len(rows))))
        drawn = rows.draws(numbers, [True] * len(numbers))
        number_of = {id(row): number for number, row in zip(numbers, drawn, strict=True)}
        for batch in token_batches(drawn, tokens_per_batch):
            if stopping():
                forward.train(was_training)
                return None
            with torch.inference_mode():
                outputs = torch.stack(forward(RowBatch.of(batch, device))).T.tolist()
            for row, (logit, loss) in zip(batch, outputs, strict=True):
                if not isfinite(logit + loss):
                    raise ModelError(
                        f"{row.place}: the logit of this dev row is {logit}, its target's loss "
                        f"{loss}; the weights cannot be used. Lower learning_rate"
                    )
                logits[number_of[id(row)]] = logit
                if row.target:
                    losses[number_of[id(row)]] = loss
    forward.train(was_training)
    return _figures(logits, losses, rows)


def selected_by(metrics: Mapping[str, Any], select: Select) -> Select:
    """Return the figure that selects the best model: `select`, else the first of SELECTABLE in
    `metrics`."""
    return next((name for name in (select, *SELECTABLE) if name in metrics), select)


def selection_value(metrics: Mapping[str, Any], select: Select) -> float:
    """Return the figure to maximize; errors and losses are negated."""
    name = selected_by(metrics, select)
    value = float(metrics.get(name, 0.0))
    return -value if name in ("score_mse", "target_loss") else value


def _figures(logits: NDArray[Any], losses: NDArray[Any], rows: TokenizedRows) -> dict[str, Any]:
    teacher = rows.column("teacher_score").astype(float)
    verdict = rows.column("verdict")
    figures: dict[str, Any] = {"rows": len(logits)}
    baseline: dict[str, float] = {}
    collapsed = None
    scored = ~np.isnan(teacher)
    if scored.any():
        score = np.array([relevance_score(logit) for logit in logits[scored].tolist()])
        figures["score_mse"] = float(np.mean((score - teacher[scored]) ** 2))
        baseline["score_mse"] = float(np.var(teacher[scored]))
    judged = verdict >= 0
    if judged.any():
        relevant = verdict[judged] == 1
        yes, no = int(relevant.sum()), int((~relevant).sum())
        figures["verdict_accuracy"] = float(np.mean((logits[judged] > 0) == relevant))
        baseline["verdict_accuracy"] = max(yes, no) / len(relevant)
        auc = area_under_curve(logits[judged], relevant)
        if not isnan(auc):
            figures["auc"] = auc
            if interval := auc_interval(auc, yes, no):
                figures["auc_interval"] = list(interval)
            baseline["auc"] = 0.5
            query_ids = rows.column("query_id")
            figures["nDCG@10"] = _ndcg(logits, verdict, query_ids)
            baseline["nDCG@10"] = random_ndcg(_grades(verdict, query_ids))
            collapsed = collapse(logits[judged].tolist(), relevant.tolist(), auc)
    if (has_target := ~np.isnan(losses)).any():
        figures["target_loss"] = float(np.mean(losses[has_target]))
    figures |= {"baseline": baseline} if baseline else {}
    return figures | ({"collapsed": collapsed} if collapsed else {})


def area_under_curve(scores: NDArray[Any], relevant: NDArray[Any]) -> float:
    """Return the probability that a relevant row scores higher than an irrelevant one.

    A tie counts one half; NaN without rows of both kinds. Source: Mann-Whitney U over the product
    of both counts.
    """
    from scipy.stats import rankdata

    yes = int(relevant.sum())
    no = len(relevant) - yes
    if not yes or not no:
        return float("nan")
    return float((rankdata(scores)[relevant].sum() - yes * (yes + 1) / 2) / (yes * no))


def _grades(verdict: NDArray[Any], query_ids: NDArray[Any]) -> list[list[int]]:
    grades: dict[str, list[int]] = {}
    for query, label in zip(query_ids, verdict.tolist(), strict=True):
        if label >= 0:
            grades.setdefault(query, []).append(label)
    return list(grades.values())


def _ndcg(logits: NDArray[Any], verdict: NDArray[Any], query_ids: NDArray[Any]) -> float:
    qrels: dict[str, dict[str, int]] = {}
    run: dict[str, list[tuple[str, float]]] = {}
    for number, (query, logit, label) in enumerate(zip(query_ids, logits, verdict, strict=True)):
        if label >= 0:
            qrels.setdefault(query, {})[str(number)] = int(label)
            run.setdefault(query, []).append((str(number), float(logit)))
    queries = [query for query, grades in qrels.items() if any(grades.values())]
    return mean(query_values(qrels, run, queries, ["nDCG@10"])["nDCG@10"])
