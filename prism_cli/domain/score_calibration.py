"""Measures of how well a score is calibrated as the probability of yes: Brier, log loss, ECE,
reliability curves. The transformation of teachers' scores is in `calibration`.

Counts and sums by bin, so memory does not grow with the rows; AUC by ranks.
"""

import math
from collections.abc import Iterator, Sequence

from prism_cli.domain.ranks import RankAuc
from prism_cli.domain.score_figures import score_bin
from prism_cli.domain.significance import wilson_interval

BINS = 15
"""Bins of ECE and of a reliability curve, as in Guo et al. 2017."""
_FINE = 1000 * BINS
"""Bins in which rows are counted; each bin of ECE consists of whole ones."""
EDGE = 1e-7
"""Log loss clips scores to [EDGE, 1 - EDGE]: float32 resolves no more, and the loss is finite."""


class ScoreCalibration:
    """Compares scores with verdicts: `add` each row that has both, then `content` and `curves`."""

    def __init__(self) -> None:
        self._rows = [0] * _FINE
        self._yes = [0] * _FINE
        self._sums = [0.0] * _FINE
        self._squares = 0.0
        self._log_loss = 0.0
        self._auc = RankAuc()

    def add(self, score: float, verdict: str, order: float | None = None) -> None:
        """Count one score, in [0, 1], of a row whose verdict is "yes" or "no".

        Args:
            order: value that AUC ranks by instead of the score, such as the logit, since scores are
                rounded.
        """
        yes = verdict == "yes"
        index = score_bin(score, _FINE)
        self._rows[index] += 1
        self._yes[index] += yes
        self._sums[index] += score
        self._squares += (score - yes) ** 2
        self._auc.add(score if order is None else order, yes)
        clipped = min(max(score, EDGE), 1 - EDGE)
        self._log_loss -= math.log(clipped if yes else 1 - clipped)

    def content(self) -> dict[str, float | int | None]:
        """Return plain numbers; None without rows, AUC also where all verdicts are equal.

        rows, mean_score, yes_rate: of the rows that were added.
        brier: mean of (score - verdict)², yes being 1; lower is better.
        brier_reliability, brier_resolution, brier_uncertainty (Murphy 1973), over BINS equal-width
            bins: brier = reliability - resolution + uncertainty + brier_within_bins, the last being
            what scores that differ within a bin add.
        log_loss: mean of -ln of the probability of the verdict, scores clipped at EDGE.
        ece: Σ over equal-width bins of (rows of the bin / rows) · |share of yes - mean score|
            (Naeini et al. 2015; Guo et al. 2017, for the probability of yes, not of the class
            chosen). The last bin holds 1.0; other bounds belong to the bin above them.
        ece_equal_mass: the same over up to BINS bins of about as many rows each. Equal scores share
            a bin, so there are fewer where many rows have one score.
        ece_by_chance: expected `ece` of calibrated scores with so few rows: the mean of a normal
            distribution's absolute value, bin by bin.
        auc: probability that a yes ranks above a no, by exact ranks of `order`, else of the
            scores; ties count half. Ranks within a query are not comparable across queries, so
            they are not used.
        auc_error: largest possible error of `auc`: 0 up to `ranks.EXACT_ROWS` rows.
        """
        rows = sum(self._rows)
        names = (
            "mean_score", "yes_rate", "brier", "brier_reliability", "brier_resolution",
            "brier_uncertainty", "brier_within_bins", "log_loss", "ece", "ece_equal_mass",
            "ece_by_chance", "auc", "auc_error",
        )  # fmt: skip
        if not rows:
            return {"rows": 0, **dict.fromkeys(names)}
        wide = list(self._merged(self._equal_width()))
        rate = sum(self._yes) / rows
        brier = self._squares / rows
        reliability = sum(count * (yes / count - mean) ** 2 for count, yes, mean in wide) / rows
        resolution = sum(count * (yes / count - rate) ** 2 for count, yes, _ in wide) / rows
        uncertainty = rate * (1 - rate)
        values = (
            math.fsum(self._sums) / rows,
            rate,
            brier,
            reliability,
            resolution,
            uncertainty,
            brier - (reliability - resolution + uncertainty),
            self._log_loss / rows,
            _ece(wide, rows),
            _ece(list(self._merged(self._equal_mass())), rows),
            sum(math.sqrt(2 / math.pi * n * mean * (1 - mean)) for n, _, mean in wide) / rows,
            *self._auc.figures(),
        )
        return {"rows": rows, **dict(zip(names, values, strict=True))}

    def curves(self) -> dict[str, list[dict[str, float | int]]]:
        """Return reliability curves by kind of bin, `equal_width` and `equal_mass`, without empty
        bins.

        Each point: from, to (bounds of the bin), rows, mean_score, yes_rate, low, high (the Wilson
        interval of yes_rate).
        """
        return {
            "equal_width": self._curve(self._equal_width()),
            "equal_mass": self._curve(self._equal_mass()),
        }

    def _curve(self, bounds: Sequence[tuple[int, int]]) -> list[dict[str, float | int]]:
        points = []
        for (start, end), (rows, yes, mean) in zip(bounds, self._merged(bounds), strict=True):
            low, high = wilson_interval(yes, rows)
            points.append(
                {
                    "from": start / _FINE,
                    "to": end / _FINE,
                    "rows": rows,
                    "mean_score": mean,
                    "yes_rate": yes / rows,
                    "low": low,
                    "high": high,
                }
            )
        return points

    def _merged(self, bounds: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int, float]]:
        """Yield rows, yes and mean score of each bin."""
        for start, end in bounds:
            rows = sum(self._rows[start:end])
            yield rows, sum(self._yes[start:end]), math.fsum(self._sums[start:end]) / rows

    def _equal_width(self) -> list[tuple[int, int]]:
        """Return the bounds, in fine bins, of the bins that have rows."""
        step = _FINE // BINS
        return [
            (start, start + step)
            for start in range(0, _FINE, step)
            if any(self._rows[start : start + step])
        ]

    def _equal_mass(self) -> list[tuple[int, int]]:
        """Return such bounds: a bin ends where the next BINS-th part of the rows is full."""
        rows, passed, start, full = sum(self._rows), 0, 0, 1
        bounds: list[tuple[int, int]] = []
        for index, count in enumerate(self._rows):
            passed += count
            if count and passed * BINS >= rows * full:
                bounds.append((start, index + 1))
                start, full = index + 1, passed * BINS // rows + 1
        return bounds


def _ece(bins: Sequence[tuple[int, int, float]], rows: int) -> float:
    return math.fsum(abs(yes - count * mean) for count, yes, mean in bins) / rows
