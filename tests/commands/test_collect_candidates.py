"""`prism collect` of a corpus and questions without judgements, and of data sets in files."""

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from tests.door import prism
from tests.mini import MINI
from tests.pdf import write_pdf


def rows(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


@pytest.fixture
def docs() -> Path:
    """Write a folder of documents."""
    folder = Path("docs")
    (folder / "sub").mkdir(parents=True)
    (folder / "refund.md").write_text("# Refund policy\n\nRefunds within 30 days.\n")
    (folder / "sub" / "ship.txt").write_text("Shipping takes five days.\n")
    write_pdf(folder / "warranty.pdf", "The warranty covers two years.", title="Warranty")
    return folder


def test_a_folder_and_a_text_file_give_candidates(docs: Path) -> None:
    Path("q.txt").write_text("How many days for refunds?\n\nwarranty\nHow many days for refunds?\n")
    done = prism("collect", "--corpus", docs, "--queries", "q.txt", "-o", "out.jsonl")
    assert done.returncode == 0, done.stderr
    output = rows("out.jsonl")
    assert [(row["query"], row["doc_id"], row["source_rank"]) for row in output] == [
        ("How many days for refunds?", "refund.md", 1),
        ("How many days for refunds?", "sub/ship.txt", 2),
        ("warranty", "warranty.pdf", 1),
    ]
    assert output[0]["title"] == "Refund policy"
    assert output[0]["source"] == "docs"
    assert output[0]["source_score"] > output[1]["source_score"]
    assert "source_label" not in output[0]
    words = ("collect", "--corpus", docs, "--queries", "q.txt", "-o", "out.jsonl")
    assert "finished before" in prism(*words).stderr
    (docs / "refund.md").write_text("# Refund policy\n\nNo refunds.\n")
    done = prism(*words)
    assert done.returncode == 2
    assert "docs: its bytes changed since" in done.stderr


@pytest.mark.parametrize("name", ["q.csv", "q.jsonl", "q.parquet", "q.json", "q.tsv"])
def test_questions_are_read_in_every_row_format(docs: Path, name: str) -> None:
    table = {"id": ["007", "8"], "question": ["refunds", "warranty"]}
    lines = [
        json.dumps({"id": query_id, "question": q})
        for query_id, q in zip(*table.values(), strict=True)
    ]
    if name == "q.parquet":
        parquet.write_table(pyarrow.table(table), name)
    else:
        Path(name).write_text(
            {
                "q.csv": "id,question\n007,refunds\n8,warranty\n",
                "q.tsv": "007\trefunds\n8\twarranty\n",
                "q.jsonl": "\n".join(lines),
                "q.json": f"[{','.join(lines)}]",
            }[name]
        )
    mapped = ("--field", "query=question", "--field", "query_id=id", "--candidates", "1")
    done = prism("collect", "--corpus", docs, "--queries", name, "-o", "out.jsonl", *mapped)
    assert done.returncode == 0, done.stderr
    assert [(row["query_id"], row["query"], row["doc_id"]) for row in rows("out.jsonl")] == [
        ("007", "refunds", "refund.md"),
        ("8", "warranty", "warranty.pdf"),
    ]


def test_a_header_of_other_names_is_no_question(docs: Path) -> None:
    Path("q.tsv").write_text("id\tquestion\n007\trefunds\n")
    words = ("collect", "--corpus", docs, "--queries", "q.tsv", "-o", "out.jsonl")
    done = prism(*words)
    assert done.returncode == 3, done.stderr
    assert "query=question" in done.stderr
    assert not Path("out.jsonl").exists()
    assert prism(*words, "--field", "query=question").returncode == 0
    assert {row["query"] for row in rows("out.jsonl")} == {"refunds"}


def test_the_first_id_of_a_file_without_header_may_end_as_a_name_of_ids(docs: Path) -> None:
    Path("q.tsv").write_text("Q1.id\trefunds\n")
    words = ("collect", "--corpus", docs, "--queries", "q.tsv", "-o", "out.jsonl")
    assert prism(*words).returncode == 0
    assert {row["query_id"] for row in rows("out.jsonl")} == {"Q1.id"}


def test_one_field_may_name_the_ids_of_questions_and_documents() -> None:
    Path("c.csv").write_text("id,body\n0012,Windhoek is the capital.\n12,Nothing.\n")
    Path("q.csv").write_text("id,query\n1,capital\n")
    mapped = ("--field", "query_id=id", "--field", "doc_id=id", "--field", "document=body")
    done = prism("collect", "--corpus", "c.csv", "--queries", "q.csv", "-o", "out.jsonl", *mapped)
    assert done.returncode == 0, done.stderr
    (row,) = rows("out.jsonl")
    assert (row["query_id"], row["doc_id"]) == ("1", "0012")


def test_unreadable_documents_and_questions_are_rejected_with_their_place(docs: Path) -> None:
    write_pdf(docs / "locked.pdf", "Secret.", password="secret")
    Path("q.csv").write_text("query_id,query\n1,refunds\n2\n1,other\n")
    done = prism("collect", "--corpus", docs, "--queries", "q.csv", "-o", "out.jsonl")
    assert done.returncode == 4, done.stderr
    assert len(rows("out.jsonl")) == 1
    names = ("file", "line", "field", "reason")
    rejects = [tuple(reject[name] for name in names) for reject in rows("out.jsonl.rejects.jsonl")]
    assert rejects == [
        ("q.csv", 3, "", "expected 2 cells, as the header has, found 1"),
        ("q.csv", 4, "query_id", "'1' came before with another query"),
        ("docs/locked.pdf", None, "", "an encrypted PDF; give a copy without a password"),
    ]
    assert "rejected docs/locked.pdf: an encrypted PDF" in done.stderr


def test_an_empty_document_is_skipped_and_counted(docs: Path) -> None:
    (docs / "empty.md").write_text("\n")
    Path("q.txt").write_text("refunds\n")
    done = prism("collect", "--corpus", docs, "--queries", "q.txt", "-o", "out.jsonl")
    assert done.returncode == 0, done.stderr
    assert "1 dropped (empty document)" in done.stderr


def test_questions_under_another_field_name_and_empty_ones_are_reported(docs: Path) -> None:
    Path("q.csv").write_text("id;question\n1;refunds\n")
    words = ("collect", "--corpus", docs, "--queries", "q.csv", "-o", "out.jsonl")
    done = prism(*words)
    assert done.returncode == 3
    assert "q.csv:2: query: expected a string, found no such field; there is id, question: " in (
        done.stderr
    )
    assert "--field query=question names it" in done.stderr
    Path("q.csv").write_text("id,query,lang\n1,refunds,\n2,,en\n")
    assert prism(*words).returncode == 4
    (refused,) = rows("out.jsonl.rejects.jsonl")
    assert (refused["line"], refused["reason"]) == (3, "expected text, found an empty cell")


def test_an_id_with_two_texts_is_rejected_and_a_document_twice_counts_once() -> None:
    lines = [{"doc_id": 1, "document": "a cat"}] * 2 + [{"doc_id": "1", "document": "another cat"}]
    Path("c.jsonl").write_text("\n".join(map(json.dumps, lines)))
    Path("q.txt").write_text("cat\n")
    done = prism("collect", "--corpus", "c.jsonl", "--queries", "q.txt", "-o", "out.jsonl")
    assert done.returncode == 4, done.stderr
    assert [row["document"] for row in rows("out.jsonl")] == ["a cat"]
    (refused,) = rows("out.jsonl.rejects.jsonl")
    assert (refused["file"], refused["line"]) == ("c.jsonl", 3)
    assert refused["reason"] == "'1' came before with another text"


def test_a_beir_folder_without_judgements_gives_candidates() -> None:
    Path("beir").mkdir()
    for name in ("corpus.jsonl", "queries.jsonl"):
        shutil.copy(MINI / name, "beir")
    done = prism("collect", "beir", "-o", "out.jsonl", "--candidates", "2", "--limit", "3")
    assert done.returncode == 0, done.stderr
    assert "beir: no judgements" in done.stderr
    assert len(rows("out.jsonl")) == 6
    named = ("--corpus", "beir", "--queries", "beir/queries.jsonl", "--candidates", "2")
    assert prism("collect", *named, "-o", "named.jsonl", "--limit", "3").returncode == 0
    assert rows("named.jsonl") == rows("out.jsonl")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--corpus", "docs"], 2, "name the questions with --queries"),
        (["--corpus", "docs", "--queries", "q.txt", "--split", "x"], 2, "--split: goes with judg"),
        (["--corpus", "docs", "--queries", "docs"], 3, "docs: has documents; expected queries"),
        (["--corpus", "docs", "--queries", "blank.txt"], 3, "blank.txt: has no queries"),
        (["--corpus", "none.csv", "--queries", "q.txt"], 3, "none.csv: has no documents"),
        ([str(MINI), "--candidates", "3"], 2, "--candidates: goes with --corpus"),
    ],
)
def test_missing_inputs_are_reported(docs: Path, words: list[str], code: int, message: str) -> None:
    Path("q.txt").write_text("refunds\n")
    Path("blank.txt").write_text("\n")
    Path("none.csv").write_text("doc_id,document\n")
    done = prism("collect", *words, "-o", "out.jsonl")
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert not Path("out.jsonl").exists()


@pytest.fixture
def hub() -> Path:
    """Write a data set in the hub's layout: Parquet files of two splits, the first in two parts."""
    folder = Path("set")
    (folder / "data").mkdir(parents=True)
    for name, start in [
        ("train-00000-of-00002", 0),
        ("train-00001-of-00002", 2),
        ("test-00000-of-00001", 9),
    ]:
        part = {"query_id": [start, start + 1], "query": ["q", "r"], "document": ["d", "NA"]}
        parquet.write_table(pyarrow.table(part), folder / "data" / f"{name}.parquet")
    (folder / "README.md").write_text("# A data set")
    return folder


def test_the_files_of_a_split_become_shards_or_one_file(hub: Path) -> None:
    done = prism("collect", "--dataset", hub, "-o", "out")
    assert done.returncode == 0, done.stderr
    names = ["train-00000-of-00002.jsonl", "train-00001-of-00002.jsonl"]
    assert sorted(path.name for path in Path("out").glob("*.jsonl")) == names
    assert [row["query_id"] for row in rows(f"out/{names[1]}")] == ["2", "3"]
    done = prism("collect", "--dataset", f"{hub}/data/train-*.parquet", "-o", "all.jsonl")
    assert done.returncode == 0, done.stderr
    assert [row["query_id"] for row in rows("all.jsonl")] == ["0", "1", "2", "3"]
    done = prism("collect", "--dataset", hub, "--split", "test", "-o", "test.jsonl")
    assert [row["query_id"] for row in rows("test.jsonl")] == ["9", "10"]


def test_a_split_that_no_file_names_is_refused(hub: Path) -> None:
    done = prism("collect", "--dataset", hub, "--split", "dev", "-o", "out.jsonl")
    assert done.returncode == 3
    assert "no split 'dev'; it has test, train" in done.stderr
    done = prism("collect", "--dataset", f"{hub}/*.csv", "-o", "out.jsonl")
    assert done.returncode == 3
    assert "set/*.csv: no file matches this pattern" in done.stderr


def test_a_csv_data_set_keeps_its_texts() -> None:
    Path("set.csv").write_text(
        "query_id,query,doc_id,title,document,source_label\n0012,NA,null,None,1e5,1\n"
    )
    done = prism("collect", "--dataset", "set.csv", "-o", "out.jsonl")
    assert done.returncode == 0, done.stderr
    assert rows("out.jsonl") == [
        {"query_id": "0012", "query": "NA", "doc_id": "null", "title": "None", "document": "1e5",
         "source_label": "1"}
    ]  # fmt: skip


def test_a_run_as_first_stage_is_checked_against_questions_and_corpus(docs: Path) -> None:
    Path("q.tsv").write_text("q1\trefunds\nq2\twarranty\n")
    words = ("collect", "--corpus", docs, "--queries", "q.tsv", "--first-stage")
    Path("run.txt").write_text(
        "q1 Q0 refund.md 1 2 x\nq1 Q0 gone.md 2 1 x\nq7 Q0 refund.md 1 1 x\n"
    )
    done = prism(*words, "run.txt", "-o", "out.jsonl")
    assert done.returncode == 0, done.stderr
    assert [row["doc_id"] for row in rows("out.jsonl")] == ["refund.md"]
    messages = " ".join(done.stderr.split())
    assert "1 of the 2 queries of run.txt are not among its queries, such as run.txt:3" in messages
    assert (
        "1 of the 2 documents of run.txt are not among its documents, such as run.txt:2" in messages
    )
    Path("alien.txt").write_text("q1 Q0 other.md 1 2 x\n")
    done = prism(*words, "alien.txt", "-o", "alien.jsonl")
    assert done.returncode == 3
    assert "alien.txt:1: 'other.md'; is it a run over another corpus?" in " ".join(
        done.stderr.split()
    )
    assert not Path("alien.jsonl").exists()
