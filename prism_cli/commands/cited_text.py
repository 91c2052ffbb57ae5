"""Evidence with its sources as text: the document's sentences, the cited parts of them marked."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import pairwise
from operator import itemgetter
from typing import TYPE_CHECKING

from prism_cli.domain.sentences import sentence_spans
from prism_cli.reporting.sanitize import escape_invisible

if TYPE_CHECKING:
    from rich.text import Text

    from prism_cli.rows.best_documents import RankedDocument

_BAR = 10
_LONGEST = 2_000
"""Most characters shown of a document."""
_ORIGINS = {
    "repaired": "repaired: sentences with facts that the document lacks were replaced by its own",
    "selected": "the document's sentences that the model scores best",
    "extracted": "the document's own sentences",
}
_CITED, _UNSUPPORTED = ("⟦", "⟧", "black on bright_yellow"), ("⟨?", "⟩", "bold red")
"""Signs around a marked part, and its style."""

Span = tuple[int, int]


def score_bar(score: float) -> str:
    """Return a bar of 10 characters for a score in [0, 1]."""
    full = round(_BAR * score)
    return "█" * full + "░" * (_BAR - full)


def cited_lines(document: "RankedDocument", *, signs: bool) -> "list[tuple[str, str | Text]]":
    """Return (name, text) of contribution, evidence, its origin, and the parts that it cites.

    Args:
        signs: put signs around marked parts, for output without colour.
    """
    result = document.result
    lines: list[tuple[str, str | Text]] = []
    for name, ranges in (("contribution", "contribution_unsupported"), ("evidence", "unsupported")):
        if text := result.get(name):
            unsupported = _merged(result.get(ranges) or (), len(text))
            lines.append((name, _marked(text, [(0, len(text))], unsupported, _UNSUPPORTED, signs)))
    if origin := _ORIGINS.get(result.get("evidence_origin") or ""):
        lines.append(("", f"({origin})"))
    for field, text in (("title", document.title), ("document", document.text)):
        sources = (
            (one["source_start"], one["source_end"])
            for one in result.get("citations") or ()
            if one["field"] == field
        )
        cited = _merged(sources, len(text))
        if cited:
            lines.append((field, _marked(text, _shown(text, cited), cited, _CITED, signs)))
    return lines


def _merged(ranges: Iterable[Sequence[int]], length: int) -> list[Span]:
    """Return the ranges in order, overlapping ones merged; one outside the text, as of a row whose
    document changed since, is left out."""
    merged: list[Span] = []
    for start, end in sorted((start, end) for start, end in ranges):
        if not 0 <= start < end <= length:
            continue
        if merged and start <= merged[-1][1]:
            start, end = merged[-1][0], max(merged.pop()[1], end)
        merged.append((start, end))
    return merged


def _shown(text: str, cited: Sequence[Span]) -> list[Span]:
    """Return the parts of a document that are shown: cited sentences with one neighbour each."""
    sentences = sentence_spans(text) or [(0, len(text))]
    near = {
        place + step
        for place, span in enumerate(sentences)
        for step in (-1, 0, 1)
        if _within(cited, *span)
    }
    parts: list[Span] = []
    for place in sorted(near & set(range(len(sentences)))):
        start, end = sentences[place]
        joined = parts and place - 1 in near
        parts.append((parts.pop()[0], end) if joined else (start, end))
    return parts or [(cited[0][0], cited[-1][1])]


def _within(spans: Sequence[Span], start: int, end: int) -> Sequence[Span]:
    """Return those of `spans`, in order and without overlap, that [start, end) touches."""
    first = bisect_right(spans, start, key=itemgetter(1))
    return spans[first : bisect_left(spans, end, key=itemgetter(0))]


def _marked(
    text: str,
    parts: Sequence[Span],
    marked: Sequence[Span],
    mark: tuple[str, str, str],
    signs: bool,
) -> "Text":
    """Return the parts of a text, separated by ellipses, with the ranges `marked` as `mark` says:
    the signs around them, and their style."""
    from rich.text import Text

    before, after, style = mark
    shown = Text()
    for part_start, part_end in parts:
        if part_start > 0:
            shown.append(" … " if shown else "…")  # one word with Chinese text, so on its line
        inside = [
            (max(start, part_start), min(end, part_end))
            for start, end in _within(marked, part_start, part_end)
        ]
        edges = sorted({part_start, part_end, *(edge for span in inside for edge in span)})
        for start, end in pairwise(edges):
            piece = re.sub(r"\s+", " ", escape_invisible(text[start:end]))
            if _within(inside, start, end):
                shown.append(f"{before}{piece}{after}" if signs else piece, style=style)
            else:
                shown.append(piece)
        if len(shown) > _LONGEST:
            shown.truncate(_LONGEST)
            break
    if parts and parts[-1][1] < len(text):
        shown.append(" …")
    return shown
