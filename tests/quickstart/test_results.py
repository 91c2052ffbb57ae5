"""The quickstart's summary, for good and bad results."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from prism_cli.evaluation.labels.figures import LabelFigures
from prism_cli.quickstart.results import caption, evidence, example, keywords, panel, teaching
from tests.door import prism
from tests.factories import make_pair, write_jsonl

UNTRAINED, BM25, BUILT_IN = 0.42, 0.9, 0.8


def metrics(
    trained: float, p: float, *, p_bm25: float = 0.001, p_further: float = 0.5
) -> dict[str, Any]:
    tests = (
        ("hf:smollm2", "runs/tiny", trained - UNTRAINED, p),
        ("bm25", "runs/tiny", trained - BM25, p_bm25),
        ("hf:prism-tiny", "runs/tiny", trained - BUILT_IN, p_further),
    )
    names = ("baseline", "system", "difference", "p")
    return {"statistics": {"comparisons": [dict(zip(names, test, strict=True)) for test in tests]}}


@pytest.mark.parametrize(
    ("figures", "phrases"),
    [
        pytest.param(
            metrics(0.7, 0.001), ["taught the model to rank", "it ranks worse"], id="worse"
        ),
        pytest.param(metrics(0.95, 0.001), ["taught the model", "it ranks better"], id="better"),
        pytest.param(metrics(0.5, 0.2), ["did not make a difference"], id="not-significant"),
        pytest.param(metrics(0.3, 0.001), ["did not make a difference"], id="unlearned"),
        pytest.param(
            metrics(0.95, 0.001, p_bm25=0.05, p_further=0.01),
            ["taught", "it shows no significant difference", "a few minutes, it ranks better"],
            id="level",
        ),
    ],
)
def test_the_caption_describes_the_measurement(figures: dict[str, Any], phrases: list[str]) -> None:
    text = caption(figures)
    assert all(part in text for part in phrases), text
    assert ("taught" in text) == ("taught" in phrases[0])


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


def test_the_example_is_the_first_yes_and_counts_skipped_rows() -> None:
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


def test_keywords_are_counted_and_shown() -> None:
    write_jsonl(Path("in.jsonl"), [make_pair(1, query="Who wrote the Iliad?"), make_pair(2)])
    words = ("--generator", "extractive", "--fraction", "1")
    assert prism("rewrite-queries", "in.jsonl", "-o", "out.jsonl", *words).returncode == 0
    expected = (
        "Keywords: 2 queries (100%), such as “wrote Iliad” for “Who wrote the Iliad?”. Training"
    )
    assert keywords(Path("out.jsonl")).startswith(expected)
    words = ("--generator", "extractive", "--fraction", "0")
    assert prism("rewrite-queries", "in.jsonl", "-o", "none.jsonl", *words).returncode == 0
    assert keywords(Path("none.jsonl")).startswith("Keywords: 0 queries (0%). Training")


def judged(*judges: str, grades: tuple[int, ...] = (0, 1, 0, 2), rows: int = 60) -> str:
    """Return the summary of a panel of judges that read grades of rows."""
    pairs = [make_pair(n, source_label=grades[n % len(grades)]) for n in range(rows)]
    write_jsonl(Path("in.jsonl"), pairs)
    words = [word for judge in judges for word in ("--judge", judge)]
    done = prism("relabel", "in.jsonl", "-o", "panel.jsonl", "--audit", "1", *words)
    assert done.returncode == 0, done.stderr
    labels = LabelFigures(0, 0)
    for line in Path("panel.jsonl").read_bytes().splitlines():
        labels.add(orjson.loads(line))
    return panel(labels.content())


def test_a_weak_panel_is_called_weak_with_its_figures() -> None:
    text = judged("source", "source:2", "source:9")
    assert "on 60 rows" in text
    assert text.count("(kappa") == 2  # not that of the two with each other
    assert "source:2 moderate (kappa 0.50, 0.3" in text
    assert "source:9 no better than chance (kappa 0.00, no interval)" in text
    assert "Labels of such a panel: unreliable (Krippendorff's alpha 0." in text


def test_a_good_panel_is_not_called_weak() -> None:
    text = judged("source", "source:2", grades=(0, 2))
    assert "source:2 almost perfect (kappa 1.00" in text
    assert "reliable" in text
    assert "unreliable" not in text


def test_a_panel_without_agreement_to_measure_says_so() -> None:
    text = judged("source", "source:9", grades=(0,))
    assert "source:9 always the same vote (kappa unknown)" in text
    assert "cannot be told (Krippendorff's alpha unknown" in text


def test_evidence_reports_retained_answers_and_their_number() -> None:
    metrics: dict[str, Any] = {"quality": {"answer_retention": 0.75}}
    metrics["statistics"] = {
        "counts": {"answer_retention": 4},
        "intervals": {"answer_retention": [0.25, 1]},
    }
    text = evidence(metrics)
    assert "of 4 passages with the answer and a yes, 3 kept the answer in the evidence" in text
    assert "(95 %: 0.25 – 1.00;" in text
    metrics["statistics"]["counts"] = {}
    assert "no passage that holds the answer got a yes" in evidence(metrics)


def test_teaching_compares_written_texts_with_extractive_ones() -> None:
    measured = {"rationale_recall": 0.95, "answer_retention": 0.5, "compression_median": 0.2}
    other = {"rationale_recall": 0.7, "answer_retention": 0.75, "compression_median": 0.25}
    text = teaching(
        {
            "quality": measured | {"baselines": {"extractive": other}},
            "statistics": {"counts": {"rationale_recall": 3}},
        }
    )
    assert "3 pairs: those written for the corpus cover 95% of the marked sentences and 50%" in text
    assert "closest sentences cover 70% of the marked sentences and 75% of the answers" in text
    assert "in 25% of the document" in text
