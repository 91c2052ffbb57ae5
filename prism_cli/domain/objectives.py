"""Which objectives a training row has: the score, the text, both, or none.

| row has | objectives |
|---|---|
| score > .5 and verdict yes, or score <= .5 and verdict no | pointwise, sft |
| score and verdict that disagree | sft |
| verdict, no score | sft |
| score, no verdict | pointwise |
| verdict yes without contribution and evidence | pointwise if scored, else unusable |

Source: arXiv 2604.23734 and its author's data script; why a disagreement drops the score: the
judges have read the pair, the teacher has embedded it.
"""

from collections.abc import Collection
from dataclasses import dataclass

from prism_cli.errors import RowError
from prism_cli.rows.row import Dropped, Row, json_type, number_field, string_field

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
    """

    teacher_score: float | None
    verdict: str | None
    contribution: str
    evidence: str
    pointwise: bool
    sft: bool


def lesson(row: Row) -> Lesson | Dropped:
    """What `row` teaches, or why it teaches nothing.

    Raises:
        RowError: a label of the wrong type or range, or explicit objectives that cannot be met.
    """
    score = number_field(row, "teacher_score", 0, 1)
    verdict = row.get("verdict")
    if verdict not in ("yes", "no", None):
        raise RowError("verdict", f'expected "yes", "no" or null, found {json_type(verdict)}')
    contribution = string_field(row, "contribution", required=False).strip()
    evidence = string_field(row, "evidence", required=False).strip()
    possible = _possible(score, verdict, bool(contribution and evidence))
    chosen = row.get("objectives")
    if chosen is not None:
        _check_chosen(chosen, possible)
        if not chosen:
            return Dropped("objectives is an empty list")
    elif not possible:
        reason = "yes without contribution and evidence" if verdict else "no score and no verdict"
        return Dropped(reason)
    else:
        chosen = possible
        if possible == {POINTWISE, SFT} and score is not None:
            agree = (score > BOUNDARY) == (verdict == "yes")
            chosen = possible if agree else {SFT}
    return Lesson(score, verdict, contribution, evidence, POINTWISE in chosen, SFT in chosen)


def _possible(score: float | None, verdict: str | None, has_text: bool) -> set[str]:
    possible = {POINTWISE} if score is not None else set()
    if verdict == "no" or (verdict == "yes" and has_text):
        possible.add(SFT)
    return possible


def _check_chosen(chosen: object, possible: Collection[str]) -> None:
    if not isinstance(chosen, list) or not all(one in (POINTWISE, SFT) for one in chosen):
        found = json_type(chosen) if not isinstance(chosen, list) else f"{chosen!r:.80}"
        raise RowError("objectives", f'expected a list of "pointwise" and "sft", found {found}')
    needs = {POINTWISE: "teacher_score", SFT: "a verdict, and for yes contribution and evidence"}
    for one in chosen:
        if one not in possible:
            raise RowError("objectives", f"{one} needs {needs[one]}, which the row does not have")
