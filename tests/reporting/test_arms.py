"""Evaluations of several seeds as one arm."""

import pytest

from prism_cli.domain.query_sums import QuerySums
from prism_cli.domain.significance import bootstrap_interval, permutation_p
from prism_cli.reporting.arms import Finished, arm, spread_of_runs
from prism_cli.reporting.comparison import compare
from prism_cli.reporting.comparison_page import page
from prism_cli.reporting.html import render_page
from tests.reporting.evaluations import quality, ranking


def sums_of(values: list[float], rows: int, *, reverse: bool = False) -> QuerySums:
    """Of one measure, by query, with as many rows of each."""
    sums = QuerySums()
    for place, value in enumerate(values):
        query = len(values) - 1 - place if reverse else place
        sums.add(sums.index(f"q{query}"), "answer_retention", rows * value, rows)
    return sums


VALUES = {"plain": [(0.1, 0.5), (0.3, 0.7)], "keywords": [(0.4, 0.7), (0.4, 0.9)]}
"""nDCG@10 of two queries in each of two runs."""


def runs_of(name: str) -> list[Finished]:
    return [
        Finished(
            f"{name}-{seed}",
            ranking(
                {"a": {"bm25": 0.2, f"runs/{name}-{seed}": sum(values) / 2}},
                config={"seed": seed, "top_k": 100},
            ),
            {
                ("a", "bm25"): {"q0": 0.1, "q1": 0.3},
                ("a", f"runs/{name}-{seed}"): {"q0": values[0], "q1": values[1]},
            },
        )
        for seed, values in enumerate(VALUES[name])
    ]


def test_an_arm_is_the_mean_of_its_runs_query_by_query() -> None:
    plain = arm("plain", runs_of("plain"))
    assert plain.metrics["ranking"]["a"] == {
        "bm25": {"nDCG@10": 0.2, "R@100": pytest.approx(0.3)},
        "plain": {"nDCG@10": pytest.approx(0.4), "R@100": pytest.approx(0.5)},
    }
    assert plain.per_query["a", "plain"] == pytest.approx({"q0": 0.2, "q1": 0.6})
    assert plain.metrics["provenance"]["config"] == {"seed": (0, 1), "top_k": 100}
    low, high = plain.metrics["statistics"]["intervals"]["a"]["plain"]["nDCG@10"]
    assert 0.2 <= low < 0.4 < high <= 0.6


def test_arms_are_tested_over_the_queries_and_show_the_spread_of_their_seeds() -> None:
    found = compare([arm(name, runs_of(name)) for name in VALUES])
    assert [column["name"] for column in found["columns"]] == ["bm25", "plain", "keywords"]
    (test,) = found["tests"]
    assert test["difference"] == pytest.approx(0.2)
    assert test["p"] == permutation_p([0.4, 0.8], [0.2, 0.6])
    main = [entry for entry in found["spread"] if entry["figure"] == "nDCG@10"]
    assert [(entry["arm"], entry["values"]) for entry in main] == [
        ("plain", pytest.approx([0.3, 0.5])),
        ("keywords", pytest.approx([0.55, 0.65])),
    ]
    assert main[0]["sd"] == pytest.approx(0.1414, abs=1e-4)
    text = render_page(page(found, {"command": ["prism", "report"]})).decode()
    assert "Runs of each arm" in text
    assert "0.1414" in text


@pytest.mark.parametrize("own", [True, False], ids=["own names", "one name"])
def test_the_average_over_sets_has_the_spread_of_the_arm(own: bool) -> None:
    runs = []
    for seed, value in enumerate((0.5, 0.7)):
        systems = {"bm25": 0.2, f"runs/{seed if own else 'best'}": value}
        found = ranking({"a": systems, "b": systems})
        found |= {"average": found["ranking"]["a"], "missing_sets": []}
        runs.append(Finished(f"runs/{seed}", found))
    spread = [
        (entry["arm"], entry["values"])
        for entry in spread_of_runs([arm("plain", runs)])
        if (entry["group"], entry["figure"]) == ("average of the 2 sets", "nDCG@10")
    ]
    assert spread == [("plain", [0.5, 0.7])]


def test_an_arm_of_one_run_of_rows_keeps_its_statistics() -> None:
    one = arm("x", [Finished("x0", quality(0.5))])
    assert (one.name, one.metrics) == ("x", quality(0.5))
    found = compare([one, Finished("y", quality(0.6, rows=39))])
    assert found["figures"][0]["intervals"] == [
        pytest.approx(span) for span in ([0.4, 0.6], [0.5, 0.7])
    ]
    assert found["warnings"] == ["Rows behind a figure in x and y: answer_retention 40 and 39."]


def test_an_arm_of_one_run_takes_its_name() -> None:
    one = arm("plain", runs_of("plain")[:1])
    assert list(one.metrics["ranking"]["a"]) == ["bm25", "plain"]
    assert not list(spread_of_runs([one]))


def test_a_model_that_has_one_name_in_all_runs_takes_the_arms_name() -> None:
    first, second = runs_of("plain")
    for run in (first, second):
        model = run.metrics["ranking"]["a"].pop(f"runs/{run.name}")
        run.metrics["ranking"]["a"]["runs/best"] = model
    assert list(arm("plain", [first, second]).metrics["ranking"]["a"]) == ["bm25", "plain"]


def test_runs_of_other_queries_and_a_name_that_is_taken_are_refused() -> None:
    first, second = runs_of("plain")
    for values in second.per_query.values():
        del values["q1"]
    with pytest.raises(ValueError, match=r"plain-0 measured a \(2 queries\), and plain-1 a \(1"):
        arm("plain", [first, second])
    with pytest.raises(ValueError, match="bm25: is a system that plain-0 measured"):
        arm("bm25", runs_of("plain"))


def test_the_fused_system_of_a_model_goes_with_it() -> None:
    first, second = runs_of("plain")
    for run, value in ((first, 0.5), (second, 0.7)):
        run.metrics["ranking"]["a"][f"runs/{run.name} fused"] = {"nDCG@10": value}
    fused = arm("plain", [first, second]).metrics["ranking"]["a"]
    assert list(fused) == ["bm25", "plain", "plain fused"]
    assert fused["plain fused"]["nDCG@10"] == pytest.approx(0.6)


@pytest.mark.parametrize("end", ["fused", "rrf"])
def test_an_arm_of_one_run_with_a_fused_system_has_the_models_name(end: str) -> None:
    (first, *_) = runs_of("plain")
    model = "runs/plain-0"
    first.metrics["ranking"]["a"][f"{model} {end}"] = {"nDCG@10": 0.6}
    one = arm("plain", [first]).metrics["ranking"]["a"]
    assert list(one) == ["bm25", "plain", f"plain {end}"]
    assert one["plain"]["nDCG@10"] == 0.3


def test_a_model_whose_name_another_begins_with_is_another_model() -> None:
    first, second = runs_of("plain")
    second.metrics["ranking"]["a"]["runs/plain-1-long"] = {"nDCG@10": 0.1}
    with pytest.raises(ValueError, match="plain-1 measured runs/plain-1 and runs/plain-1-long"):
        arm("plain", [first, second])


def test_figures_of_rows_are_averaged_and_what_a_run_lacks_is_left_out() -> None:
    one = arm("x", [Finished("x0", quality(0.5)), Finished("x1", quality(0.7))])
    assert one.metrics["quality"]["answer_retention"] == pytest.approx(0.6)
    assert one.metrics["quality"]["rationale_recall"] is None
    spread = {entry["figure"]: entry for entry in spread_of_runs([one])}
    assert spread["answer_retention"]["values"] == [0.5, 0.7]


def test_an_evaluation_of_two_models_is_no_run_of_an_arm() -> None:
    first, second = runs_of("plain")
    second.metrics["ranking"]["a"]["runs/other"] = {"nDCG@10": 0.1}
    with pytest.raises(ValueError, match="plain-1 measured runs/plain-1 and runs/other"):
        arm("plain", [first, second])


def test_a_mean_of_figures_of_rows_has_an_interval_over_the_queries() -> None:
    """Each run has the same weight, however many rows it has."""
    kept = [[1.0, 0.0, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0]]
    runs = []
    for seed, (values, rows) in enumerate(zip(kept, (1, 3), strict=True)):
        found = quality(sum(values) / 4)
        runs.append(Finished(f"x{seed}", found, row_sums=sums_of(values, rows)))
    one = arm("x", runs)
    means = [1.0, 0.0, 0.5, 0.0]
    assert one.metrics["quality"]["answer_retention"] == sum(means) / 4
    assert one.metrics["statistics"]["intervals"] == {
        "answer_retention": pytest.approx(bootstrap_interval(means))
    }
    without = Finished("x2", quality(0.5), row_sums=sums_of([0.0], 0))
    assert arm("x", [*runs, without]).metrics["statistics"]["intervals"] == {}


def test_arms_of_rows_are_tested_over_the_queries_where_they_hold_the_same_rows() -> None:
    plain = [[1.0, 0.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0, 0.0]]
    other = [1.0, 1.0, 1.0, 0.5, 0.0]
    first = arm(
        "plain",
        [
            Finished(f"plain-{seed}", quality(sum(values) / 5), row_sums=sums_of(values, 2))
            for seed, values in enumerate(plain)
        ],
    )
    second = Finished("other", quality(0.7), row_sums=sums_of(other[::-1], 2, reverse=True))
    found = compare([first, arm("other", [second])])
    (test,) = found["tests"]
    means = [1.0, 0.0, 0.5, 0.0, 0.0]
    assert test["difference"] == pytest.approx(0.4)
    assert (test["measure"], test["queries"], test["win"], test["tie"]) == (
        "answer_retention", 5, 3, 2,
    )  # fmt: skip
    assert test["p"] == permutation_p(other, means)
    text = render_page(page(found, {"command": ["prism", "report"]})).decode()
    assert "Is the difference more than chance?" in text
    assert "answer retention" in text.partition("Paired permutation tests")[2]
    fewer = Finished("fewer", quality(0.7), row_sums=sums_of(other[:4], 2))
    assert compare([first, fewer])["tests"] == []
    fewer.row_sums.add(fewer.row_sums.index("q4"), "answer_retention", 0, 1)
    assert compare([first, fewer])["tests"] == []
