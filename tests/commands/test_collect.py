"""`prism collect` through the real command."""

import json
from pathlib import Path
from typing import Any

import pytest

from prism_cli.adapters.datasets.beir import BeirSet
from tests.door import prism
from tests.factories import write_jsonl
from tests.mini import MINI


def rows(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def test_a_beir_folder_becomes_pairs_and_a_second_run_does_nothing() -> None:
    words = ("collect", MINI, "-o", "pairs.jsonl", "--negatives", "2", "--random-negatives", "1")
    done = prism(*words)
    assert done.returncode == 0, done.stderr
    output = rows("pairs.jsonl")
    data = BeirSet(MINI)
    qrels = data.qrels("train")
    positives = {(row["query_id"], row["doc_id"]) for row in output if row["source_label"] == "1"}
    assert positives == {(query, doc) for query, docs in qrels.items() for doc in docs}
    negatives = [row for row in output if row["source_label"] == "0"]
    assert {row["negative"] for row in negatives} == {"bm25", "random"}
    assert not any(row["doc_id"] in qrels[row["query_id"]] for row in negatives)
    assert list(negatives[0]) == [
        "query_id",
        "query",
        "doc_id",
        "title",
        "document",
        "source",
        "split",
        "source_label",
        "negative",
    ]
    assert {(row["source"], row["split"]) for row in output} == {("mini", "train")}
    before = Path("pairs.jsonl").read_bytes()
    assert "finished before" in prism(*words).stderr
    assert prism(*words, "--overwrite").returncode == 0
    assert Path("pairs.jsonl").read_bytes() == before
    assert prism(*words, "--overwrite", "--bm25-memory-gb", "1e-6").returncode == 0
    assert Path("pairs.jsonl").read_bytes() == before
    assert "finished before" in prism(*words).stderr
    changed = prism(*words, "--to-rank", "5")
    assert changed.returncode == 2
    assert "to_rank: was 20, is 5" in changed.stderr
    assert "changed since" not in changed.stderr


def test_queries_with_too_few_hard_negatives_are_counted_with_the_reason() -> None:
    beir = Path("beir")
    (beir / "qrels").mkdir(parents=True)
    texts = ("the tower was built in 1889", "the tower is high", "bread of flour", "green water")
    write_jsonl(beir / "corpus.jsonl", [{"_id": f"d{n}", "text": t} for n, t in enumerate(texts)])
    queries = ("tower built", "flour", "water")
    write_jsonl(
        beir / "queries.jsonl", [{"_id": f"q{n}", "text": t} for n, t in enumerate(queries)]
    )
    judged = "q0\td0\t1\nq1\td2\t1\nq2\td3\t1\n"
    (beir / "qrels" / "train.tsv").write_text(f"query-id\tcorpus-id\tscore\n{judged}")
    for limit, counts in ((), "3 of 3, with none: 2"), (("--limit", "2"), "2 of 2, with none: 1"):
        words = ("collect", beir, "-o", "few.jsonl", "--negatives", "2", "--overwrite")
        done = prism(*words, *limit)
        assert done.returncode == 0, done.stderr
        assert (
            f"beir/train: queries with fewer than 2 hard negatives: {counts}. bm25 ranks too few "
            "documents that are not relevant at ranks 1 to 20 (it ranks the documents that share "
            "a word with the query); --random-negatives N adds others"
        ) in done.stderr
    enough = prism(*words, "--negatives", "0", "--random-negatives", "2")
    assert "hard negatives" not in enough.stderr


def test_limit_counts_queries() -> None:
    assert (
        prism("collect", MINI, "-o", "few.jsonl", "--limit", "3", "--split", "test").returncode == 0
    )
    expected = [query_id for query_id, _ in BeirSet(MINI).judged_queries("test", 3)]
    assert list(dict.fromkeys(row["query_id"] for row in rows("few.jsonl"))) == expected


def test_lists_of_documents_become_pairs_and_bad_rows_are_set_aside() -> None:
    Path("kalm.jsonl").write_text(
        '{"query": "a", "pos": ["b"], "neg": ["c", "d"]}\n'
        '{"query": "a"}\n'
        '{"query": "e", "neg": ["c"]}\n'
    )
    done = prism("collect", "kalm.jsonl", "-o", "pairs.jsonl", "--json", "-q", "--source", "kalm")
    assert done.returncode == 4, done.stderr
    assert json.loads(done.stdout)["counts"]["dropped"] == {"no positive": 1}
    assert [(row["document"], row["source"]) for row in rows("pairs.jsonl")] == [
        ("b", "kalm"),
        ("c", "kalm"),
        ("d", "kalm"),
    ]
    (rejected,) = rows("pairs.jsonl.rejects.jsonl")
    assert (rejected["line"], rejected["field"]) == (2, "pos")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import datasets

    datasets.disable_progress_bars()
    place = tmp_path_factory.mktemp("saved")
    data = datasets.Dataset.from_list(
        [{"question": f"q{number}", "pos": ["a"], "neg": ["b", "c"]} for number in range(5)]
    )
    (place / "files").mkdir()
    data.to_parquet(place / "files" / "part.parquet")
    datasets.DatasetDict({"train": data, "dev": data.select([0])}).save_to_disk(place / "disk")
    return place


@pytest.mark.parametrize("place", ["files", "files/part.parquet", "disk"])
def test_local_data_set_is_streamed(saved: Path, place: str) -> None:
    words = ("-o", "out.jsonl", "--field", "query=question", "--limit", "4")
    done = prism("collect", "--dataset", saved / place, *words)
    assert done.returncode == 0, done.stderr
    assert len(rows("out.jsonl")) == 12
    assert rows("out.jsonl")[0]["query"] == "q0"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ([], 2, "nothing to collect from"),
        (["nowhere.jsonl"], 3, "nowhere.jsonl: no such file"),
        ([str(MINI), "--split", "dev"], 3, "no split 'dev'; it has test, train"),
        ([str(MINI), "--from-rank", "9", "--to-rank", "3"], 2, "from_rank 9 lies behind to_rank 3"),
        (["--dataset", "org/nothing"], 3, "org/nothing: cannot be read"),
        (["--dataset", str(MINI)], 3, "is a BEIR folder; give it as INPUT"),
    ],
)
def test_invalid_use_is_reported_with_its_exit_code(
    words: list[str], code: int, message: str
) -> None:
    done = prism("collect", *words, "-o", "out.jsonl")
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not Path("out.jsonl").exists()


def test_arrow_files_of_a_folder_are_of_their_split(saved: Path) -> None:
    for name in ("train", "dev"):
        (written,) = (saved / "disk" / name).glob("*.arrow")
        Path("arrow").mkdir(exist_ok=True)
        Path("arrow", f"squad-{name}.arrow").write_bytes(written.read_bytes())
    words = ("--dataset", "arrow", "--split", "dev", "--field", "query=question")
    done = prism("collect", *words, "-o", "out.jsonl")
    assert done.returncode == 0, done.stderr
    assert len(rows("out.jsonl")) == 3


def test_saved_data_set_names_its_splits(saved: Path) -> None:
    done = prism("collect", "--dataset", saved / "disk", "--split", "nope", "-o", "out.jsonl")
    assert done.returncode == 3
    assert "no split 'nope'; it has train, dev" in done.stderr


@pytest.mark.parametrize("option", ["--dataset-config", "--revision"])
@pytest.mark.parametrize("place", ["files", "files/*.parquet", "disk"])
def test_choices_of_the_hub_are_refused_with_local_files(
    saved: Path, place: str, option: str
) -> None:
    done = prism("collect", "--dataset", saved / place, option, "en", "-o", "out.jsonl")
    assert done.returncode == 2
    assert option in done.stderr
    assert "is a local one" in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--revision", ["--revision", "v1"]),
        ("--dataset-config", ["--dataset-config", "en"]),
        ("--revision", ["--set", "revision=v1"]),
    ],
)
@pytest.mark.parametrize("place", [[str(MINI)], ["--corpus", str(MINI)], ["web", "queries.jsonl"]])
def test_choices_of_the_hub_are_refused_without_a_data_set(
    place: list[str], option: str, words: list[str]
) -> None:
    done = prism("collect", *place, *words, "-o", "out.jsonl")
    assert done.returncode == 2, done.stderr
    assert f"{option}: chooses in a data set of the hub" in " ".join(done.stderr.split())
    assert not Path("out.jsonl").exists()


def test_authors_rows_keep_their_labels_and_cohere_rows_are_spread() -> None:
    Path("mixed.jsonl").write_text(
        '{"query": "a", "document": "b", "loss_type": "sft", "revised_score": 0.4, '
        '"annotated_label": "no"}\n'
        '{"query": "c", "documents": ["d", {"text": "e", "lang": "en"}]}\n'
    )
    done = prism("collect", "mixed.jsonl", "-o", "pairs.jsonl")
    assert done.returncode == 0, done.stderr
    author, first, second = rows("pairs.jsonl")
    assert author == {
        "query": "a",
        "document": "b",
        "objectives": ["sft"],
        "teacher_score": 0.4,
        "verdict": "no",
    }
    assert (first["document"], second["document"], second["lang"]) == ("d", "e", "en")


def test_named_shapes_a_run_and_a_teachers_scores() -> None:
    Path("st.jsonl").write_text(
        '{"anchor": "q", "positive": "p", "negative": "n"}\n'
        '{"anchor": "q", "positive": "p", "negative": "m"}\n'
    )
    assert prism("collect", "st.jsonl", "--from", "st-triplets", "-o", "st-p.jsonl").returncode == 0
    assert [row["document"] for row in rows("st-p.jsonl")] == ["p", "n", "m"]
    query, document, _ = (MINI / "qrels" / "test.tsv").read_text().splitlines()[1].split("\t")
    Path("run.trec").write_text(f"{query} Q0 {document} 1 0.5 x\n")
    words = ("--from", "trec-run", "--corpus", MINI, "--as-teacher", "dense", "--source", "mini")
    done = prism("collect", "run.trec", *words, "-o", "run.jsonl")
    assert done.returncode == 0, done.stderr
    (row,) = rows("run.jsonl")
    assert (row["doc_id"], row["source"]) == (document, "mini")
    assert row["teacher_scores"] == {"dense": 0.5}


def test_hard_negatives_of_a_run_are_checked_against_the_data_set() -> None:
    data = BeirSet(MINI)
    (query, _), *_ = data.judged_queries("train")
    (dev, _), *_ = data.judged_queries("test")
    first, other = [doc for doc, _ in data.texts() if doc not in data.qrels("train")[query]][:2]
    lines = [f"{query} Q0 {first} 1 3 x", f"{query} Q0 gone 2 2 x", f"{query} Q0 {other} 3 1 x"]
    Path("run.txt").write_text(
        "\n".join([*lines, f"{dev} Q0 {first} 1 1 x", "nobody Q0 gone 1 1 x"])
    )
    words = ("--negatives", "2", "--from-rank", "1", "--to-rank", "3")
    done = prism("collect", MINI, "-o", "out.jsonl", "--first-stage", "run.txt", *words)
    assert done.returncode == 0, done.stderr
    messages = " ".join(done.stderr.split())
    assert "1 of the 3 queries of run.txt are not among its queries, such as run.txt:5" in messages
    assert "of run.txt are not among its documents, such as run.txt:2: 'gone'" in messages
    Path("run.txt").write_text(f"{query} Q0 gone 1 3 x\n")
    done = prism("collect", MINI, "-o", "none.jsonl", "--first-stage", "run.txt", *words)
    assert done.returncode == 3
    assert "run.txt:1: 'gone'; is it a run over another corpus?" in " ".join(done.stderr.split())


def test_gold_marks_of_a_corpus_become_training_texts(tmp_path: Path) -> None:
    folder = Path("mine")
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text(
        '{"_id": "d1", "text": "The mill at Orme closed in 1921."}\n'
        '{"_id": "d2", "text": "The mill at Selm closed in 1931."}\n'
    )
    (folder / "queries.jsonl").write_text(
        '{"_id": "q1", "text": "When did the Orme mill close?"}\n'
        '{"_id": "q2", "text": "When did the Selm mill open?"}\n'
    )
    (folder / "qrels" / "train.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t2\n")
    (folder / "gold.jsonl").write_text(
        '{"query_id": "q1", "doc_id": "d1", "answers": ["1921"], "contribution": "Gives 1921.", '
        '"evidence": "The Orme mill closed in 1921."}\n'
        '{"query_id": "q2", "doc_id": "d2", "answerable": false, "reason": "it closed then"}\n'
    )
    for words in (
        ["collect", "mine", "-o", "pairs.jsonl", "--negatives", "1"],
        ["relabel", "pairs.jsonl", "-o", "labels.jsonl", "--judge", "source"],
        ["distill", "labels.jsonl", "-o", "texts.jsonl", "--generator", "source"],
    ):
        assert (done := prism(*words)).returncode == 0, done.stderr
    by_ids = {(row["query_id"], row["doc_id"]): row for row in rows("texts.jsonl")}
    assert by_ids["q2", "d2"]["verdict"] == "no"
    assert by_ids["q2", "d2"]["negative"] == "marked"
    yes = by_ids["q1", "d1"]
    assert (yes["contribution"], yes["evidence"], yes["generator"]) == (
        "Gives 1921.",
        "The Orme mill closed in 1921.",
        "source",
    )
    bare = '{"query": "q", "document": "A text.", "verdict": "yes"}\n'
    Path("bare.jsonl").write_text(bare)
    done = prism("distill", "bare.jsonl", "-o", "no.jsonl", "--generator", "source")
    assert done.returncode == 0
    (row,) = rows("no.jsonl")
    reason = "its own texts (source_contribution, source_evidence): without contribution and"
    assert row["generation_error"] == f"{reason} evidence"
    assert "why texts were not written:" in done.stderr
    assert reason in done.stderr
    assert prism("rewrite-queries", "bare.jsonl", "--generator", "source").returncode == 2
