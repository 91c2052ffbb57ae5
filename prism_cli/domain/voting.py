"""A panel's rules: the verdict, and when further votes cannot change it.

A verdict needs more than half of the panel's size, so abstentions never decide a row; they can
leave it undecided.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

from prism_cli.domain.grades import check_grade
from prism_cli.domain.scoring import answer_of
from prism_cli.rows.number import number_in

Vote = Literal["yes", "no"]

_WORDS: dict[str, Vote] = {"yes": "yes", "true": "yes", "no": "no", "false": "no"}


def majority(size: int) -> int:
    """Return the number of votes that a verdict needs on a panel of `size` judges."""
    return size // 2 + 1


def _is_settled(size: int, most: int, left: int) -> bool:
    """Return whether further votes cannot change the verdict of a panel.

    Args:
        size: number of judges on the panel.
        most: votes for the answer with most votes.
        left: number of judges that were not asked yet.
    """
    return not most < majority(size) <= most + left


@dataclass
class Poll:
    """The votes of one panel on one row.

    Attributes:
        size: number of judges on the panel, at least 1.
        votes: judge -> vote, in the order in which they were cast.
        abstentions: number of judges that were asked and did not vote.
    """

    size: int
    votes: dict[str, Vote] = field(default_factory=dict)
    abstentions: int = 0

    def add(self, judge: str, vote: Vote | None) -> None:
        """Add the answer of a judge; None is an abstention."""
        if vote is None:
            self.abstentions += 1
        else:
            self.votes[judge] = vote

    def count(self, vote: Vote) -> int:
        """Return the number of judges that voted `vote`."""
        return list(self.votes.values()).count(vote)

    @property
    def verdict(self) -> Vote | None:
        """The vote of more than half of the panel; None without such a majority."""
        needed = majority(self.size)
        if self.count("yes") >= needed:
            return "yes"
        return "no" if self.count("no") >= needed else None

    @property
    def settled(self) -> bool:
        """True where the remaining judges cannot change the verdict."""
        left = self.size - len(self.votes) - self.abstentions
        return _is_settled(self.size, max(self.count("yes"), self.count("no")), left)

    def agreement_with(self, verdict: Vote | None) -> float | None:
        """Return the share of votes that equal `verdict`; None without verdict or votes."""
        return self.count(verdict) / len(self.votes) if verdict and self.votes else None


PANEL_AGREEMENT = 0.83
"""Probability that a judge votes with the majority. Two such independent judges agree in .72 of the
cases, the middle of what arXiv 2604.23734 publishes for its five."""

PUBLISHED_AGREEMENT = {
    "deepseek/deepseek-chat": 0.64,
    "openrouter/openai/gpt-5.4-mini": 0.70,
    "openrouter/google/gemini-3-flash-preview": 0.72,
    "openrouter/anthropic/claude-haiku-4.5": 0.73,
    "bailian/qwen3.5-397b-a17b": 0.76,
}
"""Agreement of each judge with the others (arXiv 2604.23734); no pair was above .82. The panel
stopped early, and no rows were audited."""


def mean_verdict(probabilities: Mapping[str, float], judges: Sequence[str]) -> Vote | None:
    """Return yes where the mean P(yes) of all judges is above .5; None where a judge gave none."""
    if any(judge not in probabilities for judge in judges):
        return None
    return answer_of(math.fsum(probabilities[judge] for judge in judges) / len(judges))


def score_probability(score: float, threshold: float) -> float:
    """Return P(yes) of a judge that says yes to a score above `threshold`, so that hard and soft
    votes agree.

    Piecewise linear: 0 at score 0, .5 at `threshold`, 1 at score 1.

    Args:
        score: in [0, 1].
        threshold: in [0, 1).
    """
    if score <= threshold:
        return 0.5 * score / threshold if threshold else 0.5
    return 1 - 0.5 * (1 - score) / (1 - threshold)


def reach_probabilities(probabilities: Sequence[float]) -> list[float]:
    """Return for each judge of a panel, in order, the probability that it is asked before the
    verdict is settled.

    Args:
        probabilities: each judge's probability of voting yes, in the order asked; the judges are
            independent and never abstain. The rule treats yes and no alike, so probabilities of
            voting correctly may be passed instead.
    """
    size = len(probabilities)
    chances = {(0, 0): 1.0}  # (yes, no) so far, while not settled
    reached: list[float] = []
    for asked, probability in enumerate(probabilities, 1):
        reached.append(math.fsum(chances.values()))
        next_chances: dict[tuple[int, int], float] = {}
        for (yes, no), chance in chances.items():
            for state, share in (((yes + 1, no), probability), ((yes, no + 1), 1 - probability)):
                if not _is_settled(size, max(state), size - asked):
                    next_chances[state] = next_chances.get(state, 0.0) + chance * share
        chances = next_chances
    return reached


def label_vote(label: Any, grade: float = 1) -> Vote | None:
    """Return the vote of a corpus's own label: yes where it is `grade` or more.

    "yes", "no", "true", "false" (any case) and booleans are votes, whatever `grade` is. An absent,
    null or blank label is an abstention.

    Raises:
        ImplausibleGradeError: a number outside the range of grades.
        ValueError: any other label.
    """
    if label is None:
        return None
    if isinstance(label, bool):
        return "yes" if label else "no"
    if isinstance(label, str):
        return _vote_of_text(label, grade)
    if isinstance(label, int | float):
        check_grade(label)
        return "yes" if label >= grade else "no"
    raise ValueError("expected a grade, yes or no")


@lru_cache(1024)  # a corpus has few distinct labels
def _vote_of_text(label: str, grade: float) -> Vote | None:
    text = label.strip().lower()
    if not text:
        return None
    if text in _WORDS:
        return _WORDS[text]
    number = number_in(text)
    if number is not None:
        return label_vote(number, grade)
    raise ValueError("expected a grade, yes or no")
