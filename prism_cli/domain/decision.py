"""Questions to a decision endpoint: typed questions about one material, answered by probabilities
in one forward pass, without text."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement; its answer is the probability that it is true.

    Attributes:
        name: name of the answer, unique within a decision.
        question: the question form, for endpoints that take one.
        if_yes, if_no: the meaning of the two answers.
    """

    name: str
    question: str
    if_yes: str
    if_no: str

    @property
    def texts(self) -> tuple[str, ...]:
        """All texts that may be sent."""
        return self.question, self.if_yes, self.if_no


@dataclass(frozen=True, slots=True)
class Score:
    """A position on a scale; its answer is a probability for each of `levels`, lowest first."""

    name: str
    question: str
    levels: tuple[str, ...]

    @property
    def texts(self) -> tuple[str, ...]:
        """All texts that are sent."""
        return self.question, *self.levels


Question = Statement | Score
Probability = float | list[float]
"""P(true) of a Statement; for a Score one probability per level, with sum 1."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Questions about one material.

    Attributes:
        rubric: the text before the material; the same for all rows.
        questions: in the order of their answers.
    """

    rubric: str
    material: str
    questions: tuple[Question, ...]
