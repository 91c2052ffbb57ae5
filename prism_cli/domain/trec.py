"""Lines of TREC's two formats: a run (query_id Q0 doc_id rank score tag), and judgements.

trec_eval ignores rank and order of a run: it sorts by the score in single precision, and puts the
greater document id first where scores are equal.
"""

import re
import struct
from collections.abc import Sequence
from math import isfinite
from typing import NamedTuple

from prism_cli.domain.grades import ImplausibleGradeError, check_grade
from prism_cli.errors import RowError
from prism_cli.rows.number import digits_in, number_in

_GRADE = re.compile(r"[+-]?[0-9]+")
_COLUMNS = "A run has: query Q0 document rank score tag"
_HEADER_NAMES = {"query-id", "query_id", "qid", "corpus-id", "corpus_id", "doc_id", "docid"}
_GRADE_NAMES = {"relevance", "rel", "grade", "score", "label"}
_NOT_ALLOWED = re.compile(r"[\s\x00-\x1f\x7f]")
_LARGEST = struct.unpack("<f", b"\xff\xff\x7f\x7f")[0]


def check_trec_id(name: str, value: str) -> None:
    """Raise for an id that TREC's files cannot hold, or that readers in C truncate.

    Raises:
        RowError: names the field `name`; the id is empty, or holds a blank or a control character.
    """
    if not value:
        raise RowError(name, "expected an id, found none")
    bad = _NOT_ALLOWED.search(value)
    if bad:
        kind = (
            "a NUL" if bad[0] == "\0" else "a blank" if bad[0].isspace() else "a control character"
        )
        raise RowError(
            name,
            f"expected an id without blanks and control characters, as TREC's files need it; found "
            f"{kind} in {value[:60]!r}",
        )


def falling_scores(scores: Sequence[float]) -> list[float]:
    """Return scores of a ranking, best first, that decrease strictly in single precision, so that
    sorting by them restores this order.

    A score that already decreases is kept; else it becomes the next smaller single-precision
    number.
    """
    falling: list[float] = []
    previous = float("inf")
    for score in scores:
        single = _single(score)
        written = score if abs(score) <= _LARGEST else single
        if single >= previous:
            if previous <= -_LARGEST:  # no smaller number exists
                return [float(len(scores) - place) for place in range(len(scores))]
            written = single = _next_below(previous)
        falling.append(written)
        previous = single
    return falling


def tied_scores(scores: Sequence[float]) -> list[float]:
    """Return the scores that `falling_scores` was given, up to float rounding: neighbours in single
    precision are equal."""
    tied: list[float] = []
    previous = -_LARGEST
    for score in scores:
        single = _single(score)
        is_tie = single == score and previous > -_LARGEST and single == _next_below(previous)
        tied.append(tied[-1] if is_tie else score)
        previous = single
    return tied


def _single(number: float) -> float:
    clipped = min(max(number, -_LARGEST), _LARGEST)
    return float(struct.unpack("<f", struct.pack("<f", clipped))[0])


def _next_below(single: float) -> float:
    """Return the next smaller single-precision number; `single` is not the lowest."""
    if single == 0:
        return -(2.0**-149)
    (bits,) = struct.unpack("<i", struct.pack("<f", single))
    return float(struct.unpack("<f", struct.pack("<i", bits + (-1 if single > 0 else 1)))[0])


def render_run_line(query_id: str, doc_id: str, rank: int, score: float, tag: str) -> str:
    """Return the line without newline; the score has all its digits. Ids have no blanks."""
    return f"{query_id} Q0 {doc_id} {rank} {score!r} {tag}"


class RunLine(NamedTuple):
    """One line of a run."""

    query_id: str
    doc_id: str
    rank: int
    score: float


def parse_run_line(line: str) -> RunLine:
    """Return the relevant columns of a line.

    Raises:
        RowError: not six columns, an id with a control character, a rank that is no whole number,
            or a score that is no finite number.
    """
    columns = line.split()
    if len(columns) != 6:
        raise RowError("", f"expected query Q0 document rank score tag, found {line[:60]!r}")
    query_id, _, doc_id, place, text, _ = columns
    if not (query_id.isprintable() and doc_id.isprintable()):  # fast path
        check_trec_id("query_id", query_id)
        check_trec_id("doc_id", doc_id)
    rank = digits_in(place)
    if rank is None:
        expected = f"expected a whole number in ASCII digits, found {place[:60]!r}"
        raise RowError("rank", f"{expected}; are the columns rank and score swapped? {_COLUMNS}")
    score = number_in(text)
    if score is None or not isfinite(score):
        expected = f"expected a number, found {text[:60]!r} (finite, in ASCII digits)"
        raise RowError("score", expected)
    return RunLine(query_id, doc_id, rank, score)


class RankOrder:
    """Compares the ranks of a whole run with its scores.

    Each line is compared with the previous one of the same query; equal ranks or scores are
    ignored, since some tools write one rank for all lines.
    """

    def __init__(self) -> None:
        self._last: dict[str, tuple[float, float]] = {}
        self._agrees = False
        self._against = ""

    def note(self, query_id: str, rank: float, score: float, place: str) -> None:
        """Add the next line, at `place`."""
        last_rank, last_score = self._last.get(query_id, (rank, score))
        self._last[query_id] = rank, score
        if self._agrees or rank == last_rank or score == last_score:
            return
        if (rank > last_rank) == (score < last_score):
            self._agrees = True
        else:
            self._against = self._against or place

    def merge(self, other: "RankOrder") -> None:
        """Add the lines of another run; either run may cause the warning."""
        self._against = self.against or other.against
        self._agrees = False

    @property
    def against(self) -> str:
        """The place of the first line whose score contradicts its rank; "" where no line does, or
        where any other line agrees."""
        return "" if self._agrees else self._against

    @property
    def warning(self) -> str:
        """A warning for a run whose scores contradict its ranks in all queries; else ""."""
        return (
            f"{self.against}: the scores go against the ranks, here and in all queries of the run "
            "(the best rank has the lowest score); the scores decide, as in trec_eval. Are they "
            f"distances, or are the columns swapped? {_COLUMNS}"
            if self.against
            else ""
        )


def render_judgement(query_id: str, doc_id: str, grade: int) -> str:
    """Return TREC's four columns without the newline. Ids have no white space."""
    return f"{query_id} 0 {doc_id} {grade}"


def parse_judgement(line: str) -> tuple[str, str, int] | None:
    """Return (query_id, doc_id, grade); None for a header.

    Accepts TREC's four columns (query, iteration, document, grade) and BEIR's three (query,
    document, grade), separated by tabs or blanks.

    Raises:
        RowError: another number of columns, a grade that is not an integer or out of range (see
            `check_grade`), an id that is empty or has a blank or control character.
    """
    tabs = "\t" in line.strip()  # an empty first or last column counts, a tab after blanks does not
    columns = [column.strip() for column in line.split("\t")] if tabs else line.split()
    names = [column.lower() for column in columns]
    if _HEADER_NAMES.intersection(names) or _GRADE_NAMES.intersection(names[-1:]):
        return None
    if len(columns) not in (3, 4):
        raise RowError(
            "",
            f"expected query, document, grade (or TREC's four columns), found {len(columns)} "
            f"columns: {line[:60]!r}",
        )
    query_id, doc_id, grade = columns[0], columns[-2], columns[-1]
    if not _GRADE.fullmatch(grade):
        raise RowError("score", f"expected an integer, found {grade[:60]!r}")
    check_trec_id("query-id", query_id)
    check_trec_id("corpus-id", doc_id)
    try:
        check_grade(float(grade))
    except ImplausibleGradeError as error:
        raise RowError("score", f"{error}, found {grade[:60]!r}") from None
    return query_id, doc_id, int(float(grade))
