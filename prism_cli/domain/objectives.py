"""Which objectives a training row has: the score, the text, both, or none.

| row has | objectives |
|---|---|
| score > .5 and verdict yes, or score <= .5 and verdict no | pointwise, sft |
| score and verdict that disagree | sft |
| verdict, no score | sft |
| score, no verdict | pointwise |
| verdict yes without contribution and evidence, | pointwise if scored, else unusable |
| or with such as say nothing ("N/A", "No;") | |
| yes, by verdict or else score, on a blank document | unusable |

Source: arXiv 2604.23734 and its author's data script; why a disagreement drops the score: the
judges have read the pair, the teacher has embedded it.
"""

from collections.abc import Collection
from dataclasses import dataclass

from prism_cli.domain.evidence_text import texts_fault
from prism_cli.errors import RowError
from prism_cli.rows.row import (
    Dropped,
    Row,
    document_text,
    json_type,
    number_field,
    string_field,
)
from prism_cli.rows.texts import is_blank, stripped

POINTWISE = "pointwise"
SFT = "sft"
BOUNDARY = 0.5


@dataclass(frozen=True, slots=True)
class Lesson:
    """What one row teaches.

    Attributes:
        teacher_score: in [0, 1]; None where the row has none.
        verdict: "yes", "no" or None.
        pointwise, sft: its objectives; at least one is true.
        unfit: why the texts of a yes teach nothing; "" where they do, or there is no yes.
    """

    teacher_score: float | None
    verdict: str | None
    contribution: str
    evidence: str
    pointwise: bool
    sft: bool
    unfit: str = ""


def lesson(row: Row) -> Lesson | Dropped:
    """What `row` teaches, or why it teaches nothing.

    Raises:
        RowError: a label of the wrong type or range, or explicit objectives that cannot be met.
    """
    score = number_field(row, "teacher_score", 0, 1)
    verdict = row.get("verdict")
    if verdict not in ("yes", "no", None):
        raise RowError("verdict", f'expected "yes", "no" or null, found {json_type(verdict)}')
    contribution = stripped(string_field(row, "contribution", required=False))
    evidence = stripped(string_field(row, "evidence", required=False))
    says_yes = verdict == "yes" if verdict else score is not None and score > BOUNDARY
    if says_yes and "document" in row and is_blank(document_text(row)):
        return Dropped("yes on a blank document")
    fault = texts_fault(contribution, evidence) if verdict == "yes" else None
    unfit = f"yes {fault}" if fault else ""
    possible = _possible(score, verdict, has_text=not unfit)
    chosen = row.get("objectives")
    if chosen is not None:
        _check_chosen(chosen, possible)
        if not chosen:
            return Dropped("objectives is an empty list")
    elif not possible:
        return Dropped(unfit or "no score and no verdict")
    else:
        chosen = possible
        if possible == {POINTWISE, SFT} and score is not None:
            agree = (score > BOUNDARY) == (verdict == "yes")
            chosen = possible if agree else {SFT}
    return Lesson(score, verdict, contribution, evidence, POINTWISE in chosen, SFT in chosen, unfit)


def _possible(score: float | None, verdict: str | None, *, has_text: bool) -> set[str]:
    possible = {POINTWISE} if score is not None else set()
    if verdict == "no" or (verdict == "yes" and has_text):
        possible.add(SFT)
    return possible


def _check_chosen(chosen: object, possible: Collection[str]) -> None:
    if not isinstance(chosen, list) or not all(one in (POINTWISE, SFT) for one in chosen):
        found = json_type(chosen) if not isinstance(chosen, list) else f"{chosen!r:.80}"
        raise RowError("objectives", f'expected a list of "pointwise" and "sft", found {found}')
    needs = {
        POINTWISE: "teacher_score",
        SFT: "a verdict, and for yes contribution and evidence that say something",
    }
    for one in chosen:
        if one not in possible:
            raise RowError("objectives", f"{one} needs {needs[one]}, which the row does not have")
