"""The budget rule: which documents of one query, best first, get evidence.

Generated text costs time or money, so it is generated only for documents that may get it, and text
beyond the budget is not returned.
"""

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass

from prism_cli.domain.defaults import MAX_NEW_TOKENS
from prism_cli.domain.fusion import Fusion, fusion_of
from prism_cli.domain.scoring import BOUNDARY
from prism_cli.errors import ArgumentError

THRESHOLD, EVIDENCE_TOP, MAX_EVIDENCE_TOKENS = "threshold", "evidence_top", "max_evidence_tokens"
"""Reason why a document has no text: the first option that excludes it."""
REPEATS = "repeats"
"""Reason: its evidence says nothing beyond that of better documents."""
DEADLINE = "deadline"
"""Reason: its text was not written within the time of the request."""
SCATTERED = "scattered"
"""Reason: its query's rows are not adjacent, so that no budget can be applied."""
TOO_MANY = "too_many"
"""Reason: its query has more rows than are ranked together, so that no budget can be applied."""
REPAIR, REPORT, OFF = GROUNDING = ("repair", "report", "off")
"""Grounding: texts are changed; unsupported parts are reported; neither."""
MODEL, SELECTED, EXTRACTIVE = EVIDENCE_SOURCES = ("model", "selected", "extractive")
"""Source of evidence: generated, or the document's own sentences: those that the model scores best,
or those closest to the query."""
BLANK = "blank"
"""Reason: the document is blank."""
FIRST_TOKENS = 150
"""Assumed tokens of a text before any text of its query is generated: about the paper's median."""


@dataclass(frozen=True, slots=True)
class RankOptions:
    """Options for the documents of a query.

    Attributes:
        evidence: True to generate contribution and evidence.
        max_new_tokens: most tokens of one text.
        top_n: number of best documents that are kept; None for all.
        evidence_top: number of best documents that get evidence; None for all.
        threshold: score in [0, 1] above which a document gets evidence.
        max_evidence_tokens: most tokens of all texts of the query, in the model's own tokens; of
            evidence that is not generated, estimated.
        grounding: one of GROUNDING.
        skip_repeats: leave out evidence that repeats that of better documents (`domain.repeats`).
        evidence_from: one of EVIDENCE_SOURCES; None for the model's own default, else model.
        fuse: fusion with the first stage's scores, which decides the order: the first stage's
            weight in [0, 1], or "rrf" (`domain.fusion`); 0 for none; None for the model's own
            default.
        own_fuse: that default, for queries whose documents have the first stage's scores; None
            for the order of the reranker alone.

    Raises:
        ArgumentError: a number is out of its range.
    """

    evidence: bool = True
    max_new_tokens: int = MAX_NEW_TOKENS
    top_n: int | None = None
    evidence_top: int | None = None
    threshold: float = BOUNDARY
    max_evidence_tokens: int | None = None
    grounding: str = REPAIR
    evidence_from: str | None = None
    skip_repeats: bool = False
    fuse: Fusion | None = None
    own_fuse: float | None = None

    def __post_init__(self) -> None:
        for name, choices in (
            ("grounding", GROUNDING),
            ("evidence_from", (*EVIDENCE_SOURCES, None)),
        ):
            if (chosen := getattr(self, name)) not in choices:
                raise ArgumentError(
                    f"{name}: expected {', '.join(filter(None, choices))}, found {chosen!r}"
                )
        for name in ("max_new_tokens", "top_n", "evidence_top", "max_evidence_tokens"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ArgumentError(f"{name}: expected 1 or more, found {value}")
        if not 0 <= self.threshold <= 1:
            raise ArgumentError(f"threshold: expected 0 to 1, found {self.threshold}")
        try:
            object.__setattr__(self, "fuse", fusion_of(self.fuse))
        except ValueError as error:
            raise ArgumentError(f"fuse: {error}, found {self.fuse!r}") from None

    @property
    def logit_threshold(self) -> float:
        """The logit of `threshold`."""
        if self.threshold in (0, 1):
            return math.inf if self.threshold else -math.inf
        return math.log(self.threshold / (1 - self.threshold))

    @property
    def rationed(self) -> bool:
        """True where evidence depends on the other documents of the query."""
        return self.evidence and not (self.evidence_top is self.max_evidence_tokens is None)

    @property
    def joint(self) -> bool:
        """True where any result depends on the other documents of the query."""
        repeats = self.evidence and self.skip_repeats
        return self.logits_first or repeats or self.fusion is not None

    @property
    def fusion(self) -> Fusion | None:
        """The fusion that holds where the first stage is known; None for the reranker alone."""
        return (self.own_fuse if self.fuse is None else self.fuse) or None

    @property
    def logits_first(self) -> bool:
        """True where the logits of all documents decide which texts are requested."""
        return self.rationed or self.top_n is not None

    @property
    def reports_omitted(self) -> bool:
        """True if reasons for missing texts are reported: the verdict is not the only rule."""
        return self.rationed or (
            self.evidence and (self.skip_repeats or self.threshold != BOUNDARY)
        )


def allot(
    logits: Sequence[float], options: RankOptions
) -> Generator[list[int], Sequence[int], list[str | None]]:
    """Decide which documents get evidence, requesting texts in rounds.

    Without a token budget there is one round. With one, a round has as many documents as texts of
    the mean length so far fit into the rest, at least one. From the first text that does not fit,
    or once the budget is used up, all further documents get none.

    Args:
        logits: one logit per document, best first.

    Yields:
        Indices of the documents to generate for, best first; `send` the tokens of each text, 0 for
        one that is left out.

    Returns:
        For each document None where it has evidence, else the reason for its absence.
    """
    reasons: list[str | None] = [
        THRESHOLD
        if logit <= options.logit_threshold
        else EVIDENCE_TOP
        if options.evidence_top is not None and place >= options.evidence_top
        else None
        for place, logit in enumerate(logits)
    ]
    waiting = [place for place, reason in enumerate(reasons) if reason is None]
    left = options.max_evidence_tokens
    if left is None:
        if waiting:
            yield waiting
        return reasons
    texts, tokens = 0, 0
    while waiting and left:
        mean = tokens / texts if texts else FIRST_TOKENS
        size = max(1, int(left / max(1.0, mean)))
        batch, waiting = waiting[:size], waiting[size:]
        used = yield batch
        texts, tokens = texts + sum(map(bool, used)), tokens + sum(used)
        for number, text_tokens in enumerate(used):
            if not left or text_tokens > left:
                waiting = batch[number:] + waiting
                left = 0
                break
            left -= text_tokens
    for place in waiting:
        reasons[place] = MAX_EVIDENCE_TOKENS
    return reasons
