"""Figures of many scores in [0, 1] in bounded memory: quantiles, agreement with verdicts, AUC."""

from collections.abc import Sequence

from prism_cli.domain.ranks import RankAuc

BINS = 1000
"""Of one score; quantiles are exact to one bin. AUC goes by the scores themselves."""
BOUNDARY = 0.5
_ROUNDING = 1e-9
"""0.289 * 1000 is below 289."""


class ScoreFigures:
    """Counts scores, apart by verdict."""

    def __init__(self) -> None:
        self._bins = {verdict: [0] * (BINS + 1) for verdict in ("yes", "no", None)}
        self._sum = 0.0
        self._agreed = 0
        self._auc = RankAuc()

    def add(self, score: float, verdict: str | None, order: float | None = None) -> None:
        """Count one score, in [0, 1].

        Args:
            verdict: "yes", "no" or, where there is none, None.
            order: what AUC goes by in place of the score, where that is rounded.
        """
        self._bins[verdict][int(score * BINS + _ROUNDING)] += 1
        self._sum += score
        if verdict is not None:
            self._agreed += (score > BOUNDARY) == (verdict == "yes")
            self._auc.add(score if order is None else order, verdict == "yes")

    def merge(self, other: "ScoreFigures") -> None:
        """Add the scores that `other` counted."""
        for verdict, bins in other._bins.items():
            self._bins[verdict] = [*map(sum, zip(self._bins[verdict], bins, strict=True))]
        self._sum += other._sum
        self._agreed += other._agreed
        self._auc.merge(other._auc)

    @property
    def count(self) -> int:
        """Scores counted."""
        return sum(map(sum, self._bins.values()))

    def row(self) -> dict[str, object]:
        """Count, mean, quantiles and, where verdicts exist, how far the scores go with them.

        agreement: share of rows whose score lies on the verdict's side of .5. AUC: chance that a
        yes scores above a no; with `AUC error` where there were too many rows for exact ranks. None
        where it means nothing.
        """
        count = self.count
        if not count:
            return {"scores": 0}
        every = [sum(column) for column in zip(*self._bins.values(), strict=True)]
        judged = sum(self._bins["yes"]) + sum(self._bins["no"])
        area, error = self._auc.figures()
        return {
            "scores": count,
            "mean": round(self._sum / count, 4),
            **{f"p{share}": _quantile(every, share / 100) for share in (10, 50, 90)},
            "agreement": round(self._agreed / judged, 4) if judged else None,
            "AUC": None if area is None else round(area, 4),
            **({"AUC error": error} if error else {}),
        }

    def histogram(self, buckets: int = 10) -> dict[str, int]:
        """Rows by lower edge of `buckets` equal buckets; 1.0 lies in the last."""
        found = [0] * buckets
        for column in self._bins.values():
            for index, number in enumerate(column):
                found[min(index * buckets // BINS, buckets - 1)] += number
        return {f"{index / buckets:.2f}": number for index, number in enumerate(found)}


def _quantile(bins: Sequence[int], share: float) -> float:
    """The lower edge of the bin that holds the quantile."""
    wanted, passed = share * sum(bins), 0
    for index, number in enumerate(bins):
        passed += number
        if number and passed >= wanted:
            return index / BINS
    return 1.0
