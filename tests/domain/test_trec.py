"""Run lines: round trips and errors."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_cli.domain.trec import (
    RankOrder,
    check_trec_id,
    falling_scores,
    parse_judgement,
    parse_run_line,
    render_run_line,
    tied_scores,
)
from prism_cli.errors import RowError

IDS = st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=8)


@given(IDS, IDS, st.integers(1, 1000), st.floats(allow_nan=False, allow_infinity=False))
def test_reading_gives_back_what_was_written(
    query_id: str, doc_id: str, rank: int, score: float
) -> None:
    line = render_run_line(query_id, doc_id, rank, score, "tag")
    assert parse_run_line(line) == (query_id, doc_id, rank, score)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("q Q0 d 1 2.0", "query Q0 document rank score tag"),
        ("q Q0 d .9 1 tag", "rank: expected a whole number .*found '.9'; .*swapped"),
        ("q Q0 d abc 1 tag", "rank: expected a whole number .*found 'abc'"),
        ("q Q0 d ١ 1 tag", "rank: expected a whole number"),
        ("q Q0 d 1 high tag", "score: expected a number, found 'high'"),
        ("q Q0 d 1 1_0 tag", "score: expected a number, found '1_0'"),
        ("q Q0 d 1 ١ tag", "score: expected a number, found '١'"),
        ("q Q0 d 1 nan tag", "finite"),
        ("q Q0 d 1 1e999 tag", "finite"),
        ("q Q0 d 1 inf tag", "finite"),
    ],
)
def test_bad_line_is_refused(line: str, message: str) -> None:
    with pytest.raises(RowError, match=message):
        parse_run_line(line)


@pytest.mark.parametrize(
    ("lines", "against"),
    [
        ("a 1 .1;a 2 .2;b 1 .5", "2"),
        ("a 1 .1;b 1 .1;a 2 .2;b 2 .3", "3"),  # lines of queries between each other
        ("a 1 .1;a 2 .2;b 1 .5;b 2 .4", ""),  # not in all queries
        ("a 1 .2;a 2 .1", ""),
        ("a 0 .1;a 0 .2;b 1 .3;b 1 .4", ""),
        ("a 1 .1;a 2 .1", ""),
        ("", ""),
    ],
)
def test_ranks_that_contradict_all_scores_are_reported(lines: str, against: str) -> None:
    order = RankOrder()
    for number, line in enumerate(filter(None, lines.split(";")), 1):
        query, rank, score = line.split()
        order.note(query, int(rank), float(score), str(number))
    assert order.against == against
    assert bool(order.warning) == bool(against)


def single(number: float) -> float:
    return float(np.float32(number))


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([0.0, 1.0])))
def test_scores_of_a_run_fall_in_single_precision(scores: list[float]) -> None:
    falling = falling_scores(scores)
    assert len(falling) == len(scores)
    assert all(single(score) > single(after) for score, after in pairwise(falling))
    assert [float(repr(score)) for score in falling] == falling


@given(st.lists(st.floats(-1e9, 1e9, width=32), unique=True))
def test_decreasing_scores_are_unchanged(scores: list[float]) -> None:
    scores.sort(reverse=True)
    assert falling_scores(scores) == scores


@given(st.lists(st.sampled_from([3.25, 1.0, 0.5, 0.0, -2.0]), max_size=9))
def test_ties_of_a_run_can_be_told_again(scores: list[float]) -> None:
    scores.sort(reverse=True)
    assert tied_scores(falling_scores(scores)) == scores


@pytest.mark.parametrize("value", ["a b", "a\0b", "a\nb", "a\tb", "\x01", ""])
def test_an_id_that_trec_files_cannot_represent_is_refused(value: str) -> None:
    with pytest.raises(RowError, match="doc_id: expected an id"):
        check_trec_id("doc_id", value)


def test_ids_of_all_scripts_are_ids() -> None:
    for value in ("d1", "世界", "é_-.:/", "\u200d"):
        check_trec_id("doc_id", value)
        assert parse_judgement(f"q 0 {value} 1") == ("q", value, 1)


@pytest.mark.parametrize("grade", ["1001", "-11", "1767225600", "9" * 5000])
def test_an_implausible_grade_is_refused(grade: str) -> None:
    with pytest.raises(RowError, match="score: expected a grade from -10 to 1000"):
        parse_judgement(f"q 0 d {grade}")


@pytest.mark.parametrize("grade", [-2, 0, 3, 100, 1000])
def test_grades_that_are_used_are_read(grade: int) -> None:
    assert parse_judgement(f"q\td\t{grade}") == ("q", "d", grade)


@pytest.mark.parametrize("line", ["q 0 d 1\t", "q 0 d 1\t\r\n", "\tq d 1", "q\t0\td\t1\r\n"])
def test_a_tab_around_columns_separated_by_blanks_is_no_column(line: str) -> None:
    assert parse_judgement(line) == ("q", "d", 1)


@pytest.mark.parametrize("line", ["\t0\td\t1", "q\t0\t5\t", "q\td\t", "\t"])
def test_an_empty_column_is_not_passed_over(line: str) -> None:
    with pytest.raises(RowError):
        parse_judgement(line)


@pytest.mark.parametrize("grade", ["relevance", "Grade", "score", "rel", "label"])
def test_a_header_is_known_by_the_name_of_its_last_column(grade: str) -> None:
    assert parse_judgement(f"query\tdocument\t{grade}") is None
    assert parse_judgement(f"query 0 document {grade}") is None
