"""How far a score can be read as the probability of yes: Brier, log loss, ECE, reliability.

From counts and sums by bin, so that memory does not grow with the rows; AUC by ranks.
"""

import math
from collections.abc import Iterator, Sequence

from prism_cli.domain.ranks import RankAuc
from prism_cli.domain.significance import wilson_interval

BINS = 15
"""Of ECE and of a reliability curve; Guo et al. 2017 use as many."""
_FINE = 1000 * BINS
"""Bins in which rows are counted; those of ECE are made of whole ones."""
_ROUNDING = 1e-9
EDGE = 1e-7
"""Log loss takes scores as no nearer to 0 and 1; float32 tells no more, and it stays finite."""
"""Of the normal distribution, for 95 %."""


class ScoreCalibration:
    """Scores against verdicts: `add` each row that has both, then `content` and `curves`."""

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
            order: what AUC goes by in place of the score, such as the logit, since scores are
                rounded.
        """
        yes = verdict == "yes"
        place = min(int(score * _FINE + _ROUNDING), _FINE - 1)
        self._rows[place] += 1
        self._yes[place] += yes
        self._sums[place] += score
        self._squares += (score - yes) ** 2
        self._auc.add(score if order is None else order, yes)
        inside = min(max(score, EDGE), 1 - EDGE)
        self._log_loss -= math.log(inside if yes else 1 - inside)

    def content(self) -> dict[str, float | int | None]:
        """Plain numbers; None without rows, AUC also where all verdicts are one.

        rows, mean_score, yes_rate: what was counted.
        brier: mean of (score - verdict)², yes being 1; lower is better.
        brier_reliability, brier_resolution, brier_uncertainty (Murphy 1973), over BINS equal-width
            bins: brier = reliability - resolution + uncertainty + brier_within_bins, the last being
            what scores that differ within a bin add.
        log_loss: mean of -ln of the probability given to the verdict, scores cut at EDGE.
        ece: Σ over equal-width bins of (rows of the bin / rows) · |share of yes - mean score|
            (Naeini et al. 2015; Guo et al. 2017, for the probability of yes, not of the class
            chosen). The last bin holds 1.0; other bounds belong to the bin above them.
        ece_equal_mass: the same over up to BINS bins of about as many rows each. Equal scores share
            a bin, so there are fewer where many rows have one score.
        ece_by_chance: what `ece` would be on average if the scores were calibrated: so few rows
            show that much. It is the mean of a normal distribution's absolute value, bin by bin.
        auc: chance that a yes stands above a no, by exact ranks of what `add` was given as order,
            else of the scores; ties count half. Ranks within a query cannot be compared across
            queries, so they have no part in it.
        auc_error: how far that may lie off: 0 up to `ranks.EXACT_ROWS` rows.
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
        """Reliability curves by kind of bin, `equal_width` and `equal_mass`; empty bins left out.

        Each point: from, to (bounds of the bin), rows, mean_score, yes_rate, low, high (the Wilson
        interval of yes_rate).
        """
        return {
            "equal_width": self._curve(self._equal_width()),
            "equal_mass": self._curve(self._equal_mass()),
        }

    def _curve(self, bounds: Sequence[tuple[int, int]]) -> list[dict[str, float | int]]:
        found = []
        for (start, end), (rows, yes, mean) in zip(bounds, self._merged(bounds), strict=True):
            low, high = wilson_interval(yes, rows)
            found.append(
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
        return found

    def _merged(self, bounds: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int, float]]:
        """Rows, yes, mean score of each bin."""
        for start, end in bounds:
            rows = sum(self._rows[start:end])
            yield rows, sum(self._yes[start:end]), math.fsum(self._sums[start:end]) / rows

    def _equal_width(self) -> list[tuple[int, int]]:
        """Bounds in fine bins, of bins that hold rows."""
        step = _FINE // BINS
        return [
            (start, start + step)
            for start in range(0, _FINE, step)
            if any(self._rows[start : start + step])
        ]

    def _equal_mass(self) -> list[tuple[int, int]]:
        """As above: a bin ends where the next BINS-th part of the rows is full."""
        rows, passed, start, full = sum(self._rows), 0, 0, 1
        found: list[tuple[int, int]] = []
        for place, count in enumerate(self._rows):
            passed += count
            if count and passed * BINS >= rows * full:
                found.append((start, place + 1))
                start, full = place + 1, passed * BINS // rows + 1
        return found


def _ece(bins: Sequence[tuple[int, int, float]], rows: int) -> float:
    return math.fsum(abs(yes - count * mean) for count, yes, mean in bins) / rows
