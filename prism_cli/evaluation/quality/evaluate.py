"""Figures of `prism eval quality` from its rows.jsonl."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from prism_cli.evaluation.metrics_file import PublishedMetrics
from prism_cli.evaluation.quality.figures import QualityFigures
from prism_cli.evaluation.quality.filled_sheets import FilledSheet
from prism_cli.evaluation.quality.gold_rows import GoldFigures
from prism_cli.evaluation.rows_evaluation import RowsOptions, evaluate_rows
from prism_cli.reporting.quality import page


@dataclass(frozen=True, kw_only=True)
class QualityOptions(RowsOptions):
    """Settings of the figures.

    Attributes:
        gold: counts of the gold files; None without gold.
        judge: {"spec", "in_panel": where it is named as a labeller of the rows, or None}; {}
            without a judge.
        sheets: ratings by people.
    """

    kind: ClassVar[str] = "quality"
    gold: GoldFigures | None = None
    judge: Mapping[str, str | None] = field(default_factory=dict)
    sheets: Sequence[FilledSheet] = ()


class _Figures(QualityFigures):
    """QualityFigures with the counts of gold, and the judge."""

    def __init__(self, options: QualityOptions) -> None:
        self._options = options
        gold_rows = options.gold.rows if options.gold else 0
        super().__init__(options.seed, gold_rows, options.sheets)

    def content(self) -> dict[str, Any]:
        """Return the content of metrics.json."""
        content = super().content()
        gold = self._options.gold
        content["gold"] = asdict(gold) | content["gold"] if gold else {}
        return content | {"judge": dict(self._options.judge)}


def evaluate(options: QualityOptions) -> PublishedMetrics:
    """Compute the figures of the rows that the stage wrote to the folder, and publish them; raise
    as `evaluate_rows`."""
    sheets = {sheet.name: sheet.sha256 for sheet in options.sheets}
    return evaluate_rows(options, _Figures(options), page, {"sheets": sheets})
