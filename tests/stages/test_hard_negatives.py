"""Mined negatives: their origin, and excluded documents."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prism_cli.errors import MissingDataError
from prism_cli.rows.marks import CorpusMarks
from prism_cli.stages.hard_negatives import MinedQueries, Mining

MINING = Mining(
    split="train",
    negatives=2,
    from_rank=1,
    to_rank=4,
    random_negatives=0,
    positive_grade=1,
    seed=0,
)


class Corpus:
    name = "tiny"
    size = 12
    grades: Mapping[str, Mapping[str, int]] = {"q1": {"d0": 2, "d1": 1, "d2": 0}, "q2": {"d3": 1}}

    def passages(self) -> Iterator[tuple[str, str, str]]:
        for number in range(self.size):
            yield f"d{number}", f"T{number}", f"text {number}"
        yield "q1", "", "the query itself"

    def queries(self) -> Iterator[tuple[str, str]]:
        yield from [("q1", "first"), ("q3", "third"), ("q2", "second"), ("q4", "unmarked")]

    def qrels(self, split: str) -> Mapping[str, Mapping[str, int]]:
        return self.grades

    def marks(self) -> Mapping[str, Mapping[str, CorpusMarks]]:
        return {}

    def marked_queries(self, split: str) -> set[str]:
        return set()


class MarkedCorpus(Corpus):
    def marks(self) -> Mapping[str, Mapping[str, CorpusMarks]]:
        return {
            "q1": {
                "d0": CorpusMarks(True, "It says.", "What it says."),
                "d4": CorpusMarks(False, "", ""),
            },
            "q2": {
                "d3": CorpusMarks(True, "", "No contribution."),
                "d5": CorpusMarks(True, "c", "e"),
            },
            "q3": {"d6": CorpusMarks(False, "", "")},
        }

    def marked_queries(self, split: str) -> set[str]:
        return {"q3"}


class Ranking:
    """Ranking of the query's own document, then d0, d1, d2, …"""

    spec = "bm25"
    fingerprint = "fixed"

    def search(
        self, queries: Sequence[tuple[str, str]], top_k: int
    ) -> Iterator[list[tuple[str, float]]]:
        for query_id, _ in queries:
            order = [query_id, *(f"d{number}" for number in range(12))]
            yield [(doc, -float(place)) for place, doc in enumerate(order)][:top_k]


def mined(**changed: Any) -> list[dict[str, Any]]:
    source = MinedQueries(Corpus(), Ranking(), replace(MINING, **changed))
    return [orjson.loads(line) for line in source.lines()]


def ids(items: list[dict[str, Any]]) -> list[str]:
    return [item["doc_id"] for item in items]


def test_positives_carry_their_grade_and_judged_zero_is_no_positive() -> None:
    first, second = mined()
    assert [(document["doc_id"], document["source_label"]) for document in first["pos"]] == [
        ("d0", "2"),
        ("d1", "1"),
    ]
    assert ids(second["pos"]) == ["d3"]
    assert first["source"] == "tiny"
    assert first["split"] == "train"


def test_negatives_come_from_the_ranks_asked_for() -> None:
    first, _ = mined(negatives=3, from_rank=2, to_rank=4)
    assert ids(first["neg"]) == ["d3", "d4", "d5"]
    assert {document["negative"] for document in first["neg"]} == {"bm25"}
    assert {document["source_label"] for document in first["neg"]} == {"0"}


def test_negatives_are_sampled_from_a_larger_window_in_rank_order() -> None:
    draws = {tuple(ids(mined(seed=seed, to_rank=8)[0]["neg"])) for seed in range(30)}
    assert len(draws) > 5
    assert all(list(draw) == sorted(draw, key=lambda doc: int(doc[1:])) for draw in draws)


def test_the_same_seed_gives_the_same_rows() -> None:
    assert mined(random_negatives=3) == mined(random_negatives=3)
    assert mined(random_negatives=3, seed=1) != mined(random_negatives=3)


def test_random_negatives_are_marked() -> None:
    first, _ = mined(negatives=0, random_negatives=4)
    assert len(first["neg"]) == 4
    assert {document["negative"] for document in first["neg"]} == {"random"}


def test_a_grade_below_the_positive_grade_is_neither_positive_nor_negative() -> None:
    first, second = mined(positive_grade=2, negatives=4, random_negatives=20)
    assert ids(first["pos"]) == ["d0"]
    assert "d1" not in ids(first["neg"])
    assert second["pos"] == []


@given(
    st.integers(0, 5), st.integers(0, 20), st.integers(1, 4), st.integers(0, 4), st.integers(0, 99)
)
@settings(max_examples=40, deadline=None)
def test_a_negative_is_never_relevant_nor_the_query_nor_there_twice(
    negatives: int, random_negatives: int, from_rank: int, more: int, seed: int
) -> None:
    for row in mined(
        negatives=negatives,
        random_negatives=random_negatives,
        from_rank=from_rank,
        to_rank=from_rank + more,
        seed=seed,
    ):
        doc_ids = ids(row["neg"])
        assert len(doc_ids) == len(set(doc_ids))
        relevant = {doc for doc, grade in Corpus.grades[row["query_id"]].items() if grade > 0}
        assert not {*relevant, row["query_id"]} & set(doc_ids)
        available = Corpus.size + 1 - len(relevant) - (row["query_id"] == "q1")
        hard = min(negatives, more + 1)
        assert len(doc_ids) == min(hard + random_negatives, available)


def test_a_judged_positive_missing_from_the_corpus_is_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Corpus, "grades", {"q1": {"gone": 1, "d0": 1}, "q2": {"d3": 1}})
    assert ids(mined()[0]["pos"]) == ["d0"]


def test_the_fingerprint_depends_on_settings() -> None:
    stage = MinedQueries(Corpus(), Ranking(), MINING)
    other = MinedQueries(Corpus(), Ranking(), replace(MINING, seed=1))
    assert stage.fingerprint != other.fingerprint
    assert stage.name == "tiny/train"


def test_judged_ids_without_a_text_are_reported_and_swapped_columns_refused() -> None:
    class Gaps(Corpus):
        grades: Mapping[str, Mapping[str, int]] = {"q1": {"d0": 1, "gone": 1}, "q9": {"d1": 1}}

    messages: list[str] = []
    assert len(list(MinedQueries(Gaps(), Ranking(), MINING, messages.append).lines())) == 1
    assert [line.split(": ")[1] for line in messages] == [
        "1 judged queries have no text, such as q9; they are left out",
        "1 judged documents have no text, such as gone; they are left out",
    ]
    Gaps.grades = {"q1": {"x": 1}}
    with pytest.raises(MissingDataError, match="none of the 1 judged documents is in the corpus"):
        list(MinedQueries(Gaps(), Ranking(), MINING).lines())
    Gaps.grades = {"q9": {"d1": 1}}
    with pytest.raises(MissingDataError, match="none of the 1 judged queries is in the corpus"):
        list(MinedQueries(Gaps(), Ranking(), MINING).lines())


def test_queries_are_read_once() -> None:
    class Counted(Corpus):
        reads = 0

        def queries(self) -> Iterator[tuple[str, str]]:
            Counted.reads += 1
            yield from super().queries()

    rows = list(MinedQueries(Counted(), Ranking(), MINING).lines())
    assert (len(rows), Counted.reads) == (2, 1)


def test_an_unanswering_passage_is_a_negative_and_positives_keep_their_texts() -> None:
    lines = MinedQueries(MarkedCorpus(), Ranking(), MINING).lines()
    first, third, second = map(orjson.loads, lines)  # in the order of the file
    assert ids(first["neg"])[0] == "d4"
    assert [document["negative"] for document in first["neg"]] == ["marked", "bm25", "bm25"]
    assert first["pos"][0]["source_contribution"] == "It says."
    assert first["pos"][0]["source_evidence"] == "What it says."
    assert "source_evidence" not in second["pos"][0] | first["pos"][1]
    assert (third["query_id"], third["pos"], ids(third["neg"])[0]) == ("q3", [], "d6")
