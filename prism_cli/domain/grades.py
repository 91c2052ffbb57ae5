"""Range of plausible relevance grades."""

MIN_GRADE, MAX_GRADE = -10, 1000
"""TREC marks junk with -1 and -2, and scales go to 100; a number beyond this range is a count, a
time or an id in the wrong column."""


class ImplausibleGradeError(ValueError):
    """Raised for a number outside the range of grades."""


def check_grade(grade: float) -> None:
    """Raise for a number that is not a grade.

    Raises:
        ImplausibleGradeError: the number is not in [MIN_GRADE, MAX_GRADE].
    """
    if not MIN_GRADE <= grade <= MAX_GRADE:
        raise ImplausibleGradeError(
            f"expected a grade from {MIN_GRADE} to {MAX_GRADE} (is this an id, a count or a time?)"
        )
