"""The judge that votes by the corpus's own label."""

from prism_cli.domain.voting import Vote, label_vote
from prism_cli.errors import RowError
from prism_cli.rows.row import Row, json_type


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
