"""Figures of an evaluation as one list."""

from prism_cli.reporting.figures import Figure, figures_of
from tests.reporting.evaluations import quality, ranking


def test_a_ranking_has_a_figure_a_set_system_and_measure_and_the_average_last() -> None:
    metrics = ranking({"a": {"bm25": 0.25}, "b": {"bm25": 0.5}})
    metrics |= {
        "datasets": {"a": {"queries": 7}},
        "average": {"bm25": {"nDCG@10": 0.375}},
        "missing_sets": ["c"],
    }
    figures = figures_of(metrics)
    assert figures[0] == Figure("nDCG@10", 0.25, [0.2, 0.3], 7, "a", "bm25")
    assert [(figure.group, figure.name, figure.n) for figure in figures[1:]] == [
        ("a", "R@100", 7),
        ("b", "nDCG@10", None),
        ("b", "R@100", None),
        ("average of 2 of the 3 sets", "nDCG@10", None),
    ]
    assert figures[-1].interval is None


def test_figures_of_quality_have_their_intervals_and_counts() -> None:
    assert figures_of(quality(0.5, rows=9)) == [
        Figure("answer_retention", 0.5, [0.4, 0.6], 9),
        Figure("rationale_recall", None),
        Figure("compression_median", 0.25),
        Figure("brier", 0.1, group="scores"),
        Figure("answer_retention", 1.0, [0.98, 1.0], None, "baselines · document"),
    ]


def test_figures_of_labels_have_intervals_nested_as_they_are() -> None:
    metrics = {
        "labels": {"alpha": 0.5, "yes_rate": {"a/one": 0.25, "b.two": None}, "words": "no number"},
        "statistics": {
            "intervals": {"alpha": [0.0, 1.0], "yes_rate": {"a/one": [0.125, 0.5]}},
            "counts": {"yes_rate": {"a/one": 8, "b.two": 0}},
        },
    }
    assert figures_of(metrics) == [
        Figure("alpha", 0.5, [0.0, 1.0]),
        Figure("a/one", 0.25, [0.125, 0.5], 8, "yes_rate"),
        Figure("b.two", None, None, 0, "yes_rate"),
    ]
