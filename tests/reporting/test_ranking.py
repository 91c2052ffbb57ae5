"""What the report of a ranking says, from metrics.json alone."""

from copy import deepcopy
from typing import Any

import pytest

from prism_cli.domain.significance import SIGNIFICANT, permutation_p
from prism_cli.reporting.figures import average_name
from prism_cli.reporting.fusion import LEAST_QUERIES, few_queries
from prism_cli.reporting.html import render_page
from prism_cli.reporting.page import Bars, Excerpts, Note, Table
from prism_cli.reporting.ranking import page, sections


def block(before: float, after: float, text: str) -> dict[str, Any]:
    return {
        "query_id": "q1",
        "query": text,
        "before": before,
        "after": after,
        "top_before": {"doc_id": "a", "grade": None},
        "top_after": {"doc_id": "b", "grade": 2},
        "best_judged": {"doc_id": "b", "grade": 2, "rank_before": None, "rank_after": 1},
    }


def metrics(*sets: str, missing: tuple[str, ...] = ()) -> dict[str, Any]:
    systems = {"bm25": {"nDCG@10": 0.4, "AP": 0.3}, "good": {"nDCG@10": 0.5, "AP": 0.35}}
    found: dict[str, Any] = {
        "ranking": {name: deepcopy(systems) for name in sets},
        "statistics": {
            "intervals": {
                name: {
                    system: {one: [value - 0.1, value + 0.1] for one, value in values.items()}
                    for system, values in systems.items()
                }
                for name in sets
            },
            "comparisons": [
                {
                    "dataset": name,
                    "measure": "nDCG@10",
                    "system": "good",
                    "baseline": "bm25",
                    "difference": 0.1,
                    "queries": 9,
                    "win": 5,
                    "tie": 3,
                    "loss": 1,
                    "p": 0.0004,
                    "p_holm": 0.0312,
                }
                for name in sets
            ],
            "method": {"intervals": "BCa", "test": "flips", "correction": "Holm", "seed": 0},
        },
        "datasets": {
            name: {
                "split": "test",
                "queries": 9,
                "queries_without_candidates": 2,
                "candidates": 90,
                "judged_relevant": 12,
                "judged_missing": 0,
                "first_stage": "bm25 k1",
            }
            for name in sets
        },
        "runs": {
            name: {
                system: {"pairs": 90, "truncated": 1, "unscored": 0, "unjudged_share": 0.25}
                for system in systems
            }
            for name in sets
        },
        "examples": {
            "moved": [
                {
                    "dataset": name,
                    "system": "good",
                    "baseline": "bm25",
                    "measure": "nDCG@10",
                    "gained": [block(0.0, 1.0, "<b>who</b> was it?")],
                    "lost": [],
                }
                for name in sets
            ],
            "texts": {name: {"a": "first text", "b": "second text"} for name in sets},
        },
        "missing_sets": list(missing),
        "provenance": {
            "command": ["prism", "eval"],
            "config": {"first_stage": "bm25", "top_k": 100, "limit": None, "split": "test"},
            "versions": {},
            "files": {},
            "models": {},
        },
    }
    if len(sets) > 1:
        found["average"] = deepcopy(systems)
    return found


def parts(content: dict[str, Any], kind: type) -> list[Any]:
    return [one for section in sections(content) for one in section.parts if isinstance(one, kind)]


def test_page_renders_with_everything_in_it() -> None:
    told = page(metrics("one set"))
    assert told.headline == (
        "good reaches nDCG@10 0.500 (one set), bm25 0.400; significantly better on 1 of 1 sets."
    )
    assert told.highlights[1] == ("good", "0.500", "nDCG@10, one set; 95 %: 0.400 to 0.600")
    html = render_page(told).decode()
    for words in ("&lt;b&gt;who", "first text", "second text", "not found → 1", "&lt; 0.001"):
        assert words in html
    assert "<b>who" not in html


def test_bars_have_intervals_and_each_system_its_row() -> None:
    content = metrics("one set")
    (bars,) = parts(content, Bars)
    ((group, (_, good)),) = bars.groups
    assert (group, good.name, good.value, good.low, good.high) == (
        "one set", "good", 0.5, 0.4, 0.6,
    )  # fmt: skip
    measured, compared, *_ = parts(content, Table)
    assert measured.columns == ("measure", "bm25", "good")
    assert measured.rows == (("nDCG@10", 0.4, 0.5), ("AP", 0.3, 0.35))
    assert compared.rows == (("one set", "good", "bm25", 0.1, 5, 3, 1, "< 0.001", "0.031"),)


def test_moved_queries_show_both_documents_and_the_ranks() -> None:
    (shown,) = parts(metrics("one set"), Excerpts)
    (one,) = shown.excerpts
    assert one.texts == (
        ("first before: a, not judged", "first text"),
        ("first after, best judged: b, grade 2", "second text"),
    )


def test_what_was_left_out_is_said() -> None:
    content = metrics("nq", "fiqa", missing=("scifact",))
    assert average_name(content) == "average of 2 of the 3 sets"
    assert page(content).headline.endswith("Not measured, as they are missing: scifact.")
    warnings = [one.text for one in parts(content, Note) if one.warning]
    assert warnings == [
        "nq (9 queries), fiqa (9 queries): so few queries say little about differences between "
        "systems",
        "Not measured, as they are missing: scifact.",
        "nq: 2 of 9 queries have no candidates; they count 0.",
        "fiqa: 2 of 9 queries have no candidates; they count 0.",
    ]
    assert average_name(metrics("nq", "fiqa")) == "average of the 2 sets"


@pytest.mark.parametrize(
    ("queries", "words"),
    [(1, "one set (1 query): so few"), (5, "; fewer than 6 cannot show any (p <= 0.05)"),
     (6, "between systems"), (29, "between systems"), (30, None)],
)  # fmt: skip
def test_few_queries_are_remarked_upon(queries: int, words: str | None) -> None:
    content = metrics("one set")
    content["datasets"]["one set"]["queries"] = queries
    line = few_queries(content)
    assert line is None if words is None else line and words in line
    assert ("cannot show" in (line or "")) == (queries < LEAST_QUERIES)
    assert (permutation_p([1.0] * queries, [0.0] * queries) > SIGNIFICANT) == (
        queries < LEAST_QUERIES
    )


def test_first_stage_alone_has_nothing_to_compare() -> None:
    content = metrics("one set")
    del content["ranking"]["one set"]["good"]
    content["statistics"]["comparisons"] = []
    assert page(content).headline == "bm25 reaches nDCG@10 0.400 (one set)."
    assert len(sections(content)) == 2
    assert few_queries(content) is None


def test_papers_figures_stand_where_metrics_json_has_them() -> None:
    content = metrics("nq", "fiqa")
    assert not any("paper" in one.text for one in parts(content, Note))
    content["paper"] = {"source": "arXiv 1", "nDCG@10": {"theirs": 0.5887}}
    assert any("theirs 0.5887 (arXiv 1)" in one.text for one in parts(content, Note))
