"""People's ratings compared with the judge's of the same rows."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from prism_cli.domain.rating_agreement import Estimate, compare_ratings, ordinal_alpha
from prism_cli.domain.rating_task import RATINGS, SEVERE
from prism_cli.evaluation.quality.filled_sheets import FilledSheet


class HumanRatings:
    """Sheets that people filled in, and the judge's ratings of their rows."""

    def __init__(self, sheets: Sequence[FilledSheet], seed: int) -> None:
        self._sheets, self._seed = sheets, seed
        self._ids = {name for sheet in sheets for name in sheet.ratings}
        self._judge_ratings: dict[str, dict[str, float]] = {}
        self._seen: set[str] = set()

    def add(self, quality: Mapping[str, Any]) -> None:
        """Add one row's `quality`; ignored if no sheet has the row."""
        rating = quality.get("rating", {})
        name = rating.get("texts")
        if name not in self._ids:
            return
        self._seen.add(name)
        if "ratings" in rating:
            self._judge_ratings[name] = rating["ratings"] | {SEVERE: float(rating[SEVERE])}

    def figures(self) -> dict[str, Any]:
        """Return {"people": numbers of sheets, rows and unknown rows, and figures by rating and
        measure}; {} without sheets."""
        if not self._sheets:
            return {}
        numbers: dict[str, Any] = {
            name: {measure: estimate.value for measure, estimate in estimates.items()}
            for name, estimates in self._estimates.items()
        }
        unknown = len(self._ids - self._seen)
        return {
            "people": {"sheets": len(self._sheets), "rows": len(self._ids), "unknown": unknown}
            | numbers
        }

    def statistics(self) -> dict[str, dict[str, Any]]:
        """Return `intervals` and `counts` by measure, to merge with those of other measures."""
        intervals, counts = {}, {}
        for name, estimates in self._estimates.items():
            people, _ = self._rated_by_both(name)
            for measure, estimate in estimates.items():
                if estimate.value is not None:
                    counts[f"people.{name}.{measure}"] = len(people)
                if estimate.low is not None:
                    intervals[f"people.{name}.{measure}"] = [estimate.low, estimate.high]
        return {"intervals": intervals, "counts": counts}

    @cached_property
    def _estimates(self) -> dict[str, dict[str, Estimate]]:
        """Estimates by rating, after the last row; with alpha if there are several people."""
        estimates: dict[str, dict[str, Estimate]] = {}
        for name in (*RATINGS, SEVERE) if self._sheets else ():
            estimates[name] = compare_ratings(*self._rated_by_both(name), seed=self._seed)
            if len(self._sheets) > 1:
                by_row = [
                    [sheet.ratings.get(row, {}).get(name) for sheet in self._sheets]
                    for row in sorted(self._ids)
                ]
                estimates[name]["alpha"] = ordinal_alpha(by_row, seed=self._seed)
        return estimates

    def _rated_by_both(self, name: str) -> tuple[list[float], list[float]]:
        """Return people's mean ratings and the judge's ratings of the rows that both rated."""
        people, judge = [], []
        for row in sorted(self._judge_ratings):
            values = [
                sheet.ratings[row][name]
                for sheet in self._sheets
                if name in sheet.ratings.get(row, {})
            ]
            if values and name in self._judge_ratings[row]:
                people.append(sum(values) / len(values))
                judge.append(self._judge_ratings[row][name])
        return people, judge
