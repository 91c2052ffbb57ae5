"""Warning for `source` labels that give the same answer for every row."""

from collections.abc import Mapping


def same_answer_warning(answers_by_spec: Mapping[str, Mapping[str, int]]) -> str | None:
    """Return a warning where a label gives the same answer for all of several rows; else None.

    Args:
        answers_by_spec: spec of `source` or `source:GRADE` -> answer -> number of rows.
    """
    constant = [
        f"{spec} gives {answer} to all {rows:,} rows"
        for spec, answers in answers_by_spec.items()
        if len(answers) == 1
        for answer, rows in answers.items()
        if rows > 1
    ]
    if not constant:
        return None
    return (
        f"{'; '.join(constant)}: their labels all lie on one side of its grade (source:GRADE is "
        "yes from GRADE on, source from 1 on)"
    )
