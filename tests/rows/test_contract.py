"""The row contract: errors name the field, and null counts as absent."""

import json
from pathlib import Path

import pytest

from prism_cli.errors import RowError
from prism_cli.rows.contract import check_contract
from tests.door import prism
from tests.factories import make_pair, read_jsonl, write_jsonl

GOOD = {
    "source": "s", "split": "train", "query_style": "keyword", "teacher_scores": {"t": 0.5},
    "votes": {"a": "yes", "b": None}, "vote_probabilities": {"a": 0.9}, "votes_cast": 2,
    "agreement": 0.5, "audit": True, "contribution": "c", "evidence": "e", "generator": "g",
    "generation_error": "x", "objectives": ["pointwise", "sft"], "score": 0.5, "logit": -1,
    "rank": 1, "model": "m", "format_ok": False, "truncated": False, "predicted_verdict": "no",
    "predicted_contribution": "", "predicted_evidence": "", "predicted_citations": [],
    "unsupported": [], "evidence_origin": "generated",
}  # fmt: skip
WRONG = [
    ("votes", ["yes"], "votes", "expected an object, found array"),
    ("votes", {"a": "maybe"}, "votes.a", "found string 'maybe'"),
    ("teacher_scores", 0.5, "teacher_scores", "expected an object, found number 0.5"),
    ("teacher_scores", {"t": "0.5"}, "teacher_scores.t", "expected a number, found string '0.5'"),
    ("vote_probabilities", {"a": 2}, "vote_probabilities.a", "[0, 1], found 2"),
    ("objectives", "sft", "objectives", "found string 'sft'"),
    ("objectives", ["rank"], "objectives", "found array"),
    ("score", "0.5", "score", "expected a number or null, found string '0.5'"),
    ("score", True, "score", "found boolean true"),
    ("logit", [1], "logit", "found array"),
    ("rank", "1", "rank", "expected a whole number or null, found string '1'"),
    ("rank", 1.5, "rank", "found number 1.5"),
    ("audit", "true", "audit", "found string 'true'"),
    ("predicted_verdict", True, "predicted_verdict", 'expected "yes", "no" or null'),
    ("evidence", {}, "evidence", "expected a string or null, found object"),
]


def test_good_values_and_null_pass() -> None:
    check_contract(GOOD)
    check_contract(dict.fromkeys(GOOD))
    check_contract({"anything": [1], "rank": 1.0})


@pytest.mark.parametrize("name", GOOD)
def test_no_field_takes_every_type(name: str) -> None:
    named: list[str] = []
    for value in (1.5, "x", [5], {"a": []}, True):
        try:
            check_contract({name: value})
        except RowError as error:
            named.append(error.field.split(".")[0])
    assert len(named) >= 3
    assert {*named} == {name}


@pytest.mark.parametrize("command", [("convert", "--to", "flagembedding"), ("collect",)])
def test_rows_with_a_value_of_another_type_are_set_aside(command: tuple[str, ...]) -> None:
    rows = [make_pair(n, verdict="yes") | {change[0]: change[1]} for n, change in enumerate(WRONG)]
    write_jsonl(Path("rows.jsonl"), [make_pair(99, verdict="yes") | GOOD, *rows])
    done = prism(command[0], "rows.jsonl", *command[1:], "-o", "out.jsonl", "--json")
    assert done.returncode == 4
    assert json.loads(done.stdout)["counts"]["done"] == 1
    rejects = read_jsonl(Path("out.jsonl.rejects.jsonl"))
    for number, (reject, (_, _, field, message)) in enumerate(zip(rejects, WRONG, strict=True), 2):
        assert (reject["file"], reject["line"], reject["field"]) == ("rows.jsonl", number, field)
        assert message in reject["reason"]
