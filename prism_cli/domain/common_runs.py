"""Common runs of words of a text and a document: the longest first."""

from bisect import bisect_right
from collections.abc import Sequence
from heapq import heapify, heappop, heappush
from itertools import repeat
from typing import NamedTuple

MAX_EDIT = 3
"""Most words of an edit over which runs are joined, on either side; twice as many characters in
scripts without blanks."""


class Run(NamedTuple):
    """Words [start, end) of a text, and where the same words begin in the document."""

    start: int
    end: int
    source: int

    @property
    def source_end(self) -> int:
        return self.source + self.end - self.start


def common_runs(target: Sequence[str], source: Sequence[str]) -> list[Run]:
    """Return common runs without overlap in `target`, in order: the longest first, each at the
    place next to its neighbours. A single word counts only within an edit of a neighbour."""
    numbers = {word: chr(number) for number, word in enumerate(dict.fromkeys(target), 1)}
    text = "".join(map(numbers.__getitem__, target))
    document = "".join(map(numbers.get, source, repeat("\0")))
    waiting = [(-length, at) for at, length in enumerate(_longest(text, document)) if length]
    heapify(waiting)
    runs: list[Run] = []
    while waiting:
        length, start = heappop(waiting)
        index = bisect_right(runs, start, key=_run_start)
        left, right = runs[index - 1 : index], runs[index : index + 1]
        if left and left[0].end > start:
            continue
        free = right[0].start - start if right else -length
        if -length > free:
            heappush(waiting, (-free, start))
            continue
        neighbours = [run.source_end + start - run.end for run in left]
        neighbours += [run.source - run.start + start for run in right]
        place = _nearest(document, text[start : start - length], neighbours)
        if place >= 0:
            runs.insert(index, Run(start, start - length, place))
    return runs


def _run_start(run: Run) -> int:
    return run.start


def _longest(text: str, document: str) -> list[int]:
    """Return for each place in `text` the length of the longest run that `document` has, too."""
    lengths: list[int] = []
    shared = set(document)
    length, place, size = 0, -1, len(text)
    for start in range(size):
        length, place = max(0, length - 1), place + 1
        while start + length < size and text[start + length] in shared:
            if not length or document[place + length : place + length + 1] != text[start + length]:
                longer = document.find(text[start : start + length + 1])
                if longer < 0:
                    break
                place = longer
            length += 1
        lengths.append(length)
    return lengths


def _nearest(document: str, run: str, expected: Sequence[int]) -> int:
    """Return the place of `run` nearest to one that is expected; -1 without one."""
    if not expected:
        return document.find(run)
    reach = 2 * MAX_EDIT if len(run) == 1 else len(document)
    places = []
    for place in expected:
        low, high = max(0, place - reach), place + reach + len(run)
        behind = document.find(run, max(0, place), max(0, high))
        before = document.rfind(run, low, max(0, place) + len(run) - 1)
        places += [(abs(found - place), found) for found in (behind, before) if found >= 0]
    return min(places, default=(0, -1))[1]


def cut_run(run: Run, first: int, last: int) -> Run:
    """Return the part of a run within the words [first, last)."""
    start = max(run.start, first)
    return Run(start, min(run.end, last), run.source + start - run.start)
