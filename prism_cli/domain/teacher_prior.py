"""P(yes) given a teacher's score, from rows whose truth is known as a probability.

Beta calibration (Kull, Silva Filho and Flach 2017): log odds = a ln s - b ln(1 - s) + c, with a
and b not below 0, so that a higher score never means a lower probability.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

_EDGE = 0.01
"""Scores are clipped to [_EDGE, 1 - _EDGE]: a single 0 or 1 must not decide the curve."""
_RIDGE = 0.01


@dataclass(frozen=True)
class TeacherPrior:
    """A fitted curve.

    Attributes:
        a, b, c: as above.
        edge: probabilities lie in [edge, 1 - edge]: so few rows show no more.
    """

    a: float
    b: float
    c: float
    edge: float

    @classmethod
    def fit(cls, scores: Sequence[float], yes: Sequence[float]) -> "TeacherPrior":
        """Return the curve of most likely odds.

        Args:
            scores: in [0, 1], at least one.
            yes: P(truth is yes) of each row.
        """
        import numpy as np
        from scipy.optimize import minimize
        from scipy.special import expit

        features = np.array([(*_logs(score), 1.0) for score in scores])
        targets = np.array(yes)

        def loss(weights: "np.ndarray") -> tuple[float, "np.ndarray"]:
            odds = features @ weights
            slopes = weights * np.array([1.0, 1.0, 0.0])
            value = np.logaddexp(0, odds).sum() - targets @ odds + _RIDGE * slopes @ slopes / 2
            return float(value), features.T @ (expit(odds) - targets) + _RIDGE * slopes

        bounds = [(0, None), (0, None), (None, None)]
        a, b, c = minimize(loss, np.zeros(3), jac=True, bounds=bounds).x
        return cls(float(a), float(b), float(c), 1 / (len(scores) + 2))

    def probability(self, score: float) -> float:
        """Return P(yes) of a row with this score, in [0, 1]."""
        low, high = _logs(score)
        odds = self.a * low + self.b * high + self.c
        return min(max(1 / (1 + math.exp(-odds)), self.edge), 1 - self.edge)


def _logs(score: float) -> tuple[float, float]:
    clipped = min(max(score, _EDGE), 1 - _EDGE)
    return math.log(clipped), -math.log(1 - clipped)
