"""Lines of TREC's two formats: a run (query_id Q0 doc_id rank score tag), and judgements."""

import re
from math import isfinite

from prism_cli.errors import RowError

_GRADE = re.compile(r"[+-]?[0-9]+")
_HEADER_NAMES = {"query-id", "query_id", "qid", "corpus-id", "corpus_id", "doc_id", "docid"}


def render_run_line(query_id: str, doc_id: str, rank: int, score: float, tag: str) -> str:
    """The line, without its end; the score keeps all its digits. Ids and tag hold no blanks."""
    return f"{query_id} Q0 {doc_id} {rank} {score!r} {tag}"


def parse_run_line(line: str) -> tuple[str, str, float]:
    """(query_id, doc_id, score); the rank is what the scores say, so the column is not read.

    Raises:
        RowError: not six columns, or a score that is no finite number.
    """
    columns = line.split()
    if len(columns) != 6:
        raise RowError("", f"expected query Q0 document rank score tag, found {line[:60]!r}")
    query_id, _, doc_id, _, text, _ = columns
    try:
        score = float(text)
    except ValueError:
        raise RowError("score", f"expected a number, found {text!r}") from None
    if not isfinite(score):
        raise RowError("score", f"expected a finite number, found {text!r}")
    return query_id, doc_id, score


def render_judgement(query_id: str, doc_id: str, grade: int) -> str:
    """TREC's four columns, without the line's end. Ids hold no blanks."""
    return f"{query_id} 0 {doc_id} {grade}"


def parse_judgement(line: str) -> tuple[str, str, int] | None:
    """(query_id, doc_id, grade); None for a header.

    Takes TREC's four columns (query, iteration, document, grade) and BEIR's three (query, document,
    grade), split by tabs or blanks.

    Raises:
        RowError: another number of columns, a grade that is no integer, or an empty id.
    """
    columns = [one.strip() for one in line.split("\t")] if "\t" in line else line.split()
    if any(one.lower() in _HEADER_NAMES for one in columns):
        return None
    if len(columns) not in (3, 4):
        raise RowError(
            "",
            f"expected query, document, grade (or TREC's four columns), found {len(columns)} "
            f"columns: {line[:60]!r}",
        )
    query_id, doc_id, grade = columns[0], columns[-2], columns[-1]
    if not _GRADE.fullmatch(grade):
        raise RowError("score", f"expected an integer, found {grade!r}")
    if not query_id or not doc_id:
        raise RowError("query-id" if not query_id else "corpus-id", "expected an id, found none")
    return query_id, doc_id, int(grade)
