"""Training objectives of a row: pointwise (the score), sft (verdict and texts), both, or none.

| row has | objectives |
|---|---|
| score > .5 and verdict yes, or score <= .5 and verdict no | pointwise, sft |
| score and verdict that disagree | sft |
| verdict, no score | sft |
| score, no verdict | pointwise |
| verdict yes without contribution and evidence, | pointwise if scored, else unusable |
| or with texts without content ("N/A", "No;") | |
| yes, by verdict or else score, on a blank document | unusable |

Source: arXiv 2604.23734 and its author's data script. A disagreement drops the score because the
judges read the pair, while the teacher embeds it.
"""

from collections.abc import Collection
from dataclasses import dataclass

from prism_cli.domain.evidence_text import texts_fault
from prism_cli.domain.scoring import BOUNDARY, answer_of
from prism_cli.errors import RowError
from prism_cli.rows.row import (
    Dropped,
    Row,
    document_text,
    json_type,
    number_field,
    string_field,
    verdict_field,
)
from prism_cli.rows.texts import is_blank, stripped

POINTWISE = "pointwise"
SFT = "sft"


@dataclass(frozen=True, slots=True)
class TrainingLabels:
    """The training labels of one row.

    Attributes:
        teacher_score: in [0, 1]; None where the row has none.
        verdict: "yes", "no" or None.
        pointwise, sft: the row's objectives; at least one is True.
        text_fault: why the texts of a yes are unusable; "" where they are usable, or without a yes.
    """

    teacher_score: float | None
    verdict: str | None
    contribution: str
    evidence: str
    pointwise: bool
    sft: bool
    text_fault: str = ""


def training_labels(row: Row) -> TrainingLabels | Dropped:
    """Return the training labels of `row`, or the reason for dropping it.

    Raises:
        RowError: a label has the wrong type or range, or the row lacks a label that an explicit
            objective needs.
    """
    score = number_field(row, "teacher_score", 0, 1)
    verdict = verdict_field(row)
    contribution = stripped(string_field(row, "contribution", required=False))
    evidence = stripped(string_field(row, "evidence", required=False))
    says_yes = verdict == "yes" if verdict else score is not None and score > BOUNDARY
    if says_yes and "document" in row and is_blank(document_text(row)):
        return Dropped("yes on a blank document")
    fault = texts_fault(contribution, evidence) if verdict == "yes" else None
    text_fault = f"yes {fault}" if fault else ""
    possible = _possible(score, verdict, has_text=not text_fault)
    chosen = row.get("objectives")
    if chosen is not None:
        _check_chosen(chosen, possible)
        if not chosen:
            return Dropped("objectives is an empty list")
    elif not possible:
        return Dropped(text_fault or "no score and no verdict")
    else:
        chosen = possible
        if possible == {POINTWISE, SFT} and score is not None:
            chosen = possible if answer_of(score) == verdict else {SFT}
    pointwise, sft = POINTWISE in chosen, SFT in chosen
    return TrainingLabels(score, verdict, contribution, evidence, pointwise, sft, text_fault)


def _possible(score: float | None, verdict: str | None, *, has_text: bool) -> set[str]:
    possible = {POINTWISE} if score is not None else set()
    if verdict == "no" or (verdict == "yes" and has_text):
        possible.add(SFT)
    return possible


def _check_chosen(chosen: object, possible: Collection[str]) -> None:
    if not isinstance(chosen, list) or not all(
        objective in (POINTWISE, SFT) for objective in chosen
    ):
        actual = json_type(chosen) if not isinstance(chosen, list) else f"{chosen!r:.80}"
        raise RowError("objectives", f'expected a list of "pointwise" and "sft", found {actual}')
    needs = {
        POINTWISE: "teacher_score",
        SFT: "a verdict, and for yes contribution and evidence that say something",
    }
    for objective in chosen:
        if objective not in possible:
            raise RowError(
                "objectives", f"{objective} needs {needs[objective]}, which the row does not have"
            )
