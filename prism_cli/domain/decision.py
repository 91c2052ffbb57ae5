"""What a decision endpoint is asked: typed questions over one material, answered by probabilities
in one forward pass, without text."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement that is true or not; the answer is its probability.

    Attributes:
        name: names the answer; no two of a decision are the same.
        question: for endpoints that ask, with what its two answers stand for.
    """

    name: str
    question: str
    if_yes: str
    if_no: str

    @property
    def texts(self) -> tuple[str, ...]:
        """All that is sent of it, or more."""
        return self.question, self.if_yes, self.if_no


@dataclass(frozen=True, slots=True)
class Score:
    """A place on a scale; the answer is a probability for each of `levels`, lowest first."""

    name: str
    question: str
    levels: tuple[str, ...]

    @property
    def texts(self) -> tuple[str, ...]:
        """All that is sent of it."""
        return self.question, *self.levels


Question = Statement | Score
Odds = float | list[float]
"""P(true) of a Statement; of a Score one probability a level, which sum to 1."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Questions over one material.

    Attributes:
        rubric: what stands before the material; the same for all rows.
        questions: in the order of their answers.
    """

    rubric: str
    material: str
    questions: tuple[Question, ...]
