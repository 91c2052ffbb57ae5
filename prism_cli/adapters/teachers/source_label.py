"""The teacher that scores by the corpus's own label."""

from prism_cli.adapters.judges.source_label import SourceLabelJudge
from prism_cli.errors import RowError
from prism_cli.rows.row import Row


class SourceLabelTeacher:
    """Scores 1 if the judge votes yes, 0 if it votes no.

    Args:
        judge: judge that reads `source_label`.
    """

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
