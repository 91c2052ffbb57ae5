"""`prism eval` through the real command, the first stage alone."""

import json
import shutil
from pathlib import Path

import pytest

from prism_cli.adapters.datasets import beir_qa
from prism_cli.errors import UsageError
from tests.door import prism
from tests.mini import MINI


@pytest.mark.figures
def test_first_stage_alone_leaves_metrics_runs_and_a_table() -> None:
    done = prism("eval", MINI, "--model", "none", "-o", "out", "--top-k", "20")
    assert done.returncode == 0, done.stderr
    content = json.loads(Path("out/metrics.json").read_text())
    measure = content["ranking"]["mini"]["bm25"]["nDCG@10"]
    assert 0.7 < measure < 0.97
    assert f"{measure:.4f}" in done.stdout
    assert "the first stage alone" in done.stderr
    assert Path("out/runs/mini.bm25.trec").read_text().count("\n") > 64
    rerun = prism("eval", MINI, "--model", "none", "-o", "out", "--top-k", "20")
    assert rerun.returncode == 0
    assert "finished before, nothing to do" in rerun.stderr
    assert f"{measure:.4f}" in rerun.stdout
    changed = prism("eval", MINI, "--model", "none", "-o", "out", "--top-k", "5")
    assert changed.returncode == 2
    assert "top_k: was 20, is 5" in changed.stderr


def test_json_prints_the_metrics_and_quiet_nothing_else() -> None:
    done = prism("eval", MINI, "--model", "none", "--limit", "5", "--json", "-q")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert json.loads(done.stdout)["datasets"]["mini"]["queries"] == 5
    assert Path("runs/eval/mini-none/metrics.json").exists()


def test_run_file_as_first_stage_may_be_named_by_data_set() -> None:
    assert prism("eval", MINI, "--model", "none", "-o", "out", "--limit", "9").returncode == 0
    run = Path("mine/mini.trec")
    run.parent.mkdir()
    shutil.copy("out/runs/mini.bm25.trec", run)
    words = ("--model", "none", "--first-stage", "mine/{dataset}.trec", "--limit", "9")
    done = prism("eval", MINI, *words, "-o", "two", "--json", "-q")
    assert done.returncode == 0, done.stderr
    first = json.loads(Path("out/metrics.json").read_text())["ranking"]["mini"]["bm25"]
    assert json.loads(done.stdout)["ranking"]["mini"]["mine"] == first

    shutil.copytree(MINI, "other-mini")
    shutil.copy(run, "mine/other-mini.trec")
    both = prism("eval", MINI, "other-mini", *words, "-o", "three", "--json", "-q")
    assert both.returncode == 0, both.stderr
    assert json.loads(both.stdout)["average"]["mine"] == first


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ([str(MINI / "corpus.jsonl")], 3, "corpus.jsonl: is a file; expected a BEIR folder"),
        (["nowhere"], 3, "nowhere: no such folder; expected a BEIR folder"),
        ([str(MINI), "--split", "dev"], 3, "no split 'dev'; it has test, train"),
        ([str(MINI), "--first-stage", "dense"], 3, "expected bm25, st:MODEL or a TREC run file"),
        ([str(MINI), str(MINI)], 2, "two sets of one name"),
        ([str(MINI), "--top-k", "0"], 2, "top-k"),
        ([str(MINI), "--sets", "fiqa"], 2, "name beir-qa"),
        (["beir-qa", "--sets", ","], 2, "names no set"),
        (["beir-qa", "--sets", "fiqua"], 2, "fiqua: not in beir-qa; it has nfcorpus"),
        ([str(MINI), "--set", "topk=3"], 2, "did you mean top_k"),
    ],
)
def test_invalid_use_is_reported_with_its_exit_code(
    words: list[str], code: int, message: str
) -> None:
    done = prism("eval", *words, "--model", "none")
    assert done.returncode == code, done.stderr
    assert message in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr
    assert not Path("runs").exists()


def test_beir_qa_measures_local_copies() -> None:
    for name in ("nfcorpus", "webis-touche2020", "dbpedia"):
        shutil.copytree(MINI, Path("data") / name)
    words = (
        "--data-dir",
        "data",
        "--sets",
        "touche2020,nfcorpus,dbpedia",
        "--model",
        "none",
        "--limit",
        "4",
    )
    done = prism("eval", "beir-qa", *words, "--json", "-q")
    assert done.returncode == 0, done.stderr
    content = json.loads(done.stdout)
    assert list(content["ranking"]) == ["nfcorpus", "webis-touche2020", "dbpedia"]
    assert content["average"]["bm25"]["nDCG@10"] > 0
    assert Path("runs/eval/beir-qa-none/metrics.json").exists()


def test_beir_qa_is_the_nine_sets() -> None:
    assert len(beir_qa.chosen_sets([])) == 9
    assert [dataset.name for dataset in beir_qa.chosen_sets(["dbpedia", "fiqa"])] == [
        "fiqa",
        "dbpedia-entity",
    ]
    with pytest.raises(UsageError, match="quora"):
        beir_qa.chosen_sets(["quora"])


def test_beir_qa_evaluates_available_sets_names_missing_ones_and_resumes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # nothing can be fetched
    for name in ("nfcorpus", "nq"):
        shutil.copytree(MINI, Path("data") / name)
    words = ("eval", "beir-qa", "--data-dir", "data", "--model", "none", "--limit", "3")
    done = prism(*words, "-o", "out")
    assert done.returncode == 3
    assert "scifact: missing; cannot be downloaded from https://public" in done.stderr
    assert "measured 2 of the 9 sets asked for; missing: scifact" in done.stderr
    assert "average of 2 of the 9 sets" in done.stdout
    assert "not measured, as they are missing: dbpedia-entity" in done.stdout
    content = json.loads(Path("out/metrics.json").read_text())
    assert list(content["ranking"]) == ["nfcorpus", "nq"]
    assert len(content["missing_sets"]) == 7
    assert "average of 2 of the 9 sets" in Path("out/report.html").read_text()
    assert prism(*words, "-o", "out").returncode == 3

    shutil.copytree(MINI, "data/dbpedia")  # by its shorter name
    more = prism(*words, "-o", "out")
    assert more.returncode == 3
    assert "nq: bm25 was finished before" in more.stderr
    assert len(json.loads(Path("out/metrics.json").read_text())["missing_sets"]) == 6

    chosen = prism(*words, "--sets", "nq,nfcorpus", "-o", "two")
    assert chosen.returncode == 0
    for dataset in beir_qa.NINE:
        if not beir_qa.is_local(dataset, Path("data")):
            shutil.copytree(MINI, Path("data") / dataset.name)
    complete = prism(*words, "-o", "out")
    assert complete.returncode == 0, complete.stderr
    content = json.loads(Path("out/metrics.json").read_text())
    assert len(content["ranking"]) == 9
    assert content["missing_sets"] == []
    assert "nothing to do" in prism(*words, "-o", "out").stderr


def test_beir_qa_without_any_set_is_reported() -> None:
    done = prism("eval", "beir-qa", "--data-dir", "data", "--sets", "nq", "--model", "none")
    assert done.returncode == 3
    assert "none of the 1 set asked for is in data" in done.stderr


def test_the_same_evaluation_in_two_folders_gives_the_same_bytes() -> None:
    words = ("eval", MINI, "--model", "none", "--limit", "30", "--top-k", "5")
    assert prism(*words, "-o", "one").returncode == 0
    assert prism(*words, "-q", "--output", "state/two").returncode == 0
    same = ["metrics.json", "report.html", "runs/mini.bm25.trec"]
    same += [str(path.relative_to("one")) for path in Path("one").glob("mteb/*/*/*.json")]
    assert len(same) == 4
    for name in same:
        assert Path("one", name).read_bytes() == Path("state/two", name).read_bytes(), name
    command = json.loads(Path("one/metrics.json").read_text())["provenance"]["command"]
    assert command == ["prism", *map(str, words)]


def test_a_model_is_ranked_beside_the_first_stage_and_never_scored_twice(
    tiny_reranker: Path,
) -> None:
    spec = f"hf:{tiny_reranker}"
    words = ("eval", MINI, "--model", spec, "--limit", "2", "--top-k", "3", "--device", "cpu")
    done = prism(*words, "-o", "out")
    assert done.returncode == 0, done.stderr
    assert f"{spec} (from --model)" in done.stderr.replace("\n", "")
    assert "mini (2 queries): so few queries say little" in " ".join(done.stdout.split())
    content = json.loads(Path("out/metrics.json").read_text())
    assert list(content["ranking"]["mini"]) == ["bm25", spec]
    assert content["runs"]["mini"][spec]["pairs"] == 6
    manifest = json.loads(Path("out/metrics.json.manifest.json").read_text())
    assert manifest["usage"]["asked"] == 6
    rerun = prism(*words, "-o", "out")
    assert rerun.returncode == 0, rerun.stderr
    assert "finished before, nothing to do" in rerun.stderr


@pytest.mark.parametrize("spec", ["./nowhere", "hf:no/such-model"])
def test_an_unknown_model_is_reported_before_ranking(spec: str) -> None:
    done = prism("eval", MINI, "--model", spec, "-o", "out")
    assert done.returncode == 3
    assert spec in done.stderr
    assert not Path("out").exists()


def test_the_model_defaults_to_that_of_the_project() -> None:
    Path("prism.toml").write_text('[defaults]\nmodel = "none"\n')
    done = prism("eval", MINI, "--limit", "2", "-o", "out")
    assert done.returncode == 0, done.stderr
    assert "the first stage alone" in done.stderr


def test_without_a_project_the_released_2b_model_is_the_default() -> None:
    done = prism("eval", MINI, "--limit", "2", "-o", "out")
    assert done.returncode == 3
    assert "infgrad/Prism-Qwen3.5-Reranker-2B (from the default: the released 2B" in done.stderr


@pytest.fixture
def bare_run() -> tuple[str, ...]:
    """Write a run and judgements: q1's relevant document is second, q2's is not in the run."""
    Path("run.txt").write_text("q1 Q0 a 1 3 x\nq1 Q0 b 2 2 x\nq2 Q0 c 1 1 x\n")
    Path("qrels.txt").write_text("q1 0 b 1\nq2 0 d 1\nq2 0 c 0\n")
    return ("eval", "run.txt", "--qrels", "qrels.txt")


def test_a_run_is_measured_by_judgements_alone(bare_run: tuple[str, ...]) -> None:
    done = prism(*bare_run)
    assert done.returncode == 0, done.stderr
    (folder,) = Path("runs/eval").iterdir()
    content = json.loads((folder / "metrics.json").read_text())
    measures = content["ranking"]["qrels"]["run"]
    assert measures["RR@10"] == 0.25
    assert measures["R@10"] == 0.5
    assert content["provenance"]["config"]["model"] == ["none"]
    assert "finished before" in prism(*bare_run).stderr
    Path("qrels.txt").write_text("q1\tb\t1\n")
    assert prism(*bare_run).returncode == 2, "other judgements are another evaluation"
    done = prism(*bare_run, "--overwrite", "--json", "-q")
    assert json.loads(done.stdout)["ranking"]["qrels"]["run"]["RR@10"] == 0.5


def test_a_run_is_measured_to_its_end_unless_it_is_cut(bare_run: tuple[str, ...]) -> None:
    Path("run.txt").write_text("".join(f"q1 Q0 d{n} {n} {-n} x\n" for n in range(1, 151)))
    Path("qrels.txt").write_text("q1 0 d2 1\nq1 0 d150 1\n")
    for words, average in (((), (1 / 2 + 2 / 150) / 2), (("--top-k", "100"), 1 / 4)):
        done = prism(*bare_run, "--json", "-q", *words, "-o", "-".join(("out", *words[1:])))
        measures = json.loads(done.stdout)["ranking"]["qrels"]["run"]
        assert measures["AP"] == pytest.approx(average)
    assert measures["R@100"] == 0.5


def test_other_judgements_of_a_run_are_another_evaluation(bare_run: tuple[str, ...]) -> None:
    assert prism(*bare_run).returncode == 0
    second = ("eval", "run.txt", "--qrels", "second.txt")
    Path("second.txt").write_text("q1 0 a 1\n")
    done = prism(*second)
    assert done.returncode == 0, done.stderr
    names = sorted(path.name for path in Path("runs/eval").iterdir() if path.is_dir())
    assert names == ["run.txt+qrels.txt-none", "run.txt+second.txt-none"]
    into = prism(*second, "-o", "runs/eval/run.txt+qrels.txt-none")
    assert into.returncode == 2
    assert "second.txt: was not read before, and is now" in " ".join(into.stderr.split())
    assert "its bytes changed" not in into.stderr


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--model", "hf:prism-tiny"], 2, "a model reads texts"),
        (["--first-stage", "bm25"], 2, "--first-stage: needs a data set"),
        (["other.txt"], 2, "expected one run file, found 2"),
    ],
)
def test_options_that_need_texts_are_refused_with_judgements_alone(
    bare_run: tuple[str, ...], words: list[str], code: int, message: str
) -> None:
    done = prism(*bare_run, *words)
    assert done.returncode == code
    assert message in " ".join(done.stderr.split())


def test_a_run_of_another_corpus_is_detected_by_its_judgements(bare_run: tuple[str, ...]) -> None:
    Path("run.txt").write_text("q1 Q0 z 1 3 x\n")
    done = prism(*bare_run)
    assert done.returncode == 0, done.stderr
    assert "none of the run's candidates is judged" in " ".join(done.stderr.split())
    Path("run.txt").write_text("x Q0 b 1 3 x\n")
    assert prism(*bare_run, "-o", "other").returncode == 3
    done = prism("eval", "run.txt")
    assert done.returncode == 3
    assert "prism eval run.txt --qrels FILE" in " ".join(done.stderr.split())
