"""Figures of a judge's ratings in rows.jsonl, from sums by query."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from prism_cli.domain.query_sums import QuerySums
from prism_cli.domain.rating_task import HIGH, LOW, RATINGS, SEVERE

MOST_REASONS, SHOWN_REASONS = 1000, 10


class JudgeRatings:
    """Ratings by a judge: call `add` for each row, in any order."""

    def __init__(self) -> None:
        self._sums = QuerySums()
        self._histograms = {name: Counter[int]() for name in RATINGS}
        self._refused: Counter[str] = Counter()
        self._cut = 0

    def add(self, query_id: str, quality: Mapping[str, Any]) -> None:
        """Add one row's `quality`; ignored without a rating."""
        rating = quality.get("rating")
        if not rating:
            return
        self._cut += rating.get("cut", False)
        if "refusal" in rating:
            reason = rating["refusal"]
            full = len(self._refused) >= MOST_REASONS and reason not in self._refused
            self._refused["other reasons" if full else reason] += 1
            return
        index = self._sums.index(query_id)
        for name, value in rating["ratings"].items():
            self._sums.add(index, f"ratings.{name}", value, 1)
            self._histograms[name][int(value + 0.5)] += 1
        self._sums.add(index, f"ratings.{SEVERE}", rating[SEVERE], 1)

    def figures(self) -> dict[str, Any]:
        """Return {"ratings": means, share of severe inventions, counts}; {} without a judge."""
        means = self._sums.means()
        rows, refused = self._sums.rows[f"ratings.{SEVERE}"], self._refused.total()
        if not rows and not refused:
            return {}
        values = {name: means.get(f"ratings.{name}") for name in (*RATINGS, SEVERE)}
        return {"ratings": values | {"rows": rows, "refused": refused, "texts_cut": self._cut}}

    def statistics(self, seed: int) -> dict[str, dict[str, Any]]:
        """Return `intervals` and `counts` by measure, to merge with those of other measures."""
        names = sorted(self._sums.rows)
        return {
            "intervals": {
                name: self._sums.interval(name, seed, share=name.endswith(SEVERE)) for name in names
            },
            "counts": {name: self._sums.rows[name] for name in names},
        }

    def details(self) -> dict[str, Any]:
        """Return `rating_counts`: rows per point, by rating, with means rounded; and
        `rating_refusals`: rows by reason."""
        if not self.figures():
            return {}
        points = range(LOW, HIGH + 1)
        return {
            "rating_counts": {
                name: [counts[point] for point in points]
                for name, counts in self._histograms.items()
            },
            "rating_refusals": dict(
                sorted(self._refused.items(), key=lambda item: (-item[1], item[0]))[:SHOWN_REASONS]
            ),
        }
