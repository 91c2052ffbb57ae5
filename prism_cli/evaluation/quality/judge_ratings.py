"""Ratings of rows.jsonl, line by line, to figures; what is held are sums by query."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from prism_cli.domain.rating_task import HIGH, LOW, RATINGS, SEVERE
from prism_cli.evaluation.quality.query_sums import QuerySums

MOST_REASONS, SHOWN_REASONS = 1000, 10


class JudgeRatings:
    """Add rows in any order; what has no rating is passed over."""

    def __init__(self) -> None:
        self._sums = QuerySums()
        self._spread = {name: Counter[int]() for name in RATINGS}
        self._refused: Counter[str] = Counter()
        self._cut = 0

    def add(self, query_id: str, quality: Mapping[str, Any]) -> None:
        """One row's `quality`."""
        rating = quality.get("rating")
        if not rating:
            return
        self._cut += rating.get("cut", False)
        if "refusal" in rating:
            why = rating["refusal"]
            full = len(self._refused) >= MOST_REASONS and why not in self._refused
            self._refused["other reasons" if full else why] += 1
            return
        place = self._sums.place(query_id)
        for name, one in rating["ratings"].items():
            self._sums.add(place, f"ratings.{name}", one, 1)
            self._spread[name][int(one + 0.5)] += 1
        self._sums.add(place, f"ratings.{SEVERE}", rating[SEVERE], 1)

    def figures(self) -> dict[str, Any]:
        """{"ratings": means, share of severe inventions, rows}; nothing where no judge was."""
        means = self._sums.means()
        rows, refused = self._sums.rows[f"ratings.{SEVERE}"], self._refused.total()
        if not rows and not refused:
            return {}
        found = {name: means.get(f"ratings.{name}") for name in (*RATINGS, SEVERE)}
        return {"ratings": found | {"rows": rows, "refused": refused, "texts_cut": self._cut}}

    def statistics(self, seed: int) -> dict[str, dict[str, Any]]:
        """`intervals` and `counts` by measure, to be put beside those of other measures."""
        names = sorted(self._sums.rows)
        return {
            "intervals": {
                name: self._sums.interval(name, seed, share=name.endswith(SEVERE)) for name in names
            },
            "counts": {name: self._sums.rows[name] for name in names},
        }

    def details(self) -> dict[str, Any]:
        """`rating_counts`: rows a point, by rating, means rounded; `rating_refusals`: why."""
        if not self.figures():
            return {}
        points = range(LOW, HIGH + 1)
        return {
            "rating_counts": {name: [one[p] for p in points] for name, one in self._spread.items()},
            "rating_refusals": dict(
                sorted(self._refused.items(), key=lambda one: (-one[1], one[0]))[:SHOWN_REASONS]
            ),
        }
