"""BEIR folders: valid layouts, and errors in them."""

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from prism_cli.adapters.datasets.beir import BeirSet
from prism_cli.errors import MissingDataError
from prism_cli.rows.marks import CorpusMarks

CORPUS = '{"_id": "d1", "title": "T", "text": "one"}\n{"_id": "d2", "text": "two"}\n'
QUERIES = '{"_id": "q1", "text": "first"}\n{"_id": "q2", "text": "second"}\n'
QRELS = "query-id\tcorpus-id\tscore\nq2\td1\t1\nq1\td2\t2\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "tiny"
    (place / "qrels").mkdir(parents=True)
    (place / "corpus.jsonl").write_text(CORPUS)
    (place / "queries.jsonl").write_text(QUERIES)
    (place / "qrels" / "test.tsv").write_text(QRELS)
    return place


def read_all(folder: Path) -> tuple[object, ...]:
    data = BeirSet(folder)
    return list(data.corpus()), data.judged_queries("test"), data.qrels("test")


def test_reads_documents_queries_and_judgements(folder: Path) -> None:
    data = BeirSet(folder)
    assert data.name == "tiny"
    assert data.splits == ["test"]
    assert list(data.texts()) == [("d1", "T one"), ("d2", "two")]
    assert list(data.passages()) == [("d1", "T", "one"), ("d2", "", "two")]
    assert data.qrels("test") == {"q2": {"d1": 1}, "q1": {"d2": 2}}


def test_judged_queries_come_in_the_order_of_their_file(folder: Path) -> None:
    assert BeirSet(folder).judged_queries("test") == [("q1", "first"), ("q2", "second")]
    assert BeirSet(folder).judged_queries("test", 1) == [("q1", "first")]


@pytest.mark.parametrize(
    "qrels",
    [
        "q2\td1\t1\nq1\td2\t2\n",
        "q2 0 d1 1\nq1 0 d2 2\n",
        "q2\t0\td1\t1\r\nq1\t0\td2\t2\r\n",
        "\ufeffquery-id\tcorpus-id\tscore\n\nq2\td1\t1\nq1\td2\t2",
        "q2\td1\t1\nq2\td1\t1\nq1\td2\t2\n",
    ],
    ids=["no header", "trec blanks", "trec tabs CRLF", "byte order mark, torn", "same line twice"],
)
def test_judgements_in_other_layouts(folder: Path, qrels: str) -> None:
    (folder / "qrels" / "test.tsv").write_text(qrels)
    assert BeirSet(folder).qrels("test") == {"q2": {"d1": 1}, "q1": {"d2": 2}}


def test_integer_ids_become_their_digits(folder: Path) -> None:
    (folder / "corpus.jsonl").write_text('{"_id": 7, "title": null, "text": "x"}\n')
    assert [document.doc_id for document in BeirSet(folder).corpus()] == ["7"]


def test_gzipped_files_and_crlf_read_the_same(folder: Path) -> None:
    plain = read_all(folder)
    for path in (folder / "corpus.jsonl", folder / "queries.jsonl", folder / "qrels" / "test.tsv"):
        packed = gzip.compress(path.read_bytes().replace(b"\n", b"\r\n"))
        path.with_name(path.name + ".gz").write_bytes(packed)
        path.unlink()
    assert read_all(folder) == plain
    assert BeirSet(folder).splits == ["test"]


def test_a_byte_order_mark_is_skipped_in_every_file(folder: Path) -> None:
    plain = read_all(folder)
    for path in (folder / "corpus.jsonl", folder / "queries.jsonl", folder / "qrels" / "test.tsv"):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read_all(folder) == plain


def test_a_data_set_is_named_by_the_typed_path_and_not_by_a_link_target(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder.parent / "nfcorpus").symlink_to(folder, target_is_directory=True)
    assert BeirSet(folder.parent / "nfcorpus").name == "nfcorpus"
    monkeypatch.chdir(folder)
    assert [BeirSet(Path(path)).name for path in (".", "../tiny/", "qrels/..")] == ["tiny"] * 3


def breaking(name: str, text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(text)


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda folder: (folder / "corpus.jsonl").unlink(), r"no corpus\.jsonl"),
        (
            lambda folder: (folder / "qrels" / "test.tsv").unlink(),
            r"no split 'test'; qrels/ has no",
        ),
        (breaking("corpus.jsonl", ""), r"corpus\.jsonl: holds no documents"),
        (breaking("queries.jsonl", "\n"), r"queries\.jsonl: holds no queries"),
        (breaking("qrels/test.tsv", "query-id\tcorpus-id\tscore\n"), r"holds no judgements"),
        (breaking("corpus.jsonl", CORPUS + "{oops\n"), r"corpus\.jsonl:3: not JSON"),
        (breaking("corpus.jsonl", '{"_id": "d1"}\n'), r"corpus\.jsonl:1: text: .*no such field"),
        (breaking("corpus.jsonl", '{"text": "x"}\n'), r"corpus\.jsonl:1: _id: .*no such field"),
        (breaking("corpus.jsonl", '{"_id": 1.5, "text": ""}\n'), r":1: _id: .*number 1\.5"),
        (breaking("corpus.jsonl", '{"_id": "a b", "text": ""}\n'), r"_id: .*without blanks"),
        (breaking("corpus.jsonl", CORPUS + CORPUS), r"corpus\.jsonl:3: _id: 'd1' is repeated"),
        (breaking("corpus.jsonl", '{"_id": "d", "title": 3, "text": ""}\n'), r":1: title: "),
        (breaking("queries.jsonl", '{"_id": "q1", "text": " "}\n'), r"queries\.jsonl:1: text: "),
        (breaking("queries.jsonl", QUERIES + QUERIES), r"queries\.jsonl:3: _id: 'q1' is repeated"),
        (breaking("qrels/test.tsv", QRELS + "q1\td1\n"), r"test\.tsv:4: .*found 2 columns"),
        (breaking("qrels/test.tsv", QRELS + "q1\td1\t0.5\n"), r"test\.tsv:4: score: .*'0\.5'"),
        (breaking("qrels/test.tsv", "qX\tdX\tyes\n"), r"test\.tsv:1: score: .*'yes'"),
        (breaking("qrels/test.tsv", QRELS + "q1\t\t1\n"), r"test\.tsv:4: corpus-id: "),
        (
            breaking("qrels/test.tsv", QRELS + "q1\td2\t1\n"),
            r"test\.tsv:4: score: .*grades 2 and 1",
        ),
        (breaking("qrels/test.tsv", "q9\td1\t1\n"), r"none of its 1 queries .*'q9'.*swapped"),
        (breaking("qrels/test.tsv", QRELS + "q1\td2\t4000\n"), r"test\.tsv:4: score: .*'4000'"),
        (breaking("corpus.jsonl", '{"_id": "a\\u0000b", "text": ""}\n'), r"1: _id: .*a NUL in"),
        (breaking("queries.jsonl", '{"_id": "a\\nb", "text": "x"}\n'), r"1: _id: .*a blank in"),
    ],
)
def test_a_bad_folder_is_reported_with_file_and_line(
    folder: Path, break_it: Callable[[Path], object], message: str
) -> None:
    break_it(folder)
    with pytest.raises(MissingDataError, match=message):
        read_all(folder)


def test_judged_documents_missing_from_the_corpus_are_named(folder: Path) -> None:
    assert BeirSet(folder).missing_documents("test") == []
    with (folder / "qrels" / "test.tsv").open("a") as file:
        file.write("q1\tgone\t1\n")
    assert BeirSet(folder).missing_documents("test") == ["gone"]
    (folder / "qrels" / "test.tsv").write_text("q1\tx\t1\nq2\ty\t1\n")
    with pytest.raises(MissingDataError, match=r"none of its 2 documents is in corpus\.jsonl"):
        BeirSet(folder).missing_documents("test")


def test_judged_queries_without_a_text_are_named(folder: Path) -> None:
    assert BeirSet(folder).unknown_queries("test") == []
    with (folder / "qrels" / "test.tsv").open("a") as file:
        file.write("q9\td1\t1\n")
    assert BeirSet(folder).unknown_queries("test") == ["q9"]
    assert [query_id for query_id, _ in BeirSet(folder).judged_queries("test")] == ["q1", "q2"]


def test_a_missing_folder_or_split_is_reported(folder: Path) -> None:
    with pytest.raises(MissingDataError, match="no such folder"):
        BeirSet(folder / "nowhere")
    with pytest.raises(MissingDataError, match="no split 'dev'; it has test"):
        BeirSet(folder).files("dev")


def test_bytes_that_are_not_utf8_are_reported(folder: Path) -> None:
    (folder / "qrels" / "test.tsv").write_bytes(b"q1\td1\t1\nq\xff\td1\t1\n")
    with pytest.raises(MissingDataError, match=r"test\.tsv:2: not UTF-8: byte 0xff at offset 1"):
        read_all(folder)


def test_damaged_gzip_is_reported(folder: Path) -> None:
    rows = "".join(f'{{"_id": "d{number}", "text": "{number**5}"}}\n' for number in range(5000))
    packed = gzip.compress(rows.encode())
    (folder / "corpus.jsonl.gz").write_bytes(packed[: len(packed) // 2])
    (folder / "corpus.jsonl").unlink()
    with pytest.raises(MissingDataError, match=r"damaged after line \d+"):
        read_all(folder)


def test_gold_marks_belong_to_pairs_and_an_unanswerable_query_to_the_only_split(
    folder: Path,
) -> None:
    assert BeirSet(folder).marks() == {}
    only, other = BeirSet(folder).splits[0], folder / "qrels" / "other.tsv"
    with (folder / "queries.jsonl").open("a") as file:
        file.write('{"_id": "none", "text": "Who never answers?"}\n')
    (folder / "gold.jsonl").write_text(
        '{"query_id": "none", "doc_id": "d", "answerable": false, "reason": "another year"}\n'
        '{"query_id": "none", "answers": ["of its query alone"]}\n'
        '{"query_id": "some", "doc_id": "d", "contribution": "c", "evidence": "e"}\n'
    )
    data = BeirSet(folder)
    assert data.marks() == {
        "none": {"d": CorpusMarks(False, "", "")},
        "some": {"d": CorpusMarks(True, "c", "e")},
    }
    for name in data.splits[1:]:
        (folder / "qrels" / f"{name}.tsv").unlink()
    assert data.marked_queries(only) == {"none", "some"} - data.qrels(only).keys()
    other.write_text("query-id\tcorpus-id\tscore\nq9\td1\t1\n")
    assert data.marked_queries(only) == set()


def test_ids_of_one_hash_are_not_repeated(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = read_all(folder)
    monkeypatch.setattr("prism_cli.shards.seen_keys.hash", lambda _: 7, raising=False)
    assert read_all(folder) == expected
