"""Calibration of teachers for `prism distill`: raw scores become one teacher_score whose boundary
between no and yes is .5. Measures of calibrated scores (Brier, ECE) are in `score_calibration`.

teacher_score = (mean over the teachers) ** exponent. The exponent maps the raw boundary of one
named set of teachers to .5; it has no meaning for another set. Source: arXiv 2604.23734 and its
author's data script (1.609 for the Voyage pair: .65 becomes .5).
"""

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from prism_cli.rows.number import is_score
from prism_cli.rows.row import Row

KNOWN_EXPONENTS = {frozenset({"voyage/rerank-2", "voyage/rerank-2.5"}): 1.609}
"""Set of teachers -> exponent; 1.0 for other sets until an exponent is given or fitted."""
MIN_FIT_ROWS = 20
_EDGE = 1e-6


@dataclass(frozen=True, slots=True)
class Calibration:
    """An exponent and its origin.

    Attributes:
        origin: a description for the summary and the manifest.
        known: False where no exponent is known for these teachers and the raw mean is kept.
    """

    exponent: float
    origin: str
    known: bool = True

    @property
    def raw_boundary(self) -> float:
        """The raw mean that is mapped to .5."""
        return float(0.5 ** (1 / self.exponent))


@dataclass(frozen=True, slots=True)
class Boundary:
    """The raw score that separates yes from no best.

    Attributes:
        raw: the boundary, in (0, 1); yes where the raw mean is above it.
        balanced_accuracy: mean of the shares of yes and of no on their side of it; in (.5, 1].
        yes, no: number of rows of each.
    """

    raw: float
    balanced_accuracy: float
    yes: int
    no: int

    @property
    def exponent(self) -> float:
        """The e with raw ** e = .5, so that x ** e > .5 where x > raw."""
        return math.log(0.5) / math.log(self.raw)


class NoBoundaryError(ValueError):
    """No boundary between no and yes can be fitted to these rows; the message gives the reason."""


def raw_mean(scores: Mapping[str, float], teachers: Collection[str]) -> float:
    """Return the mean of the named teachers' scores, in [0, 1].

    Raises:
        KeyError: a teacher has no score.
    """
    mean = math.fsum(scores[name] for name in teachers) / len(teachers)
    return min(1.0, max(0.0, mean))


def calibrated(raw: float, exponent: float) -> float:
    """Return raw ** exponent: [0, 1] into itself, in the same order.

    Args:
        exponent: above 0.
    """
    return float(raw**exponent)


def default_calibration(teachers: Iterable[str]) -> Calibration:
    """Return the known exponent of exactly this set of teachers, else 1.0."""
    exponent = KNOWN_EXPONENTS.get(frozenset(teachers))
    if exponent is None:
        return Calibration(1.0, "none is known for these teachers: the raw mean as it is", False)
    return Calibration(exponent, "known for exactly these teachers (arXiv 2604.23734)")


def labelled_scores(
    rows: Iterable[Row], teachers: Sequence[str]
) -> tuple[list[tuple[float, bool]], Counter[str]]:
    """Return (raw mean, verdict is yes) of rows with both, and why others are skipped."""
    labelled: list[tuple[float, bool]] = []
    skipped: Counter[str] = Counter()
    for row in rows:
        scores, verdict = row.get("teacher_scores"), row.get("verdict")
        if verdict not in ("yes", "no"):
            skipped["no verdict"] += 1
        elif not isinstance(scores, dict) or not all(
            is_score(scores.get(teacher)) for teacher in teachers
        ):
            skipped["no score of each of these teachers"] += 1
        else:
            labelled.append((raw_mean(scores, teachers), verdict == "yes"))
    return labelled, skipped


def fitted_boundary(labelled: Sequence[tuple[float, bool]]) -> Boundary:
    """Return the raw boundary of the highest balanced accuracy, in the middle of its plateau.

    All boundaries between two neighbouring scores are equally good; of several best plateaus the
    widest is taken, then the lowest.

    Args:
        labelled: (raw mean in [0, 1], verdict is yes), in any order.

    Raises:
        NoBoundaryError: fewer than MIN_FIT_ROWS rows, one verdict only, or no boundary better than
            chance.
    """
    yes = sorted(raw for raw, is_yes in labelled if is_yes)
    no = sorted(raw for raw, is_yes in labelled if not is_yes)
    if len(labelled) < MIN_FIT_ROWS:
        raise NoBoundaryError(f"expected {MIN_FIT_ROWS} or more usable rows, found {len(labelled)}")
    if not yes or not no:
        raise NoBoundaryError(f"expected both verdicts, found {len(yes)} yes and {len(no)} no")
    points = sorted({*yes, *no})
    # For each gap: yes above it plus no below it, over one denominator, so that ties are exact.
    merits = [
        (len(yes) - bisect_right(yes, point)) * len(no) + bisect_right(no, point) * len(yes)
        for point in points[:-1]
    ]
    best = max(merits, default=0)
    accuracy = best / (2 * len(yes) * len(no))
    if best <= len(yes) * len(no):
        raise NoBoundaryError("no boundary separates yes from no better than chance")
    low, high = max(_plateaus(points, merits, best), key=lambda ends: (ends[1] - ends[0], -ends[0]))
    middle = min(1 - _EDGE, max(_EDGE, (low + high) / 2))
    return Boundary(middle, accuracy, len(yes), len(no))


def _plateaus(
    points: Sequence[float], merits: Sequence[int], best: int
) -> list[tuple[float, float]]:
    """Return runs of neighbouring gaps of merit `best`, as (low, high)."""
    runs: list[tuple[float, float]] = []
    for index, merit in enumerate(merits):
        if merit != best:
            continue
        if index and merits[index - 1] == best:
            runs[-1] = (runs[-1][0], points[index + 1])
        else:
            runs.append((points[index], points[index + 1]))
    return runs
