"""Which numbers can be a person's judgement of a document."""

MIN_GRADE, MAX_GRADE = -10, 1000
"""TREC marks junk with -1 and -2, and scales go to 100: what lies beyond is a count, a time or an
id in the grade's column."""


class ImplausibleGradeError(ValueError):
    """A number that no person gave as a grade."""


def check_grade(grade: float) -> None:
    """Refuse what is no grade.

    Raises:
        ImplausibleGradeError: it is not in [MIN_GRADE, MAX_GRADE].
    """
    if not MIN_GRADE <= grade <= MAX_GRADE:
        raise ImplausibleGradeError(
            f"expected a grade from {MIN_GRADE} to {MAX_GRADE} (is this an id, a count or a time?)"
        )
