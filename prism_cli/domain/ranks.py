"""AUC by exact ranks; for very many rows in bounded memory, with an error bound.

AUC is the probability that a yes scores above a no; ties count half.
"""

from array import array
from bisect import bisect_left, bisect_right

EXACT_ROWS = 500_000
"""Rows with a verdict up to which AUC is exact; their scores are stored, 8 bytes each."""
_CELLS = 1 << 14
"""Beyond these, rows are counted in cells with equal shares of the first EXACT_ROWS rows."""


class RankAuc:
    """Compares scores with verdicts: `add` each row that has both.

    Args:
        exact_rows: number of rows up to which all scores are stored.
    """

    def __init__(self, exact_rows: int = EXACT_ROWS) -> None:
        self._limit = exact_rows
        self._scores = (array("d"), array("d"))  # of no, of yes
        self._bounds: list[float] = []
        # (no, yes) by rising score: below the first bound, at it, between it and the next, …
        self._cells: list[list[int]] = []
        self._lost = False  # cells of two such objects cannot be merged

    def add(self, score: float, yes: bool) -> None:
        """Count one row."""
        if self._bounds:
            self._count(score, yes)
            return
        self._scores[yes].append(score)
        if len(self._scores[0]) + len(self._scores[1]) > self._limit:
            self._turn_to_cells()

    def merge(self, other: "RankAuc") -> None:
        """Add the rows of `other`; where both exceed the limit, AUC is unknown."""
        self._lost |= other._lost or bool(self._bounds and other._bounds)
        if other._bounds and not self._bounds:
            self._bounds, self._cells = other._bounds, other._cells
            rows, self._scores = self._scores, (array("d"), array("d"))
        else:
            rows = other._scores
        for yes, scores in enumerate(rows):
            for score in scores:
                self.add(score, bool(yes))

    def figures(self) -> tuple[float | None, float | None]:
        """Return AUC and its largest possible error: 0 while it is exact. (None, None) where one of
        the two verdicts is missing, or AUC is unknown."""
        if self._lost:
            return None, None
        if self._bounds:
            return self._of_cells()
        no, yes = sorted(self._scores[0]), self._scores[1]
        if not no or not yes:
            return None, None
        won = sum(bisect_left(no, score) + bisect_right(no, score) for score in yes)
        return won / (2 * len(no) * len(yes)), 0.0

    def _of_cells(self) -> tuple[float | None, float | None]:
        won = unknown = below = yes_total = 0  # won, unknown: twice the pairs
        for index, (no, yes) in enumerate(self._cells):
            won += yes * (2 * below + no)
            unknown += 0 if index % 2 else yes * no  # those at a bound are ties
            below += no
            yes_total += yes
        pairs = 2 * below * yes_total
        return (won / pairs, unknown / pairs) if pairs else (None, None)

    def _turn_to_cells(self) -> None:
        every = sorted([*self._scores[0], *self._scores[1]])
        self._bounds = sorted({every[at * len(every) // _CELLS] for at in range(_CELLS)})
        self._cells = [[0, 0] for _ in range(2 * len(self._bounds) + 1)]
        for yes, scores in enumerate(self._scores):
            for score in scores:
                self._count(score, bool(yes))
        self._scores = (array("d"), array("d"))

    def _count(self, score: float, yes: bool) -> None:
        index = bisect_left(self._bounds, score)
        at_bound = index < len(self._bounds) and self._bounds[index] == score
        self._cells[2 * index + at_bound][yes] += 1
