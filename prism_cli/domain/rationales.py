"""Evidence compared with the sentences that people marked: recall, precision, F1.

A marked sentence is recalled where at least half of its tokens occur in the evidence; a sentence of
the evidence is correct where at least half of its tokens occur in the marked ones. Tokens are
SQuAD's, counted with multiplicity. DeYoung et al. 2020 (ERASER) match spans in this way, at half of
the union; evidence is a rewrite, so here order and adjacency do not count.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from prism_cli.domain.sentences import sentences
from prism_cli.domain.squad_tokens import squad_tokens

ENOUGH = 0.5
"""Least share of a sentence's tokens for a match."""


@dataclass(frozen=True, slots=True)
class Match:
    """Shares from 0 to 1. F1 is their harmonic mean, 0 where both are 0."""

    recall: float
    precision: float
    f1: float


def rationale_match(evidence: str, marked: Sequence[Sequence[str]]) -> Match:
    """Compare the sentences of `evidence` with the marked ones.

    Args:
        evidence: all shares are 0 for a text without a sentence.
        marked: tokens of each marked sentence; at least one sentence, none empty.
    """
    written = [tokens for text in sentences(evidence) if (tokens := squad_tokens(text))]
    recall = _share(marked, Counter(squad_tokens(evidence)))
    precision = _share(written, Counter(token for tokens in marked for token in tokens))
    both = recall + precision
    return Match(recall, precision, 2 * recall * precision / both if both else 0.0)


def _share(parts: Sequence[Sequence[str]], pool: Counter[str]) -> float:
    """Return the share of `parts` with enough tokens in `pool`; 0 without parts."""
    hits = sum((Counter(tokens) & pool).total() >= ENOUGH * len(tokens) for tokens in parts)
    return hits / len(parts) if parts else 0.0
