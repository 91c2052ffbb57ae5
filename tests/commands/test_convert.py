"""`prism convert` through the real command."""

import json
from pathlib import Path

import pytest

from prism_cli.adapters.datasets.beir import BeirSet
from tests.door import prism
from tests.factories import read_jsonl, write_jsonl
from tests.mini import MINI

KALM = {
    "query": "q",
    "pos": ["a"],
    "neg": ["b", "c"],
    "pos_scores": [0.9],
    "neg_scores": [0.3, 0.1],
}


def test_kalm_rows_are_detected_among_pairs_but_not_against_an_explicit_shape() -> None:
    write_jsonl(Path("kalm.jsonl"), [KALM])
    assert prism("convert", "kalm.jsonl", "--from", "kalm", "-o", "named.jsonl").returncode == 0
    done = prism("convert", "kalm.jsonl", "-o", "detected.jsonl")
    assert done.returncode == 0, done.stderr
    assert Path("detected.jsonl").read_bytes() == Path("named.jsonl").read_bytes()
    again = prism("convert", "named.jsonl", "-o", "same.jsonl")
    assert again.returncode == 0, again.stderr
    assert Path("same.jsonl").read_bytes() == Path("named.jsonl").read_bytes()
    assert prism("convert", "kalm.jsonl", "--from", "prism", "-o", "x.jsonl").returncode == 4


def test_kalm_rows_become_pairs_and_a_run_in_trecs_format() -> None:
    write_jsonl(Path("kalm.jsonl"), [KALM])
    done = prism("convert", "kalm.jsonl", "--from", "kalm", "-o", "pairs.jsonl")
    assert done.returncode == 0, done.stderr
    assert [row["source_score"] for row in read_jsonl(Path("pairs.jsonl"))] == [0.9, 0.3, 0.1]
    words = ("--to", "trec-run", "--score", "source_score", "--tag", "mine", "-o", "run.trec")
    done = prism("convert", "pairs.jsonl", *words)
    assert done.returncode == 0, done.stderr
    assert "fields left out: source_label 3" in done.stderr
    lines = [line.split() for line in Path("run.trec").read_text().splitlines()]
    assert [(columns[3], columns[4], columns[5]) for columns in lines] == [
        ("1", "0.9", "mine"),
        ("2", "0.3", "mine"),
        ("3", "0.1", "mine"),
    ]
    assert "finished before" in prism("convert", "pairs.jsonl", *words).stderr
    assert prism("convert", "pairs.jsonl", *words, "--positive-grade", "2").returncode == 2


def test_teachers_scores_out_of_range_are_rejected() -> None:
    write_jsonl(Path("kalm.jsonl"), [KALM, KALM | {"query": "r", "pos_scores": [9]}])
    words = ("--from", "flagembedding", "--as-teacher", "bge", "-o", "out.jsonl")
    done = prism("convert", "kalm.jsonl", *words)
    assert done.returncode == 4
    assert read_jsonl(Path("out.jsonl"))[0]["teacher_scores"] == {"bge": 0.9}
    (rejected,) = read_jsonl(Path("out.jsonl.rejects.jsonl"))
    assert (rejected["line"], rejected["field"]) == (2, "pos_scores[0]")


def test_run_with_a_corpus_becomes_pairs_and_its_bad_lines_are_named() -> None:
    qrels = (MINI / "qrels" / "test.tsv").read_text().splitlines()
    query, document, grade = qrels[1].split("\t")
    Path("run.trec").write_text(
        f"{query} Q0 {document} 1 7.5 x\n{query} Q0 nowhere 2 7 x\nbroken\n"
    )
    words = ("--from", "trec-run", "--corpus", MINI, "--qrels", MINI / "qrels" / "test.tsv")
    done = prism("convert", "run.trec", *words, "-o", "pairs.jsonl")
    assert done.returncode == 4
    (row,) = read_jsonl(Path("pairs.jsonl"))
    assert (row["query_id"], row["doc_id"], row["source_label"]) == (query, document, grade)
    assert (row["source_rank"], row["source_score"]) == (1, 7.5)
    rejected = read_jsonl(Path("pairs.jsonl.rejects.jsonl"))
    assert [(reject["line"], reject["field"]) for reject in rejected] == [(2, "doc_id"), (3, "")]
    assert rejected[1]["raw"] == "broken"


def test_qrels_are_unchanged_by_a_round_trip() -> None:
    qrels = MINI / "qrels" / "test.tsv"
    done = prism(
        "convert",
        qrels,
        "--from",
        "trec-qrels",
        "--corpus",
        MINI,
        "-o",
        "pairs.jsonl",
        "--json",
        "-q",
    )
    assert json.loads(done.stdout)["counts"]["dropped"] == {"a header line": 1}
    assert prism("convert", "pairs.jsonl", "--to", "trec-qrels", "-o", "again.txt").returncode == 0
    before = [line.split("\t") for line in qrels.read_text().splitlines()[1:]]
    after = [line.split() for line in Path("again.txt").read_text().splitlines()]
    assert [[query, document, grade] for query, _, document, grade in after] == before


@pytest.mark.parametrize("name", ["label", "score", "relevance"])
def test_a_header_after_the_first_line_of_judgements_is_rejected_with_its_line(name: str) -> None:
    header, first, *_ = (MINI / "qrels" / "test.tsv").read_text().splitlines()
    bad = first.rsplit("\t", 1)[0] + f"\t{name}"
    Path("qrels.tsv").write_text(f"{header}\n{first}\n{bad}\n")
    words = ("--from", "trec-qrels", "--corpus", MINI, "-o", "pairs.jsonl")
    done = prism("convert", "qrels.tsv", *words)
    assert done.returncode == 4
    assert len(read_jsonl(Path("pairs.jsonl"))) == 1
    (rejected,) = read_jsonl(Path("pairs.jsonl.rejects.jsonl"))
    assert (rejected["line"], rejected["raw"].strip()) == (3, bad)
    assert "only a file's first line" in rejected["reason"]


def test_corpus_that_changed_is_a_changed_input() -> None:
    write_jsonl(Path("corpus.jsonl"), [{"_id": "d", "text": "one"}])
    Path("topics.tsv").write_text("q\twho\n")
    Path("run.trec").write_text("q Q0 d 1 1 x\n")
    words = ("--from", "trec-run", "--corpus", "corpus.jsonl", "--queries", "topics.tsv")
    assert prism("convert", "run.trec", *words, "-o", "out.jsonl").returncode == 0
    write_jsonl(Path("corpus.jsonl"), [{"_id": "d", "text": "two"}])
    done = prism("convert", "run.trec", *words, "-o", "out.jsonl")
    assert done.returncode == 2
    assert "corpus.jsonl: its bytes changed since" in done.stderr


@pytest.mark.parametrize(("second", "warns"), [(1, False), (3, True)])
def test_a_run_whose_scores_contradict_its_ranks_is_reported(second: int, warns: bool) -> None:
    write_jsonl(Path("corpus.jsonl"), [{"_id": name, "text": name} for name in "ab"])
    Path("topics.tsv").write_text("q\twho\n")
    Path("run.trec").write_text(f"q Q0 a 1 2 x\nq Q0 b 2 {second} x\n")
    words = ("--from", "trec-run", "--corpus", "corpus.jsonl", "--queries", "topics.tsv")
    done = prism("convert", "run.trec", *words, "-o", "out.jsonl")
    assert done.returncode == 0
    assert ("run.trec:2: the scores go against the ranks" in done.stderr) is warns


def test_sorted_queries_are_one_group_each() -> None:
    rows = [{"query": q, "document": d, "source_label": "1"} for q, d in ("a1", "b2", "a3")]
    write_jsonl(Path("pairs.jsonl"), rows)
    words = ("convert", "pairs.jsonl", "--to", "kalm", "--sort-queries", "-o", "out.jsonl")
    assert prism(*words).returncode == 0
    assert [row["pos"] for row in read_jsonl(Path("out.jsonl"))] == [["1", "3"], ["2"]]


def test_shards_stay_shards() -> None:
    Path("shards").mkdir()
    for name in ("a", "b"):
        write_jsonl(Path("shards") / f"{name}.jsonl", [KALM | {"query": name}])
    assert prism("convert", "shards", "--from", "kalm", "-o", "out").returncode == 0
    assert {row["query"] for row in read_jsonl(Path("out/b.jsonl"))} == {"b"}


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--to", "flagembeding"], 2, "--to flagembeding: no such shape; did you mean flagembe"),
        (["--from", "kalmm"], 2, "--from kalmm: no such shape; did you mean kalm?"),
        (["--from", "zzz"], 2, "--from zzz: no such shape; expected one of prism, flagembedding"),
        (["--to", "kalm", "--score", "relevance"], 2, "--score relevance: expected one of"),
        (["--score", "score", "--as-teacher", "x"], 2, "--score and --as-teacher name the same"),
        (["--from", "trec-run"], 2, "name the texts with --corpus"),
        (
            ["--from", "trec-run", "--corpus", "none", "--queries", "none.tsv"],
            3,
            "none: no such file",
        ),
        (["--to", "trec-run", "--tag", "a b"], 2, "a run's tag has no blanks"),
    ],
)
def test_invalid_use_is_reported_with_its_exit_code(
    words: list[str], code: int, message: str
) -> None:
    write_jsonl(Path("in.jsonl"), [{"query": "q", "document": "d"}])
    done = prism("convert", "in.jsonl", "-o", "out.jsonl", *words)
    assert (done.returncode, message in done.stderr) == (code, True), done.stderr
    assert not Path("out.jsonl").exists()


def test_lines_of_text_need_a_name_or_a_pipe() -> None:
    write_jsonl(Path("in.jsonl"), [{"query": "q", "document": "d", "source_label": "1"}])
    done = prism("convert", "in.jsonl", "--to", "trec-qrels")
    assert done.returncode == 2
    assert "name the output with -o" in done.stderr
    done = prism("convert", "in.jsonl", "--to", "trec-qrels", "-o", "-")
    assert done.returncode == 0
    assert done.stdout.split()[1::2] == ["0", "1"]


def test_labelled_rows_become_a_beir_folder_that_eval_reads_back() -> None:
    rows = [
        {"query": "who built the tower", "doc_id": "d1", "document": "Eiffel built the tower."},
        {"query": "who built the tower", "doc_id": "d2", "document": "Rain falls."},
        {
            "query_id": "q2",
            "query": "when does rain fall",
            "doc_id": "d2",
            "document": "Rain falls.",
        },
    ]
    for row, verdict in zip(rows, ("yes", "no", "yes"), strict=True):
        row["verdict"] = verdict
    lists = {
        "query_id": "q3", "query": "eiffel",
        "pos": [{"doc_id": "d1", "document": "Eiffel built the tower."}], "neg": [],
    }  # fmt: skip
    write_jsonl(Path("rows.jsonl"), rows)
    write_jsonl(Path("lists.jsonl"), [lists])
    assert prism("convert", "lists.jsonl", "--from", "kalm", "-o", "pairs.jsonl").returncode == 0
    words = ("convert", "rows.jsonl", "pairs.jsonl", "--to", "beir")
    done = prism(*words, "-o", "set")
    assert done.returncode == 0, done.stderr
    folder = BeirSet(Path("set"))
    assert len(list(folder.corpus())) == 2
    assert [query for _, query in folder.queries()] == [
        "who built the tower", "when does rain fall", "eiffel",
    ]  # fmt: skip
    assert folder.missing_documents("test") == folder.unknown_queries("test") == []
    done = prism("eval", "set", "--model", "none", "-o", "out")
    assert done.returncode == 0, done.stderr
    metrics = json.loads(Path("out/metrics.json").read_text())
    assert metrics["ranking"]["set"]["bm25"]["nDCG@10"] == 1.0
    assert "finished before" in prism(*words, "-o", "set").stderr
    assert "name the output with -o, such as -o out" in prism(*words).stderr


def test_an_id_that_is_null_is_not_one_id_of_two_queries() -> None:
    Path("in.jsonl").write_text(
        "".join(f'{{"query_id":null,"query":"q{n}","document":"d"}}\n' for n in range(3))
    )
    done = prism("convert", "in.jsonl", "-o", "out.jsonl")
    assert done.returncode == 0, done.stderr
    assert Path("out.jsonl").read_text().count("\n") == 3
