"""Does the written folder score as the model did? Read back as other tools read it: by
transformers alone, prompts by the folder's own chat template."""

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
from prism_cli.exporting.pairs import compared_pairs
from prism_cli.modeling.encode import PromptEncoder
from prism_cli.modeling.loading import LoadedModel
from prism_cli.modeling.silence_warnings import silence_transformers

BOUNDS = {"float32": 1e-3, "bfloat16": 1.0, "float16": 0.25, "int8": 2.0}
"""Largest difference of a logit that rounding explains, several times what SmolLM2 shows (.016 in
bfloat16, .1 in int8), for trained models are further apart."""
LEAST_CORRELATION = 0.9
"""Of the logits, where they differ by more than a quarter of the bound."""


@dataclass(frozen=True)
class Shift:
    """How far an exported model is from the one it was made from, both computed in float32.

    Attributes:
        pairs: compared.
        largest, median: difference of the logits, without sign.
        rank_correlation: Spearman's rho of the logits, -1 to 1; None where all are the same.
    """

    pairs: int
    largest: float
    median: float
    rank_correlation: float | None


def logits_of(loaded: LoadedModel, spec: str) -> list[float]:
    """The logits of the compared pairs, as prism computes them."""
    runtime = TransformersReranker(loaded, spec)
    return [
        logit
        for query, documents in compared_pairs()
        for logit in runtime.logits([(query, document) for document in documents])
    ]


def collapse_of(logits: Sequence[float]) -> str | None:
    """Why a model that gave these logits of the compared pairs knows no relevance; None where it
    does: of each query the first document is relevant, the second is not.

    Args:
        logits: as `logits_of` gives them; the canary comes first.
    """
    canary = canary_warning("the exported model", canary_of(*logits[:2]))
    if canary is not None:
        return canary
    relevant = [place % 2 == 0 for place in range(len(logits))]
    ranks = RankAuc()
    for logit, known in zip(logits, relevant, strict=True):
        ranks.add(logit, known)
    auc, _ = ranks.figures()
    assert auc is not None  # of both kinds there are some
    found = collapse(logits, relevant, auc)
    return None if found is None else f"bundled questions with passages: {found}"


def compare(folder: Path, encoder: PromptEncoder, expected: Sequence[float], kind: str) -> Shift:
    """Hold `folder` against the logits of the model that it was made from.

    Args:
        encoder: of that model.
        kind: a key of BOUNDS.

    Raises:
        ModelError: it does not load, has weights missing or too many, renders other prompts, or
            scores differently beyond rounding.
    """
    model, tokenizer = _read_back(folder)
    found = []
    with torch.inference_mode():
        for query, documents in compared_pairs():
            for document in documents:
                ids = _rendered(tokenizer, query, document)
                if ids != encoder.ids(query, document):
                    raise ModelError(
                        f"{folder}: its chat template gives other tokens than the profile "
                        f"{encoder.profile.name}; nothing was published"
                    )
                logits = model(torch.tensor([ids]), logits_to_keep=1).logits[0, -1].float()
                found.append(float(logits[encoder.yes_id] - logits[encoder.no_id]))
    shift = _shift(expected, found)
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
    wrong = {what: sorted(report[what]) for what in ("missing_keys", "unexpected_keys")}
    if any(wrong.values()):
        raise ModelError(f"{folder}: written weights do not fit their config: {wrong}")
    return model.eval(), tokenizer


def _rendered(tokenizer: Any, query: str, document: str) -> list[int]:
    messages = [{"role": "query", "content": query}, {"role": "document", "content": document}]
    return list(
        tokenizer.apply_chat_template(messages, tokenize=True, return_dict=True)["input_ids"]
    )


def _shift(expected: Sequence[float], found: Sequence[float]) -> Shift:
    differences = [abs(one - other) for one, other in zip(expected, found, strict=True)]
    rho = None
    if len(set(expected)) > 1 and len(set(found)) > 1:
        from scipy.stats import spearmanr

        rho = float(spearmanr(expected, found).statistic)
    return Shift(len(found), max(differences), median(differences), rho)
