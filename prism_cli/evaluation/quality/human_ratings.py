"""People's ratings beside the judge's of the same rows."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from prism_cli.domain.rating_agreement import Estimate, compare_ratings, ordinal_alpha
from prism_cli.domain.rating_task import RATINGS, SEVERE
from prism_cli.evaluation.quality.filled_sheets import FilledSheet


class HumanRatings:
    """Sheets, and what the judge says of their rows; held are the rows of the sheets."""

    def __init__(self, sheets: Sequence[FilledSheet], seed: int) -> None:
        self._sheets, self._seed = sheets, seed
        self._ids = {name for sheet in sheets for name in sheet.ratings}
        self._judge: dict[str, dict[str, float]] = {}
        self._known: set[str] = set()

    def add(self, quality: Mapping[str, Any]) -> None:
        """One row's `quality`; passed over where no sheet has it."""
        rating = quality.get("rating", {})
        name = rating.get("texts")
        if name not in self._ids:
            return
        self._known.add(name)
        if "ratings" in rating:
            self._judge[name] = rating["ratings"] | {SEVERE: float(rating[SEVERE])}

    def figures(self) -> dict[str, Any]:
        """{"people": sheets, rows, rows that were not found, a figure a rating and measure}."""
        if not self._sheets:
            return {}
        numbers: dict[str, Any] = {
            name: {measure: one.value for measure, one in estimates.items()}
            for name, estimates in self._estimates.items()
        }
        unknown = len(self._ids - self._known)
        return {
            "people": {"sheets": len(self._sheets), "rows": len(self._ids), "unknown": unknown}
            | numbers
        }

    def statistics(self) -> dict[str, dict[str, Any]]:
        """`intervals` and `counts` by measure, to be put beside those of other measures."""
        intervals, counts = {}, {}
        for name, estimates in self._estimates.items():
            people, _ = self._both(name)
            for measure, one in estimates.items():
                if one.low is not None:
                    intervals[f"people.{name}.{measure}"] = [one.low, one.high]
                    counts[f"people.{name}.{measure}"] = len(people)
        return {"intervals": intervals, "counts": counts}

    @cached_property
    def _estimates(self) -> dict[str, dict[str, Estimate]]:
        """After the last row, by rating; alpha where several people rated one row."""
        found: dict[str, dict[str, Estimate]] = {}
        for name in (*RATINGS, SEVERE) if self._sheets else ():
            found[name] = compare_ratings(*self._both(name), seed=self._seed)
            if len(self._sheets) > 1:
                given = [
                    [sheet.ratings.get(row, {}).get(name) for sheet in self._sheets]
                    for row in sorted(self._ids)
                ]
                found[name]["alpha"] = ordinal_alpha(given, seed=self._seed)
        return found

    def _both(self, name: str) -> tuple[list[float], list[float]]:
        """(people's means, the judge's) of the rows that both have rated."""
        people, judge = [], []
        for row in sorted(self._judge):
            given = [
                sheet.ratings[row][name]
                for sheet in self._sheets
                if name in sheet.ratings.get(row, {})
            ]
            if given and name in self._judge[row]:
                people.append(sum(given) / len(given))
                judge.append(self._judge[row][name])
        return people, judge
