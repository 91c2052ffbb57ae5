"""Finished evaluations side by side."""

from typing import Any

import pytest

from prism_cli.domain.significance import permutation_p
from prism_cli.reporting.arms import Finished
from prism_cli.reporting.comparison import AVERAGE, compare
from prism_cli.reporting.comparison_page import page
from prism_cli.reporting.html import render_page
from prism_cli.reporting.page import Bars, Table
from tests.reporting.evaluations import quality, ranking


def figure(found: dict[str, Any], group: str, name: str) -> dict[str, Any]:
    (one,) = [one for one in found["figures"] if (one["group"], one["figure"]) == (group, name)]
    return dict(one)


def test_a_model_is_compared_with_its_own_name_first_then_with_its_place() -> None:
    first = ranking({"a": {"bm25": 0.4, "old": 0.5, "both": 0.6}})
    first |= {"average": first["ranking"]["a"], "missing_sets": ["b"]}
    second = ranking({"a": {"bm25": 0.4, "new": 0.55, "both": 0.61}})
    found = compare([Finished("runs/x", first), Finished("runs/y", second)])
    assert [(one["name"], one["run"], one["against"]) for one in found["columns"]] == [
        ("bm25", 0, None),  # the same first stage stands once
        ("old", 0, None),
        ("both (x)", 0, None),
        ("new", 1, 1),
        ("both (y)", 1, 2),
    ]
    one = figure(found, "a", "nDCG@10")
    assert one["values"] == [0.4, 0.5, 0.6, 0.55, 0.61]
    assert one["differences"] == [None, None, None, pytest.approx(0.05), pytest.approx(0.01)]
    assert one["intervals"][3] == pytest.approx([0.5, 0.6])


def test_a_fused_system_is_compared_with_one_that_is_fused_alike() -> None:
    first = ranking({"a": {"bm25": 0.4, "m0": 0.5, "m0 fused": 0.6, "m0 rrf": 0.55}})
    second = ranking({"a": {"bm25": 0.4, "m1": 0.52, "m1 rrf": 0.57, "n rrf": 0.5}})
    columns = compare([Finished("x", first), Finished("y", second)])["columns"]
    against = {one["name"]: columns[one["against"]]["name"] for one in columns if one["against"]}
    assert against == {"m1": "m0", "m1 rrf": "m0 rrf"}


def test_a_first_stage_that_is_the_same_on_the_shared_sets_stands_once() -> None:
    first = ranking({"a": {"bm25": 0.4, "m": 0.5}, "b": {"bm25": 0.3, "m": 0.4}})
    second = ranking({"a": {"bm25": 0.4, "n": 0.6}})
    values = {("a", name): {"q0": 0.4, "q1": 0.6} for name in ("bm25", "m", "n")}
    found = compare([Finished("x", first, values), Finished("y", second, values)])
    assert [column["name"] for column in found["columns"]] == ["bm25", "m", "n"]
    assert len(found["tests"]) == 1


def test_the_average_is_over_the_sets_that_all_runs_have() -> None:
    first = ranking({"a": {"m": 0.2}, "b": {"m": 0.4}, "only here": {"m": 0.9}})
    second = ranking({"b": {"m": 0.5}, "a": {"m": 0.3}})
    found = compare([Finished("x", first), Finished("y", second)])
    assert figure(found, AVERAGE, "nDCG@10")["values"] == pytest.approx([0.3, 0.4])
    assert not [one for one in found["figures"] if one["group"] == "only here"]


def test_a_measure_that_one_ranking_lacks_is_shown_without_its_value() -> None:
    first, second = (ranking({"a": {"m": value}, "b": {"m": value}}) for value in (0.2, 0.3))
    del second["ranking"]["a"]["m"]["R@100"]
    found = compare([Finished("x", first), Finished("y", second)])
    assert [(one["group"], one["figure"]) for one in found["figures"]][:4] == [
        ("a", "nDCG@10"), ("a", "R@100"), ("b", "nDCG@10"), ("b", "R@100"),
    ]  # fmt: skip
    assert figure(found, "a", "R@100")["values"] == [pytest.approx(0.3), None]
    assert figure(found, AVERAGE, "R@100")["values"] == [pytest.approx(0.3), None]


def test_paired_tests_are_over_the_queries_of_both() -> None:
    old = {f"q{number}": 0.1 * (number % 5) for number in range(20)} | {"gone": 1.0}
    new = {name: value + 0.05 for name, value in old.items() if name != "gone"}
    runs = [
        Finished("x", ranking({"a": {"m": 0.2}}), {("a", "m"): old}),
        Finished("y", ranking({"a": {"m": 0.25}}), {("a", "m"): new | {"come": 1.0}}),
    ]
    (test,) = compare(runs)["tests"]
    names = sorted(new)
    assert test["queries"] == 20
    assert test["win"] == 20
    assert test["difference"] == pytest.approx(0.05)
    assert test["p"] == permutation_p([new[one] for one in names], [old[one] for one in names])
    (told,) = compare(runs)["warnings"]
    assert told.startswith(
        "y measured other queries than x: a (21, not 21; 20 shared). Each figure"
    )
    same = [runs[0], Finished("y", runs[1].metrics, runs[0].per_query)]
    assert compare(same)["warnings"] == []


def test_without_values_of_queries_it_says_what_would_test() -> None:
    runs = [
        Finished(name, ranking({"a": {"m": value}})) for name, value in (("x", 0.1), ("y", 0.2))
    ]
    (told,) = compare(runs)["warnings"]
    assert "--model A --model B" in told


def test_figures_of_quality_are_those_that_both_have() -> None:
    second = quality(0.8, rows=39)
    second["quality"]["new_figure"] = 0.1
    found = compare([Finished("x", quality(0.7)), Finished("y", second)])
    assert [(one["group"], one["figure"]) for one in found["figures"]] == [
        ("", "answer_retention"),
        ("", "rationale_recall"),
        ("", "compression_median"),
        ("scores", "brier"),
        ("baselines · document", "answer_retention"),
    ]
    one = figure(found, "", "answer_retention")
    assert one["differences"] == [None, pytest.approx(0.1)]
    assert one["intervals"] == [pytest.approx([0.6, 0.8]), pytest.approx([0.7, 0.9])]
    assert figure(found, "baselines · document", "answer_retention")["intervals"][0] == [0.98, 1.0]
    assert figure(found, "", "rationale_recall")["differences"] == [None, None]
    assert found["warnings"] == ["Rows behind a figure in x and y: answer_retention 40 and 39."]


def test_a_page_of_quality_shows_wholes_and_leaves_out_what_nobody_has() -> None:
    runs = []
    for name, rows in (("x", 40), ("y", 39)):
        one = quality(0.7, rows=rows)
        one["quality"] |= {"novelty": 0.2, "novelty_1": 0.1}
        one["statistics"]["intervals"] |= {"novelty": [0.1, 0.3], "novelty_1": [0.0, 0.2]}
        one["statistics"]["counts"] |= {f"more_{place}": rows for place in range(9)}
        runs.append(Finished(name, one))
    found = compare(runs)
    (told,) = found["warnings"]
    assert told.endswith("more_0 40 and 39; more_1 40 and 39; and of 7 more.")
    (section, *_) = page(found, {}).sections
    (bars,) = (part for part in section.parts if isinstance(part, Bars))
    assert [name for name, _ in bars.groups] == ["answer retention", "novelty"]
    lines = [row[0] for part in section.parts if isinstance(part, Table) for row in part.rows]
    assert "novelty 1" in lines
    assert "rationale recall" not in lines  # null in both


def test_what_differs_is_told_and_other_data_is_warned_of() -> None:
    other = {"data/a/queries.jsonl": "bb", "elsewhere/corpus.jsonl": "cc", "more.jsonl": "dd"}
    first = quality(0.7)
    second = quality(0.7, config={"top_k": 50, "seed": 0, "new": True}, files=other)
    found = compare([Finished("x", first), Finished("y", second)])
    assert found["differs"]["config.top_k"] == [100, 50]
    assert found["differs"]["config.new"] == [None, True]
    assert "config.seed" not in found["differs"]
    (told,) = found["warnings"]
    assert "data/a/queries.jsonl (other content), more.jsonl (new)" in told
    assert "elsewhere" not in told  # the same bytes under another name


def test_nothing_shared_is_told() -> None:
    found = compare(
        [Finished("x", ranking({"a": {"m": 1}})), Finished("y", ranking({"b": {"m": 1}}))]
    )
    assert found["figures"] == []
    assert any("share no figure" in told for told in found["warnings"])
    render_page(page(found, {}))


@pytest.mark.parametrize(
    "runs",
    [
        [ranking({"a": {"bm25": 0.4, "m": 0.5}}), ranking({"a": {"bm25": 0.4, "n": 0.6}})],
        [ranking({"a": {"m": 0.5}, "b": {"m": 0.5}})] * 2,
        [quality(0.7), quality(0.8), quality(0.6)],
    ],
    ids=["models", "the same twice", "three"],
)
def test_the_page_says_what_was_found(runs: list[dict[str, Any]]) -> None:
    found = compare([Finished(f"runs/{name}", run) for name, run in zip("xyz", runs, strict=False)])
    made = page(found, {"command": ["prism", "report"]})
    drawn = render_page(made).decode()
    assert "Comparison of runs/x" in drawn
    if found["kind"] == "quality":
        assert made.highlights[0][:2] == ("answer retention", "+0.100")
        assert made.highlights[1][:2] == ("answer retention", "−0.100")
    elif len(found["columns"]) == 3:
        assert made.headline == "nDCG@10 (a): n 0.600 against m 0.500 (+0.100)."
    else:
        assert made.headline == "No figure differs, or none can be compared."
