"""One pair with two answers: which of its rows stay. The one rule for every stage.

Rows of one pair (query and document) that say the same are repetitions: the first stays. Rows of
one pair that say yes and no, or give two grades, contradict each other: none of them stays, as
nobody knows which is right. A row that says nothing contradicts no other.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from hashlib import blake2b
from typing import NamedTuple

from prism_cli.domain.voting import label_vote
from prism_cli.rows.row import Row, document_text

CONTRADICTORY = "contradictory"
REPEATED = "repeated"
NAMED = 3
"""Contradictory pairs that a summary names; the others are counted."""


class Claim(NamedTuple):
    """What one row says of its pair.

    Attributes:
        pair: equal for rows of one pair.
        answer: such as "yes" or a grade; None where the row says nothing.
        content: equal for rows that repeat each other, or a function that gives it; the answer is
            always compared too.
    """

    pair: Hashable
    answer: Hashable | None
    content: Hashable | Callable[[], Hashable] = None


def settle(claims: Sequence[Claim]) -> list[str | None]:
    """For each row None where it stays, else why it does not: CONTRADICTORY or REPEATED.

    Memory is that of the claims; callers pass the adjacent rows of a query, or pairs from disk.
    """
    rows = Counter(claim.pair for claim in claims)
    if len(rows) == len(claims):
        return [None] * len(claims)
    first: dict[Hashable, Hashable] = {}
    contradictory: set[Hashable] = set()
    for pair, answer, _ in claims:
        if answer is not None and first.setdefault(pair, answer) != answer:
            contradictory.add(pair)
    seen: set[Hashable] = set()
    found: list[str | None] = []
    for pair, answer, content in claims:
        if pair in contradictory:
            found.append(CONTRADICTORY)
        elif rows[pair] == 1:
            found.append(None)
        else:
            whole = pair, answer, content() if callable(content) else content
            found.append(REPEATED if whole in seen else None)
            seen.add(whole)
    return found


def pair_answer(row: Row) -> str | None:
    """What a pair row says, "yes" or "no": its verdict, else the side of .5 that its teacher_score
    is on, else its own label. None where it says nothing, or has a label that is no grade."""
    verdict: str | None = row.get("verdict")
    if verdict is not None:
        return verdict
    score = row.get("teacher_score")
    if score is not None:
        return "yes" if score > 0.5 else "no"
    try:
        return label_vote(row.get("source_label"))
    except ValueError:
        return None


def pair_claim(row: Row, alone: bool = True) -> Claim:
    """What a pair row says, among rows of its query.

    Args:
        alone: it was a row of its own, so that a repetition is the same in every field; else it
            came out of a list of documents, and the same text and label make a repetition.
    """
    text = document_text(row)
    content = partial(repr, row) if alone else (text, row.get("source_label"))
    return Claim(same_text(text), pair_answer(row), content)


def same_text(text: str) -> str:
    """A form that texts share which differ in letter case and blanks alone."""
    return " ".join(text.split()).casefold()


def pair_key(row: Row) -> bytes:
    """16 bytes that rows of one pair share: of query and document (with its title), both as
    `same_text` has them."""
    text = f"{same_text(row['query'])}\0{same_text(document_text(row))}"
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def name_contradictions(
    reasons: Sequence[str | None], claims: Sequence[Claim], places: Sequence[str]
) -> list[str]:
    """Places and answers of each contradictory pair, such as "a.jsonl:1 (yes) and a.jsonl:7 (no)".

    Args:
        reasons: what `settle` said of `claims`, whose rows stand at `places`.
    """
    said: dict[Hashable, list[str]] = {}
    for reason, claim, place in zip(reasons, claims, places, strict=True):
        if reason == CONTRADICTORY:
            answer = "" if claim.answer is None else f" ({claim.answer})"
            said.setdefault(claim.pair, []).append(f"{place}{answer}")
    return [" and ".join(where) for where in said.values()]
