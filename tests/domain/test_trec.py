"""Run lines: written and read again, or refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_cli.domain.trec import parse_run_line, render_run_line
from prism_cli.errors import RowError

IDS = st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=8)


@given(IDS, IDS, st.integers(1, 1000), st.floats(allow_nan=False, allow_infinity=False))
def test_reading_gives_back_what_was_written(
    query_id: str, doc_id: str, rank: int, score: float
) -> None:
    line = render_run_line(query_id, doc_id, rank, score, "tag")
    assert parse_run_line(line) == (query_id, doc_id, score)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("q Q0 d 1 2.0", "query Q0 document rank score tag"),
        ("q Q0 d 1 high tag", "score: expected a number, found 'high'"),
        ("q Q0 d 1 nan tag", "finite"),
        ("q Q0 d 1 inf tag", "finite"),
    ],
)
def test_bad_line_is_refused(line: str, told: str) -> None:
    with pytest.raises(RowError, match=told):
        parse_run_line(line)
