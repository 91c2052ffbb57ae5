"""Runs and judgements: ids, and the texts behind them."""

from pathlib import Path
from typing import Any

import pytest

from prism_cli.adapters.shapes.base import ShapeSettings
from prism_cli.adapters.shapes.trec import QrelsReader, QrelsWriter, RunReader, RunWriter
from prism_cli.errors import MissingDataError, RowError, UsageError
from prism_cli.rows.row import Dropped

Row = dict[str, Any]
CORPUS = '{"_id": "d1", "title": "T", "text": "one"}\n{"_id": "d2", "text": "two"}\n'


@pytest.fixture
def settings(tmp_path: Path) -> ShapeSettings:
    (tmp_path / "corpus.jsonl").write_text(CORPUS)
    (tmp_path / "topics.tsv").write_text("q1\tfirst\n\nq2\tsecond\n")
    (tmp_path / "qrels.txt").write_text("q1 0 d1 2\n")
    return ShapeSettings(
        corpus=tmp_path / "corpus.jsonl",
        queries=tmp_path / "topics.tsv",
        qrels=tmp_path / "qrels.txt",
    )


def read_run(settings: ShapeSettings, line: bytes) -> Row:
    reader = RunReader(settings)
    return reader.read(reader.decode(line, {}))


def test_line_of_a_run_becomes_a_pair(settings: ShapeSettings) -> None:
    assert read_run(settings, b"q1 Q0 d1 3 0.5 bm25\r\n") == {
        "query_id": "q1",
        "query": "first",
        "doc_id": "d1",
        "title": "T",
        "document": "one",
        "source_label": "2",
        "source_rank": 3,
        "source_score": 0.5,
    }
    unjudged = read_run(settings, b"q2\tQ0\td2\t1\t12\tbm25")
    assert "source_label" not in unjudged
    assert "title" not in unjudged


def test_judgement_becomes_a_labelled_pair(settings: ShapeSettings) -> None:
    reader = QrelsReader(settings)
    assert reader.read(reader.decode(b"q2 0 d2 0\n", {})) == {
        "query_id": "q2",
        "query": "second",
        "doc_id": "d2",
        "document": "two",
        "source_label": "0",
    }
    header = reader.decode(b"query-id\tcorpus-id\tscore\n", {})
    assert reader.read(header) == Dropped("a header line")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"q1 Q0 d1 1 0.5", "expected query Q0 document rank score tag"),
        (b"q1 Q0 d1 1 high t", "score: expected a number"),
        (b"q1 Q0 d1 first 1 t", "rank: expected a number, found 'first'"),
        (b"q1 Q0 d\xff 1 1 t", "not UTF-8 at byte 7"),
        (b"q9 Q0 d1 1 1 t", "query_id: 'q9' is not in .*topics.tsv"),
        (b"q1 Q0 d9 1 1 t", "doc_id: 'd9' is not in .*corpus.jsonl"),
    ],
)
def test_bad_line_of_a_run_is_told(settings: ShapeSettings, line: bytes, told: str) -> None:
    with pytest.raises(RowError, match=told):
        read_run(settings, line)


def test_beir_folder_holds_corpus_and_queries(tmp_path: Path, settings: ShapeSettings) -> None:
    (tmp_path / "queries.jsonl").write_text('{"_id": "q1", "text": "asked"}\n')
    folder = ShapeSettings(corpus=tmp_path)
    reader = RunReader(folder)
    assert reader.files == (tmp_path / "corpus.jsonl", tmp_path / "queries.jsonl")
    assert read_run(folder, b"q1 Q0 d2 1 1 t")["query"] == "asked"


def test_missing_texts_are_told_before_the_first_line(
    tmp_path: Path, settings: ShapeSettings
) -> None:
    with pytest.raises(UsageError, match="name the texts with --corpus"):
        RunReader(ShapeSettings())
    with pytest.raises(UsageError, match="is no BEIR folder: name the queries with --queries"):
        QrelsReader(ShapeSettings(corpus=settings.corpus))
    with pytest.raises(MissingDataError, match=r"none\.tsv: no such file"):
        RunReader(ShapeSettings(corpus=settings.corpus, queries=tmp_path / "none.tsv"))


def test_bad_topic_is_told_with_its_line(settings: ShapeSettings) -> None:
    assert settings.queries
    settings.queries.write_text("q1\tfirst\nq2 second\n")
    with pytest.raises(MissingDataError, match=r"topics.tsv:2: expected id, tab, query"):
        read_run(settings, b"q1 Q0 d1 1 1 t")


def pair(doc_id: str, **more: Any) -> Row:
    return {"query_id": "q1", "query": "q", "doc_id": doc_id, "document": "d", **more}


def test_run_is_written_best_first_and_ranks_break_ties() -> None:
    writer = RunWriter(ShapeSettings(tag="mine"))
    rows = [
        pair("a", score=0.1, rank=4),
        pair("b", score=0.9, rank=2),
        pair("c", score=0.9, rank=1, evidence="e"),
        pair("d", score=1),
    ]
    assert [writer.check(row) for row in rows] == [None] * 4
    assert b"".join(map(writer.render, writer.write(rows))) == (
        b"q1 Q0 d 1 1.0 mine\nq1 Q0 c 2 0.9 mine\nq1 Q0 b 3 0.9 mine\nq1 Q0 a 4 0.1 mine\n"
    )
    assert writer.left_out == {"evidence": 1}


def test_judgement_is_the_verdict_or_the_grade() -> None:
    writer = QrelsWriter(ShapeSettings())
    rows = [
        pair("a", source_label="3"),
        pair("b", source_label="3", verdict="no"),
        pair("c", source_label="yes"),
    ]
    assert [writer.check(row) for row in rows] == [None] * 3
    assert b"".join(map(writer.render, writer.write(rows))) == (b"q1 0 a 3\nq1 0 b 0\nq1 0 c 1\n")
    assert writer.check(pair("d")) == "no label and no verdict"


@pytest.mark.parametrize(
    ("row", "field"),
    [
        (pair("a"), "score"),
        (pair("a", score="0.5"), "score"),
        (pair("a", score=0.5, rank="1"), "rank"),
        (pair("a b", score=0.5), "doc_id"),
        (pair("a", score=0.5) | {"query_id": "q\t1"}, "query_id"),
    ],
)
def test_row_that_is_no_line_of_a_run_is_told(row: Row, field: str) -> None:
    with pytest.raises(RowError) as caught:
        RunWriter(ShapeSettings()).check(row)
    assert caught.value.field == field


def test_tag_with_a_blank_is_refused() -> None:
    with pytest.raises(UsageError, match="has no blanks"):
        RunWriter(ShapeSettings(tag="my run"))
