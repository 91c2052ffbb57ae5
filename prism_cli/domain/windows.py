"""Windows of a long document: overlapping slices of which each fits a model.

A window ends at a paragraph, else at a sentence, else at white space, else between two characters.
It begins with the last sentence or two of the window before. All characters are in some window.
"""

import math
import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import TypedDict

from prism_cli.domain.sentences import sentence_spans
from prism_cli.domain.words import is_between_characters, last_boundary
from prism_cli.errors import ArgumentError

WINDOW, CUT = "window", "cut"
"""Ways to read a document that does not fit: in windows, or its beginning alone."""
MIN_WINDOW = 32
"""Fewest tokens of a window: where a query leaves less room, the document is truncated."""
WHOLE_WINDOWS = 2
"""A document of at most so many windows that its model states is read at once if it fits."""
OVERLAP_SHARE = 0.12
"""Most tokens of a window that the one before has too, as a share of the limit."""
_SLACK = 8
"""A window may be longer than the mean by 1 / _SLACK of the limit, to end at a paragraph."""
_PARAGRAPH_BREAK = re.compile(r"\n[^\S\n]*\n\s*|[\x0b\f\u2029]\s*")

Span = tuple[int, int]
"""Start and end of a slice, in characters."""


class Windows(TypedDict, total=False):
    """Fields of a document that was read in windows; {} for others.

    Attributes:
        windows: number of its parts that were read; the logit is that of the best.
        best_window: range of the best part, in the caller's document without the title.
    """

    windows: int
    best_window: list[int]


def check_windows(long_documents: str, window_tokens: int | None) -> None:
    """Check the settings of a Python caller.

    Raises:
        ArgumentError: a value is not one of the possible ones.
    """
    if long_documents not in (WINDOW, CUT):
        raise ArgumentError(f"long_documents: expected window or cut, found {long_documents!r}")
    if window_tokens is not None and window_tokens < MIN_WINDOW:
        raise ArgumentError(f"window_tokens: expected {MIN_WINDOW} or more, found {window_tokens}")


def window_spans(text: str, token_starts: Sequence[int], limit: int) -> list[Span]:
    """Return the windows of `text`, in order, of about equal length.

    A window begins in or at the end of the one before. A slice may have some tokens more by itself
    than within the text, so check the result.

    Args:
        token_starts: first character of each token of the text.
        limit: most tokens of a window; a single character may have more.
    """
    splitter = _Splitter(text)
    overlap = int(limit * OVERLAP_SHARE)
    spans: list[Span] = []
    begin = 0
    while (left := len(token_starts) - bisect_left(token_starts, begin)) > limit:
        first = len(token_starts) - left
        count = math.ceil((left - overlap) / (limit - overlap))
        mean = math.ceil((left - overlap) / count) + overlap
        most = min(limit, mean + limit // _SLACK)
        shortest = max(begin, token_starts[first + most // 2])
        end = splitter.end(shortest, max(begin + 1, token_starts[first + most]))
        spans.append((begin, end))
        shared = max(first, bisect_left(token_starts, end) - overlap)
        start = splitter.start(token_starts[shared], end)
        begin = start if start > begin else end
    spans.append((begin, len(text)))
    return spans


def without_repeats(texts: Sequence[str]) -> list[str]:
    """Return the texts without sentences that earlier ones have, ignoring case and white space; a
    text of nothing else is left out."""
    seen: set[str] = set()
    kept: list[str] = []
    for text in texts:
        spans = sentence_spans(text)
        names = [" ".join(text[start:end].casefold().split()) for start, end in spans]
        ends = [start for start, _ in spans[1:]] + [len(text)]
        new = [
            text[start:end]
            for (start, _), end, name in zip(spans, ends, names, strict=True)
            if name not in seen
        ]
        if new:
            kept.append(text if len(new) == len(spans) else "".join(new).strip())
        seen.update(names)
    return kept


class _Splitter:
    """Finds places in a text at which a window may begin or end."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._paragraphs = [match.end() for match in _PARAGRAPH_BREAK.finditer(text)]
        self._sentences = [start for start, _ in sentence_spans(text)]

    def end(self, low: int, high: int) -> int:
        """Return the best end of a window in (low, high]."""
        for places in (self._paragraphs, self._sentences):
            for place in reversed(places[bisect_right(places, low) : bisect_right(places, high)]):
                if self._is_between_characters(place):
                    return place
        text = self._text
        for place in range(high, low, -1):
            if text[place - 1].isspace() and self._is_between_characters(place):
                return place
        return last_boundary(text, low, high)

    def start(self, low: int, end: int) -> int:
        """Return the best start in [low, end] of the window after one that ends at `end`."""
        places = self._sentences
        last = [
            place
            for place in places[bisect_left(places, low) : bisect_left(places, end)][-2:]
            if self._is_between_characters(place)
        ]
        if last:
            return last[0]
        text = self._text
        for place in range(max(1, low), end):
            between_words = text[place - 1].isspace() and not text[place].isspace()
            if between_words and self._is_between_characters(place):
                return place
        return next(filter(self._is_between_characters, range(low, end)), end)

    def _is_between_characters(self, place: int) -> bool:
        return is_between_characters(self._text, place)
