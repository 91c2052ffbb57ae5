"""Compare the scores of an exported folder with those of its model.

The folder is read as other tools read it: with transformers alone, and its own chat template.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from prism_cli.adapters.runtimes.canary import canary_of, canary_warning
from prism_cli.adapters.runtimes.transformers_runtime import TransformersReranker
from prism_cli.domain.dev_figures import collapse
from prism_cli.domain.ranks import RankAuc
from prism_cli.errors import ModelError
from prism_cli.exporting.comparison_pairs import comparison_pairs
from prism_cli.modeling.encode import PromptEncoder
from prism_cli.modeling.loading import LoadedModel
from prism_cli.modeling.silence_warnings import silence_transformers

BOUNDS = {"float32": 1e-3, "bfloat16": 1.0, "float16": 0.25, "int8": 2.0}
"""Maximum difference of a logit due to rounding, several times that of SmolLM2 (.016 in bfloat16,
.1 in int8), because trained models differ more."""
LEAST_CORRELATION = 0.9
"""Minimum rank correlation of the logits if they differ by more than a quarter of the bound."""


@dataclass(frozen=True)
class Shift:
    """Differences of an exported model from its source, both computed in float32.

    Attributes:
        pairs: number of compared pairs.
        largest, median: absolute difference of the logits.
        rank_correlation: Spearman's rho of the logits, in [-1, 1]; None if all are equal.
    """

    pairs: int
    largest: float
    median: float
    rank_correlation: float | None


def logits_of(loaded: LoadedModel, spec: str) -> list[float]:
    """Return prism's logits of the compared pairs."""
    runtime = TransformersReranker(loaded, spec)
    return [
        logit
        for query, documents in comparison_pairs()
        for logit in runtime.logits([(query, document) for document in documents])
    ]


def collapse_of(logits: Sequence[float]) -> str | None:
    """Return a warning if a model with these logits does not recognize relevance, else None.

    Args:
        logits: from `logits_of`, the canary first; of each query's two documents the first is
            relevant.
    """
    canary = canary_warning("the exported model", canary_of(*logits[:2]))
    if canary is not None:
        return canary
    relevant = [place % 2 == 0 for place in range(len(logits))]
    ranks = RankAuc()
    for logit, is_relevant in zip(logits, relevant, strict=True):
        ranks.add(logit, is_relevant)
    auc, _ = ranks.figures()
    assert auc is not None  # there are pairs of both kinds
    reason = collapse(logits, relevant, auc)
    return None if reason is None else f"bundled questions with passages: {reason}"


def compare(folder: Path, encoder: PromptEncoder, expected: Sequence[float], kind: str) -> Shift:
    """Compare `folder` with the logits of the model that it was made from.

    Args:
        encoder: of that model.
        kind: a key of BOUNDS.

    Raises:
        ModelError: it does not load, has missing or unexpected weights, renders other prompts, or
            its logits differ by more than rounding.
    """
    model, tokenizer = _read_back(folder)
    actual = []
    with torch.inference_mode():
        for query, documents in comparison_pairs():
            for document in documents:
                ids = _rendered(tokenizer, query, document)
                if ids != encoder.ids(query, document):
                    raise ModelError(
                        f"{folder}: its chat template gives other tokens than the profile "
                        f"{encoder.profile.name}; nothing was published"
                    )
                logits = model(torch.tensor([ids]), logits_to_keep=1).logits[0, -1].float()
                actual.append(float(logits[encoder.yes_id] - logits[encoder.no_id]))
    shift = _shift(expected, actual)
    rho = shift.rank_correlation
    shuffled = rho is not None and rho < LEAST_CORRELATION and shift.largest > BOUNDS[kind] / 4
    if not shift.largest <= BOUNDS[kind] or shuffled:
        raise ModelError(
            f"{folder}: scores differ from those of the model that it was made from: of "
            f"{shift.pairs} logits the largest difference is {shift.largest:.3g} (bound for {kind} "
            f"{BOUNDS[kind]:g}), rank correlation "
            f"{'none' if rho is None else format(rho, '.3f')}; nothing was published. "
            "Try --dtype float32"
        )
    return shift


def _read_back(folder: Path) -> tuple[Any, Any]:
    loader: Any = AutoModelForCausalLM
    with silence_transformers():
        tokenizer = AutoTokenizer.from_pretrained(folder)
        model, report = loader.from_pretrained(
            folder, dtype=torch.float32, use_safetensors=True, output_loading_info=True
        )
    problems = {name: sorted(report[name]) for name in ("missing_keys", "unexpected_keys")}
    if any(problems.values()):
        raise ModelError(f"{folder}: written weights do not fit their config: {problems}")
    return model.eval(), tokenizer


def _rendered(tokenizer: Any, query: str, document: str) -> list[int]:
    messages = [{"role": "query", "content": query}, {"role": "document", "content": document}]
    return list(
        tokenizer.apply_chat_template(messages, tokenize=True, return_dict=True)["input_ids"]
    )


def _shift(expected: Sequence[float], actual: Sequence[float]) -> Shift:
    differences = [abs(a - b) for a, b in zip(expected, actual, strict=True)]
    rho = None
    if len(set(expected)) > 1 and len(set(actual)) > 1:
        from scipy.stats import spearmanr

        rho = float(spearmanr(expected, actual).statistic)
    return Shift(len(actual), max(differences), median(differences), rho)
