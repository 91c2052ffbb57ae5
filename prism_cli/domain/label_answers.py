"""What to say of rows' own labels that answer the same everywhere."""

from collections.abc import Mapping


def one_answer(given: Mapping[str, Mapping[str, int]]) -> str | None:
    """A warning where a label gives one answer to all of several rows; None where none does.

    Args:
        given: spec of `source` or `source:GRADE` -> answer -> rows.
    """
    told = [
        f"{spec} gives {answer} to all {rows:,} rows"
        for spec, answers in given.items()
        if len(answers) == 1
        for answer, rows in answers.items()
        if rows > 1
    ]
    if not told:
        return None
    return (
        f"{'; '.join(told)}: their labels all lie on one side of its grade (source:GRADE is yes "
        "from GRADE on, source from 1 on)"
    )
