"""The corpus's own label and texts of a row, as judge, teacher and generator."""

from prism_cli.domain.voting import Vote, label_vote
from prism_cli.errors import RowError
from prism_cli.rows.fields import SOURCE_TEXTS
from prism_cli.rows.row import Row, json_type, string_field


class SourceLabelJudge:
    """Votes yes if `source_label` is at least `grade`; abstains without a label.

    Args:
        spec: spec as the user wrote it, such as `source:2`; names the vote in rows.
        grade: lowest grade that counts as yes.
    """

    def __init__(self, spec: str, grade: float) -> None:
        self.spec = spec
        self._grade = grade

    def vote(self, row: Row) -> Vote | None:
        """Return the row's own label as a vote.

        Raises:
            RowError: the label is neither a grade nor yes or no.
        """
        label = row.get("source_label")
        try:
            return label_vote(label, self._grade)
        except ValueError as error:
            raise RowError("source_label", f"{error}, found {json_type(label)}") from None

    def can_vote(self, row: Row) -> bool:
        """Return whether `vote` does not raise."""
        try:
            self.vote(row)
        except RowError:
            return False
        return True


class SourceLabelTeacher:
    """Scores 1 if the judge votes yes, 0 if it votes no."""

    def __init__(self, judge: SourceLabelJudge) -> None:
        self.spec = judge.spec
        self._judge = judge

    def score(self, row: Row) -> float:
        """Return 1.0 or 0.0.

        Raises:
            RowError: the label is missing, or neither a grade nor yes or no.
        """
        vote = self._judge.vote(row)
        if vote is None:
            raise RowError(
                "source_label", "expected a grade, yes or no for --teacher source, found none"
            )
        return 1.0 if vote == "yes" else 0.0


class SourceTexts:
    """Generates contribution and evidence from the row's own texts."""

    spec = "source"

    def texts(self, row: Row) -> dict[str, str]:
        """Return the row's own texts, "" for missing ones.

        Raises:
            RowError: a text is not a string.
        """
        texts = (string_field(row, name, required=False) for name in SOURCE_TEXTS)
        return dict(zip(("contribution", "evidence"), texts, strict=True))
