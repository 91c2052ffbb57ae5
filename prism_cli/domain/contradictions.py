"""Repeated and contradictory rows of one pair: the rule, used by every stage, for which rows are
kept.

Of rows of one pair (query and document) with the same answer, the first is kept. Rows of one pair
with yes and no, or with two grades, contradict each other, and none of them is kept, since the
right answer is unknown. A row without an answer contradicts no other.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import NamedTuple

from prism_cli.domain.scoring import answer_of
from prism_cli.domain.voting import label_vote
from prism_cli.rows.row import Row, document_text, text_key

CONTRADICTORY = "contradictory"
REPEATED = "repeated"
NAMED = 3
"""Number of contradictory pairs that a summary lists; the others are only counted."""


class PairAnswer(NamedTuple):
    """The answer of one row about its pair.

    Attributes:
        pair: equal for rows of one pair.
        answer: such as "yes" or a grade; None where the row has none.
        content: equal for rows that repeat each other, or a function that returns it; the answer
            is always compared too.
    """

    pair: Hashable
    answer: Hashable | None
    content: Hashable | Callable[[], Hashable] = None


def drop_reasons(answers: Sequence[PairAnswer]) -> list[str | None]:
    """Return for each row None where it is kept, else the reason: CONTRADICTORY or REPEATED.

    Memory grows with the answers; callers pass the adjacent rows of a query, or pairs from disk.
    """
    rows = Counter(answer.pair for answer in answers)
    if len(rows) == len(answers):
        return [None] * len(answers)
    first: dict[Hashable, Hashable] = {}
    contradictory: set[Hashable] = set()
    for pair, answer, _ in answers:
        if answer is not None and first.setdefault(pair, answer) != answer:
            contradictory.add(pair)
    seen: set[Hashable] = set()
    reasons: list[str | None] = []
    for pair, answer, content in answers:
        if pair in contradictory:
            reasons.append(CONTRADICTORY)
        elif rows[pair] == 1:
            reasons.append(None)
        else:
            key = pair, answer, content() if callable(content) else content
            reasons.append(REPEATED if key in seen else None)
            seen.add(key)
    return reasons


def pair_answer(row: Row) -> str | None:
    """Return the answer of a pair row, "yes" or "no": its verdict, else the side of .5 of its
    teacher_score, else its own label. None without an answer, or for a label that is not a
    grade."""
    verdict: str | None = row.get("verdict")
    if verdict is not None:
        return verdict
    score = row.get("teacher_score")
    if score is not None:
        return answer_of(score)
    try:
        return label_vote(row.get("source_label"))
    except ValueError:
        return None


def comparable_answer(row: Row, alone: bool = True) -> PairAnswer:
    """Return the answer of a pair row, among rows of its query.

    Args:
        alone: True for a row of its own: a repetition has the same value in every field. False for
            an entry of a list of documents: a repetition has the same text and label.
    """
    text = document_text(row)
    content = partial(repr, row) if alone else (text, row.get("source_label"))
    return PairAnswer(same_text(text), pair_answer(row), content)


def same_text(text: str) -> str:
    """Return a form that is equal for texts that differ in letter case and white space alone."""
    return " ".join(text.split()).casefold()


def pair_key(row: Row) -> bytes:
    """Return 16 bytes that are equal for rows of one pair, from query and document (with title),
    both normalised by `same_text`."""
    return text_key(f"{same_text(row['query'])}\0{same_text(document_text(row))}")


def name_contradictions(
    reasons: Sequence[str | None], answers: Sequence[PairAnswer], places: Sequence[str]
) -> list[str]:
    """Return places and answers of each contradictory pair, such as "a.jsonl:1 (yes) and a.jsonl:7
    (no)".

    Args:
        reasons: the result of `drop_reasons` for `answers`.
        places: the places of their rows.
    """
    named: dict[Hashable, list[str]] = {}
    for reason, answer, place in zip(reasons, answers, places, strict=True):
        if reason == CONTRADICTORY:
            suffix = "" if answer.answer is None else f" ({answer.answer})"
            named.setdefault(answer.pair, []).append(f"{place}{suffix}")
    return [" and ".join(rows) for rows in named.values()]
