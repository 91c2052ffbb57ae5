"""Round trips of pair rows: the fields that a shape carries are preserved."""

import tempfile
from pathlib import Path
from typing import Any, cast

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prism_cli.adapters.shapes.base import ShapeSettings
from prism_cli.adapters.shapes.table import SHAPES
from prism_cli.domain.contradictions import same_text
from prism_cli.rows.row import Dropped
from prism_cli.stages.convert import ConvertStage
from tests.factories import jsonl

Row = dict[str, Any]
PAIR = ("query", "document")
IDS = ("query_id", "doc_id")
ALL = (
    *IDS, *PAIR, "source", "source_label", "source_score", "teacher_score", "verdict",
    "objectives", "note",
)  # fmt: skip
# Fields that each shape carries; `source` has one value per query, `note` one per document.
CARRIED = {
    "prism": ALL,
    "author": ALL,
    "cohere": ALL,
    "flagembedding": (*IDS, *PAIR, "source", "source_label", "source_score"),
    "st-triplets": (*PAIR, "source_label"),
    "st-scores": (*PAIR, "source_label"),
    "trec-run": (*IDS, *PAIR, "source_score"),
    "trec-qrels": (*IDS, *PAIR, "source_label"),
}
words = st.text("abcé世 _-.", min_size=1, max_size=12).map(lambda text: f"w{text}w")
scores = st.floats(-10, 10, allow_nan=False, width=32)
documents = st.lists(
    st.fixed_dictionaries(
        {
            "document": words,
            "source_score": scores,
            "teacher_score": st.floats(0, 1),
            "objectives": st.lists(st.sampled_from(["sft", "pointwise"]), max_size=2),
            "note": st.lists(st.none() | words | scores, min_size=1, max_size=2),
        }
    ),
    min_size=2,
    max_size=5,
    unique_by=(lambda row: same_text(row["document"]), lambda row: row["source_score"]),
)
# Some shapes have no ids, so that adjacent equal queries would be merged.
queries = st.lists(st.tuples(words, words, documents), max_size=4, unique_by=lambda query: query[0])


def rows_of(groups: list[tuple[str, str, list[Row]]]) -> list[Row]:
    """Rows whose queries have a positive first, then negatives, each with its own text."""
    return [
        {
            "query_id": f"q{number}",
            "query": query,
            "doc_id": f"q{number}d{place}",
            "source": source,
            "source_label": "0" if place else "1",
            "verdict": "no" if place else "yes",
        }
        | row
        for number, (query, source, group) in enumerate(groups)
        for place, row in enumerate(group)
    ]


def converted(lines: bytes, source: str, target: str, settings: ShapeSettings) -> bytes:
    """Convert lines of one shape to lines of another."""
    stage = ConvertStage(SHAPES[source].reader(settings), SHAPES[target].writer(settings))
    pairs: list[Row] = []
    for line in lines.splitlines(keepends=True):
        outcome = stage.work(stage.decode(line, {}))
        assert not isinstance(outcome, Dropped), outcome
        assert not hasattr(outcome, "send")
        pairs += outcome if isinstance(outcome, list) else [cast(Row, outcome)]
    arranged = stage.arrange(iter(pairs))
    return b"".join(stage.render(row) for row in arranged if not isinstance(row, Dropped))


def with_texts(rows: list[Row], folder: Path, **more: Any) -> ShapeSettings:
    """Return settings that name the texts of `rows`, as TREC files need them."""
    corpus = [{"_id": row["doc_id"], "text": row["document"]} for row in rows]
    queries = {row["query_id"]: row["query"] for row in rows}
    (folder / "corpus.jsonl").write_bytes(jsonl(corpus))
    (folder / "queries.jsonl").write_bytes(
        jsonl({"_id": name, "text": text} for name, text in queries.items())
    )
    return ShapeSettings(corpus=folder / "corpus.jsonl", queries=folder / "queries.jsonl", **more)


def only(row: Row, names: tuple[str, ...]) -> Row:
    return {name: row[name] for name in names if name in row}


def back_and_forth(rows: list[Row], shape: str, **more: Any) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        settings = with_texts(rows, Path(folder), **more)
        foreign = converted(jsonl(rows), "prism", shape, settings)
        returned = converted(foreign, shape, "prism", settings)
    return [orjson.loads(line) for line in returned.splitlines()]


@pytest.mark.parametrize("shape", CARRIED)
@settings(max_examples=25)
@given(groups=queries)
def test_fields_that_a_shape_carries_survive_a_round_trip(
    shape: str, groups: list[tuple[str, str, list[Row]]]
) -> None:
    rows = rows_of(groups)
    if shape == "trec-run":  # a run is in the order of its scores
        rows.sort(key=lambda row: (row["query_id"], -row["source_score"]))
        returned = back_and_forth(rows, shape, score="source_score")
    else:
        returned = back_and_forth(rows, shape)
    names = CARRIED[shape]
    assert [only(row, names) for row in returned] == [only(row, names) for row in rows]


@settings(max_examples=25)
@given(groups=queries)
def test_pairs_keep_the_positives(groups: list[tuple[str, str, list[Row]]]) -> None:
    rows = [row for row in rows_of(groups) if row["verdict"] == "yes"]
    returned = back_and_forth(rows, "st-pairs")
    names = (*PAIR, "source_label")
    assert [only(row, names) for row in returned] == [only(row, names) for row in rows]


@settings(max_examples=25)
@given(groups=queries, width=st.integers(2, 3))
def test_triplets_keep_all_of_many_negatives(
    groups: list[tuple[str, str, list[Row]]], width: int
) -> None:
    rows = rows_of([query for query in groups if len(query[2]) > width])
    returned = back_and_forth(rows, "st-triplets", negatives=width)
    names = CARRIED["st-triplets"]
    assert [only(row, names) for row in returned] == [only(row, names) for row in rows]


@pytest.mark.parametrize("shape", ["flagembedding", "st-scores"])
@settings(max_examples=10)
@given(groups=queries)
def test_scores_of_a_teacher_survive_a_round_trip(
    shape: str, groups: list[tuple[str, str, list[Row]]]
) -> None:
    rows = [row | {"teacher_scores": {"a/b-2.5": row["teacher_score"]}} for row in rows_of(groups)]
    returned = back_and_forth(rows, shape, score="teacher_scores.a/b-2.5")
    names = (*PAIR, "teacher_scores")
    assert [only(row, names) for row in returned] == [only(row, names) for row in rows]


def test_every_shape_has_a_round_trip_test() -> None:
    assert {*CARRIED, "st-pairs"} == SHAPES.keys()
