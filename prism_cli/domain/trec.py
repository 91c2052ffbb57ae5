"""One line of a TREC run: query_id Q0 doc_id rank score tag."""

from math import isfinite

from prism_cli.errors import RowError


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
