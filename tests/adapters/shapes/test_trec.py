"""Runs and judgements: ids, and the texts behind them."""

from pathlib import Path
from typing import Any

import pytest

from prism_cli.adapters.shapes.base import ShapeSettings
from prism_cli.adapters.shapes.trec import QrelsReader, RunReader
from prism_cli.adapters.shapes.trec_writers import QrelsWriter, RunWriter
from prism_cli.domain.metrics import ranked
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
    ("line", "message"),
    [
        (b"q1 Q0 d1 1 0.5", "expected query Q0 document rank score tag"),
        (b"q1 Q0 d1 1 high t", "score: expected a number"),
        (b"q1 Q0 d1 first 1 t", "rank: expected a whole number .*found 'first'"),
        ("q1 Q0 d1 ١ 1 t".encode(), "rank: expected a whole number .*found '١'"),
        (b"q1 Q0 d\xff 1 1 t", "not UTF-8 at byte 7"),
        (b"q9 Q0 d1 1 1 t", "query_id: 'q9' is not in .*topics.tsv"),
        (b"q1 Q0 d9 1 1 t", "doc_id: 'd9' is not in .*corpus.jsonl"),
    ],
)
def test_a_bad_line_of_a_run_is_reported(
    settings: ShapeSettings, line: bytes, message: str
) -> None:
    with pytest.raises(RowError, match=message):
        read_run(settings, line)


def test_beir_folder_holds_corpus_and_queries(tmp_path: Path, settings: ShapeSettings) -> None:
    (tmp_path / "queries.jsonl").write_text('{"_id": "q1", "text": "asked"}\n')
    folder = ShapeSettings(corpus=tmp_path)
    reader = RunReader(folder)
    assert reader.files == (tmp_path / "corpus.jsonl", tmp_path / "queries.jsonl")
    assert read_run(folder, b"q1 Q0 d2 1 1 t")["query"] == "asked"


def test_missing_texts_are_reported_before_the_first_line(
    tmp_path: Path, settings: ShapeSettings
) -> None:
    with pytest.raises(UsageError, match="name the texts with --corpus"):
        RunReader(ShapeSettings())
    with pytest.raises(UsageError, match="is no BEIR folder: name the queries with --queries"):
        QrelsReader(ShapeSettings(corpus=settings.corpus))
    with pytest.raises(MissingDataError, match=r"none\.tsv: no such file"):
        RunReader(ShapeSettings(corpus=settings.corpus, queries=tmp_path / "none.tsv"))


def test_a_bad_topic_is_reported_with_its_line(settings: ShapeSettings) -> None:
    assert settings.queries
    settings.queries.write_text("q1\tfirst\nq2 second\n")
    with pytest.raises(MissingDataError, match=r"topics.tsv:2: expected id, tab, query"):
        read_run(settings, b"q1 Q0 d1 1 1 t")


def pair(doc_id: str, **more: Any) -> Row:
    return {"query_id": "q1", "query": "q", "doc_id": doc_id, "document": "d", **more}


def written_run(rows: list[Row], **settings: Any) -> list[tuple[str, float]]:
    """Return (doc_id, score) in the order of trec_eval."""
    writer = RunWriter(ShapeSettings(**settings))
    assert [writer.check(row) for row in rows] == [None] * len(rows)
    lines = b"".join(map(writer.render, writer.write(rows))).decode().splitlines()
    hits = [(line.split()[2], float(line.split()[4])) for line in lines]
    assert [int(line.split()[3]) for line in lines] == [*range(1, len(lines) + 1)]
    assert ranked(hits) == hits
    return hits


def test_a_run_keeps_the_rerankers_order_of_equal_scores() -> None:
    rows = [pair(name, score=1.0, rank=number) for number, name in enumerate("adcb", 1)]
    assert written_run(rows)[0] == ("a", 1.0)
    assert [doc_id for doc_id, _ in written_run(rows[::-1])] == ["a", "d", "c", "b"]
    for row, logit in zip(rows, (19.0, 18.5, 18.0, 17.9), strict=True):
        del row["rank"]
        row["logit"] = logit
    assert [doc_id for doc_id, _ in written_run(rows[::-1])] == ["a", "d", "c", "b"]
    blank = pair("z", score=0.0, logit=None)  # has no logit, and comes last
    assert [doc_id for doc_id, _ in written_run([blank, *rows])] == ["a", "d", "c", "b", "z"]
    for row in rows:
        del row["logit"]
    assert [doc_id for doc_id, _ in written_run(rows)] == ["d", "c", "b", "a"]
    assert written_run([pair("a", score=0.4), pair("b", score=0.9)]) == [("b", 0.9), ("a", 0.4)]


def test_rank_of_the_reranker_does_not_order_another_fields_scores() -> None:
    rows = [pair("a", teacher_score=0.1, rank=1), pair("b", teacher_score=0.9, rank=2)]
    assert written_run(rows, score="teacher_score") == [("b", 0.9), ("a", 0.1)]


def test_complete_ranks_take_precedence_over_scores_with_a_warning() -> None:
    writer = RunWriter(ShapeSettings())
    rows = [pair("a", score=0.9, rank=2), pair("b", score=0.2, rank=1)]
    ranking = [(line["doc_id"], line["score"]) for line in writer.write(rows)]
    assert ranking == [("b", 0.2), ("a", pytest.approx(0.2))]
    assert ranking[1][1] < 0.2
    (example,) = [name for name in writer.examples if "go against rank" in name]
    assert writer.examples[example] == ["q1"]


def test_ranks_break_ties_of_scores_where_not_all_rows_have_one() -> None:
    writer = RunWriter(ShapeSettings(tag="mine"))
    rows = [
        pair("a", score=0.1, rank=4),
        pair("b", score=0.9, rank=2),
        pair("c", score=0.9, rank=1, evidence="e"),
        pair("d", score=1),
    ]
    lines = b"".join(map(writer.render, writer.write(rows))).decode().splitlines()
    assert [line.split()[2] for line in lines] == ["d", "c", "b", "a"]
    assert [lines[place] for place in (0, 1, 3)] == [
        "q1 Q0 d 1 1.0 mine", "q1 Q0 c 2 0.9 mine", "q1 Q0 a 4 0.1 mine",
    ]  # fmt: skip
    assert writer.left_out == {"evidence": 1}
    assert writer.figures == {"equal scores lowered to keep the order": 1}


def test_a_repeated_document_is_written_once_at_its_better_rank() -> None:
    writer = RunWriter(ShapeSettings())
    rows = [pair("a", score=0.2), pair("b", score=0.5), pair("a", score=0.9)]
    assert [(line["doc_id"], line["score"]) for line in writer.write(rows)] == [
        ("a", 0.9),
        ("b", 0.5),
    ]
    assert list(writer.examples.values()) == [["a of q1"]]


def test_a_query_that_is_not_adjacent_is_refused() -> None:
    writer = RunWriter(ShapeSettings())
    writer.write([pair("a", score=0.2)])
    with pytest.raises(UsageError, match=r"query 'q1': .*--sort-queries"):
        writer.write([pair("a", score=0.2)])
    judgements = QrelsWriter(ShapeSettings())
    judgements.write([pair("a", source_label="1")])
    judgements.write([pair("a", source_label="1")])
    with pytest.raises(UsageError, match="query 'q1', document 'a': judged 0 here"):
        judgements.write([pair("a", source_label="0")])


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
        (pair("a\0b", score=0.5), "doc_id"),
        (pair("a\x01", score=0.5), "doc_id"),
        (pair("a", score=0.5, logit="x"), "logit"),
    ],
)
def test_a_row_that_cannot_be_a_run_line_is_reported(row: Row, field: str) -> None:
    with pytest.raises(RowError) as caught:
        RunWriter(ShapeSettings()).check(row)
    assert caught.value.field == field


def test_tag_with_a_blank_is_refused() -> None:
    with pytest.raises(UsageError, match="has no blanks"):
        RunWriter(ShapeSettings(tag="my run"))


@pytest.mark.parametrize(("label", "grade"), [("2", 2), ("+2", 2), (" 2.0 ", 2), ("0.5", 0)])
def test_grade_of_a_label_is_its_whole_number(label: str, grade: int) -> None:
    judgements = QrelsWriter(ShapeSettings())
    (line,) = judgements.write([pair("a", source_label=label)])
    assert line["grade"] == grade


@pytest.mark.parametrize("label", ["--5", "٣"])
def test_a_label_that_is_no_grade_is_reported(label: str) -> None:
    with pytest.raises(RowError, match="source_label"):
        QrelsWriter(ShapeSettings()).check(pair("a", source_label=label))
