"""Evidence against the sentences that people marked: recall, precision, F1.

A marked sentence is recalled where at least half of its tokens stand in the evidence; a sentence of
the evidence is right where at least half of its tokens stand in the marked ones. Tokens are SQuAD's
and count as often as they stand. DeYoung et al. 2020 (ERASER) match spans so, at half of the union;
evidence is a rewrite, so here order and neighbours do not count.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from prism_cli.domain.sentences import sentences
from prism_cli.domain.squad_tokens import squad_tokens

ENOUGH = 0.5
"""Of a sentence's tokens."""


@dataclass(frozen=True, slots=True)
class Match:
    """Shares from 0 to 1. F1 is their harmonic mean, 0 where both are 0."""

    recall: float
    precision: float
    f1: float


def rationale_match(evidence: str, marked: Sequence[Sequence[str]]) -> Match:
    """How the sentences of `evidence` and the marked ones meet.

    Args:
        evidence: without a sentence: all shares are 0.
        marked: tokens of each marked sentence; at least one, none empty.
    """
    written = [tokens for one in sentences(evidence) if (tokens := squad_tokens(one))]
    recall = _share(marked, Counter(squad_tokens(evidence)))
    precision = _share(written, Counter(token for one in marked for token in one))
    both = recall + precision
    return Match(recall, precision, 2 * recall * precision / both if both else 0.0)


def _share(parts: Sequence[Sequence[str]], pool: Counter[str]) -> float:
    """Of `parts`, those with enough tokens in `pool`; 0 of none."""
    hits = sum((Counter(one) & pool).total() >= ENOUGH * len(one) for one in parts)
    return hits / len(parts) if parts else 0.0
