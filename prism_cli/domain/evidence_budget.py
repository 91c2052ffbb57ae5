"""Who gets evidence: the rule over the documents of one query, best first.

A text is paid for by whoever reads it, so it is written for those alone that may have one, and what
does not fit into the budget is not handed out.
"""

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass

from prism_cli.errors import ArgumentError

THRESHOLD, EVIDENCE_TOP, MAX_EVIDENCE_TOKENS = "threshold", "evidence_top", "max_evidence_tokens"
"""Why a document has no text: the option that left it out; the first of them that does."""
SCATTERED = "scattered"
"""The same: its query's rows do not stand together, so that no budget can be kept."""
BLANK = "blank"
"""The same: there is nothing in the document to write about."""
FIRST_TOKENS = 150
"""What a text is thought to take before any of its query is written: the paper's median, about."""


@dataclass(frozen=True, slots=True)
class RankOptions:
    """What is wanted of the documents of a query.

    Attributes:
        evidence: whether contribution and evidence are written at all.
        max_new_tokens: of one text, at the most.
        top_n: documents that are kept, the best; None for all.
        evidence_top: documents, the best, that get evidence.
        threshold: score in [0, 1] above which a document gets evidence.
        max_evidence_tokens: of all texts of the query together, in the model's own tokens.

    Raises:
        ArgumentError: a number out of its range.
    """

    evidence: bool = True
    max_new_tokens: int = 512
    top_n: int | None = None
    evidence_top: int | None = None
    threshold: float = 0.5
    max_evidence_tokens: int | None = None

    def __post_init__(self) -> None:
        for name in ("max_new_tokens", "top_n", "evidence_top", "max_evidence_tokens"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ArgumentError(f"{name}: expected 1 or more, found {value}")
        if not 0 <= self.threshold <= 1:
            raise ArgumentError(f"threshold: expected 0 to 1, found {self.threshold}")

    @property
    def cut(self) -> float:
        """The logit of `threshold`."""
        if self.threshold in (0, 1):
            return math.inf if self.threshold else -math.inf
        return math.log(self.threshold / (1 - self.threshold))

    @property
    def rationed(self) -> bool:
        """Whether evidence depends on the other documents of the query."""
        return self.evidence and not (self.evidence_top is self.max_evidence_tokens is None)

    @property
    def joint(self) -> bool:
        """Whether anything does."""
        return self.rationed or self.top_n is not None

    @property
    def tells_omitted(self) -> bool:
        """Whether it is said why a text is missing: where more than the verdict decides."""
        return self.rationed or (self.evidence and self.threshold != 0.5)


def allot(
    logits: Sequence[float], options: RankOptions
) -> Generator[list[int], Sequence[int], list[str | None]]:
    """Decide who gets evidence, asking for texts in rounds.

    Without a token budget there is one round. With one, a round has as many documents as texts of
    the mean length so far fit into what is left, at least one. Once a text does not fit, or
    nothing is left, it and all behind it get none.

    Args:
        logits: of the documents, best first.

    Yields:
        Places of the documents to write for, best first; is sent the tokens of each text.

    Returns:
        For each document None where it has evidence, else the reason.
    """
    fates: list[str | None] = [
        THRESHOLD
        if logit <= options.cut
        else EVIDENCE_TOP
        if options.evidence_top is not None and place >= options.evidence_top
        else None
        for place, logit in enumerate(logits)
    ]
    waiting = [place for place, fate in enumerate(fates) if fate is None]
    left = options.max_evidence_tokens
    if left is None:
        if waiting:
            yield waiting
        return fates
    texts, tokens = 0, 0
    while waiting and left:
        mean = tokens / texts if texts else FIRST_TOKENS
        size = max(1, int(left / max(1.0, mean)))
        asked, waiting = waiting[:size], waiting[size:]
        used = yield asked
        texts, tokens = texts + len(used), tokens + sum(used)
        for number, one in enumerate(used):
            if not left or one > left:
                waiting = asked[number:] + waiting
                left = 0
                break
            left -= one
    for place in waiting:
        fates[place] = MAX_EVIDENCE_TOKENS
    return fates
