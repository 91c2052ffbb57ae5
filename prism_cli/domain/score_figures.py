"""Figures of many scores in [0, 1] in bounded memory: quantiles, agreement with verdicts, AUC."""

from collections.abc import Sequence

from prism_cli.domain.ranks import RankAuc
from prism_cli.domain.scoring import answer_of

BINS = 1000
"""Number of bins; quantiles are exact to one bin. AUC uses the scores themselves."""
_ROUNDING = 1e-9
"""Compensates floating-point error: 0.289 * 1000 is below 289."""


def score_bin(score: float, bins: int) -> int:
    """Return the bin of a score, for figures: one that lies less than a rounding error below an
    edge counts above it. `sampling.bin_of` is exact, since a sample keeps the bounds of its bins.
    """
    return min(int(score * bins + _ROUNDING), bins - 1)


class ScoreFigures:
    """Counts scores by verdict."""

    def __init__(self) -> None:
        self._bins = {verdict: [0] * (BINS + 1) for verdict in ("yes", "no", None)}
        self._sum = 0.0
        self._agreed = 0
        self._auc = RankAuc()

    def add(self, score: float, verdict: str | None, order: float | None = None) -> None:
        """Count one score, in [0, 1].

        Args:
            verdict: "yes", "no" or None.
            order: value that AUC ranks by instead of the score, where that is rounded.
        """
        self._bins[verdict][int(score * BINS + _ROUNDING)] += 1
        self._sum += score
        if verdict is not None:
            self._agreed += answer_of(score) == verdict
            self._auc.add(score if order is None else order, verdict == "yes")

    def merge(self, other: "ScoreFigures") -> None:
        """Add the scores of `other`."""
        for verdict, bins in other._bins.items():
            self._bins[verdict] = [*map(sum, zip(self._bins[verdict], bins, strict=True))]
        self._sum += other._sum
        self._agreed += other._agreed
        self._auc.merge(other._auc)

    @property
    def count(self) -> int:
        """Number of scores."""
        return sum(map(sum, self._bins.values()))

    def row(self) -> dict[str, object]:
        """Return count, mean, quantiles and, where verdicts exist, agreement and AUC.

        agreement: share of rows whose score is on the verdict's side of .5. AUC: probability that a
        yes scores above a no; with `AUC error` where there were too many rows for exact ranks. None
        where undefined.
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
        """Return the number of rows by lower edge of `buckets` equal buckets; the last has 1.0."""
        rows = [0] * buckets
        for bins in self._bins.values():
            for index, count in enumerate(bins):
                rows[min(index * buckets // BINS, buckets - 1)] += count
        return {f"{index / buckets:.2f}": count for index, count in enumerate(rows)}


def _quantile(bins: Sequence[int], share: float) -> float:
    """Return the lower edge of the bin that has the quantile."""
    wanted, cumulated = share * sum(bins), 0
    for index, count in enumerate(bins):
        cumulated += count
        if count and cumulated >= wanted:
            return index / BINS
    return 1.0
