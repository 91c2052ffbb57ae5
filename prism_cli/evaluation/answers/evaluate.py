"""Figures of `prism eval answers` from its rows.jsonl."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from prism_cli.evaluation.answers.figures import AnswersFigures
from prism_cli.evaluation.metrics_file import PublishedMetrics
from prism_cli.evaluation.quality.gold_rows import GoldFigures
from prism_cli.evaluation.rows_evaluation import RowsOptions, evaluate_rows
from prism_cli.reporting.answers import page


@dataclass(frozen=True, kw_only=True)
class AnswersOptions(RowsOptions):
    """Settings of the figures.

    Attributes:
        gold: counts of the gold files.
        reader: {"spec", "labelled_rows": where it is named as a labeller of the rows, or None}.
    """

    kind: ClassVar[str] = "answers"
    gold: GoldFigures
    reader: Mapping[str, str | None] = field(default_factory=dict)


class _Figures(AnswersFigures):
    """AnswersFigures with the counts of gold, and the reader."""

    def __init__(self, options: AnswersOptions) -> None:
        self._options = options
        super().__init__(options.seed)

    def content(self) -> dict[str, Any]:
        """Return the content of metrics.json."""
        options = self._options
        return super().content() | {"gold": asdict(options.gold), "reader": dict(options.reader)}


def evaluate(options: AnswersOptions) -> PublishedMetrics:
    """Compute the figures of the rows that the stage wrote to the folder, and publish them; raise
    as `evaluate_rows`."""
    return evaluate_rows(options, _Figures(options), page)
