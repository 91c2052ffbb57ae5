"""What quickstart says of its run, whichever way it came out."""

from typing import Any

import pytest

from prism_cli.quickstart.results import caption, example


def metrics(
    trained: float, untrained: float, bm25: float, p: float, p_bm25: float = 0.001
) -> dict[str, Any]:
    against = (("hf:smollm2", untrained, p), ("bm25", bm25, p_bm25))
    return {
        "statistics": {
            "comparisons": [
                {"baseline": name, "system": "runs/tiny", "difference": trained - value, "p": own}
                for name, value, own in against
            ]
        },
    }


@pytest.mark.parametrize(
    ("trained", "p", "said", "unsaid"),
    [
        pytest.param(0.7, 0.001, "taught the model to rank", "better than BM25 does", id="learned"),
        pytest.param(0.5, 0.2, "did not make a difference", "taught", id="not-significant"),
        pytest.param(0.3, 0.001, "did not make a difference", "taught", id="worse"),
        pytest.param(0.95, 0.001, "better than BM25 does", "does not reach", id="beats-bm25"),
    ],
)
def test_caption_says_what_was_measured(trained: float, p: float, said: str, unsaid: str) -> None:
    text = caption(metrics(trained, 0.42, 0.9, p))
    assert said in text
    assert unsaid not in text


def test_caption_admits_that_bm25_is_not_reached() -> None:
    assert "does not reach BM25" in caption(metrics(0.6, 0.4, 0.9, 0.001))
    level = caption(metrics(0.89, 0.4, 0.9, 0.001, p_bm25=0.7))
    assert "comes level with BM25" in level
    assert "not above it" in level


def request(query_id: str) -> dict[str, Any]:
    documents = [{"title": "T", "text": f"{query_id} text {number}"} for number in range(2)]
    return {"query_id": query_id, "query": f"query {query_id}", "documents": documents}


def result(index: int, verdict: str, score: float) -> dict[str, Any]:
    text = f"evidence {index}" if verdict == "yes" else None
    return {
        "index": index,
        "relevance_score": score,
        "verdict": verdict,
        "contribution": text,
        "evidence": text,
    }


def test_example_is_the_first_yes_in_file_order_and_counts_what_it_passed() -> None:
    rows = [
        {**request("a"), "results": [result(0, "no", 0.4), result(1, "no", 0.1)]},
        {**request("b"), "results": [result(1, "yes", 0.8), result(0, "yes", 0.6)]},
        {**request("c"), "results": [result(0, "yes", 0.9)]},
    ]
    text = example(rows, {row["query_id"]: row for row in rows})
    assert "query b (1 before it got no yes)" in text
    assert "b text 1" in text
    assert "evidence 1" in text
    assert "query c" not in text


def test_example_without_any_yes_says_so() -> None:
    rows = [{**request("a"), "results": [result(0, "no", 0.4)]}]
    assert "None of the 1 reranked queries" in example(rows, {"a": rows[0]})
