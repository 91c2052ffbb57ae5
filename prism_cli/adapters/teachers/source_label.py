"""The teacher that needs no model: the corpus's own label."""

from prism_cli.adapters.judges.source_label import SourceLabelJudge
from prism_cli.errors import RowError
from prism_cli.rows.row import Row


class SourceLabelTeacher:
    """Scores 1 where the judge of that spec votes yes, 0 where it votes no.

    Args:
        judge: reads `source_label`.
    """

    def __init__(self, judge: SourceLabelJudge) -> None:
        self.spec = judge.spec
        self._judge = judge

    def score(self, row: Row) -> float:
        """1.0 or 0.0.

        Raises:
            RowError: no label, or one that is no grade and neither yes nor no.
        """
        vote = self._judge.vote(row)
        if vote is None:
            raise RowError(
                "source_label", "expected a grade, yes or no for --teacher source, found none"
            )
        return 1.0 if vote == "yes" else 0.0
