"""`prism eval quality` through the real command, on real text."""

import json
from pathlib import Path
from typing import Any

import pytest

from prism_cli.commands import row_run
from tests.door import Done, prism
from tests.factories import Row, read_jsonl, write_jsonl
from tests.mini import CHINESE, MINI

GOLD = ("--gold", MINI / "answers.jsonl", "--gold", MINI / "impossible.jsonl")


def texts(folder: Path, name: str) -> dict[str, Any]:
    return {row["_id"]: row for row in read_jsonl(folder / f"{name}.jsonl")}


def rows_of(folder: Path, *, impossible: bool = False) -> list[Row]:
    """Return a pair per question, with the sentence of the answer or the first one as evidence."""
    corpus, queries = texts(folder, "corpus"), texts(folder, "queries")
    output = []
    qrels = (folder / "qrels" / "test.tsv").read_text().splitlines()[1:]
    for query, doc, _ in (qrel.split("\t") for qrel in qrels):
        (answer, *_) = texts(folder, "answers")[query]["answers"]
        document = corpus[doc]["text"]
        at = document.find(answer)
        output.append(
            {
                "query_id": query, "query": queries[query]["text"], "doc_id": doc,
                "document": document, "verdict": "yes", "score": 0.9, "predicted_verdict": "yes",
                "predicted_contribution": "c", "format_ok": True,
                "predicted_evidence": document[max(at - 40, 0) : at + 40 + len(answer)],
            }
        )  # fmt: skip
    for question in read_jsonl(folder / "impossible.jsonl") if impossible else []:
        document = corpus[question["paragraph"]]["text"]
        output.append(
            {
                "query_id": question["_id"], "query": question["text"],
                "doc_id": question["paragraph"],
                "document": document, "score": 0.4, "predicted_verdict": "no",
                "format_ok": None, "predicted_evidence": None, "predicted_contribution": None,
            }
        )  # fmt: skip
    return output


def quality(*words: str | Path) -> Done:
    return prism("eval", "quality", *words)


def metrics(folder: str = "out") -> dict[str, Any]:
    content: dict[str, Any] = json.loads(Path(folder, "metrics.json").read_text())
    return content


@pytest.mark.figures
def test_real_questions_against_people_with_baselines() -> None:
    rows = rows_of(MINI, impossible=True)
    rows[-1] |= {"predicted_verdict": "yes", "predicted_evidence": "In 2031.", "format_ok": True}
    write_jsonl(Path("rows.jsonl"), rows)
    words = ("rows.jsonl", *GOLD, "--baselines", "document,lead", "-o", "out")
    done = quality(*words)
    assert done.returncode == 0, done.stderr
    content = metrics()
    figures, counts = content["quality"], content["statistics"]["counts"]
    assert figures["answer_retention"] > 0.95
    assert figures["baselines"]["document"]["answer_retention"] == 1
    assert figures["baselines"]["lead"]["answer_retention"] < 0.7
    assert figures["wrong_yes_rate"] == 1 / counts["wrong_yes_rate"]
    assert figures["format_compliance"] == figures["verdict_accuracy"] == 1
    assert 0.05 < figures["compression_median"] < 0.4
    assert figures["copied_share"] > 0.85
    assert figures["entity_fidelity"] < 1
    assert content["gold"]["rows"] == counts["wrong_yes_rate"] + len(texts(MINI, "answers"))
    assert content["examples"]["wrong_yes"][0]["query"] == rows[-1]["query"]
    assert content["kind"] == "quality"
    assert content["provenance"]["files"].keys() == {"rows.jsonl", *map(str, GOLD[1::2])}
    assert content["provenance"]["command"][:3] == ["prism", "eval", "quality"]
    assert f"{figures['answer_retention']:.3f}" in done.stdout
    assert "not measured" not in done.stdout
    assert b"Quality of evidence" in Path("out/report.html").read_bytes()
    rerun = quality(*words)
    assert rerun.returncode == 0
    assert "out/metrics.json: finished before, nothing to do" in rerun.stderr
    assert rerun.stdout == done.stdout


def test_chinese_answers_are_found_in_chinese_evidence() -> None:
    write_jsonl(Path("rows.jsonl"), rows_of(CHINESE))
    done = quality("rows.jsonl", "--gold", CHINESE / "answers.jsonl", "--baselines", "lead",
                   "-o", "out", "--json", "-q")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (done.stderr, json.loads(done.stdout)) == ("", metrics())
    figures = metrics()["quality"]
    assert figures["answer_retention"] > 0.95
    assert figures["entity_fidelity_neighbouring_characters"] > 0.95
    assert figures["copied_share"] > 0.95


def test_same_bytes_in_another_folder_and_a_changed_setting_is_refused() -> None:
    write_jsonl(Path("rows.jsonl"), rows_of(MINI)[:20])
    words = ("rows.jsonl", *GOLD, "--baselines", "lead")
    for folder in ("one", "two/deep"):
        assert quality(*words, "-o", folder).returncode == 0
    for name in ("rows.jsonl", "metrics.json", "report.html"):
        assert Path("one", name).read_bytes() == Path("two/deep", name).read_bytes()
    changed = quality("rows.jsonl", *GOLD, "--baselines", "document", "-o", "one")
    assert changed.returncode == 2
    assert "baselines" in changed.stderr
    replaced = quality("rows.jsonl", *GOLD, "--baselines", "none", "-o", "one", "--overwrite")
    assert replaced.returncode == 0
    assert metrics("one")["quality"]["baselines"] == {}


def test_a_run_stopped_before_its_figures_resumes_and_takes_more_rows() -> None:
    rows = rows_of(MINI)
    write_jsonl(Path("rows.jsonl"), rows[:10])
    words = ("rows.jsonl", *GOLD, "--baselines", "none", "-o", "out")
    assert quality(*words).returncode == 0
    first = Path("out/metrics.json").read_bytes()
    Path("out/metrics.json").unlink()
    resumed = quality(*words)
    assert "out/rows.jsonl: finished before" in resumed.stderr
    assert Path("out/metrics.json").read_bytes() == first
    papers = Path("out/metrics.json.manifest.json").read_bytes()
    write_jsonl(Path("rows.jsonl"), rows[:15])
    assert quality(*words).returncode == 0
    assert metrics()["pairs"]["all"] == 15
    # the state after a kill between rows and figures
    Path("out/metrics.json").write_bytes(first)
    Path("out/metrics.json.manifest.json").write_bytes(papers)
    assert quality(*words).returncode == 0
    assert metrics()["pairs"]["all"] == 15


def test_too_many_rejects_exit_with_4_and_figures_of_the_others() -> None:
    rows: list[Row] = [{"query": "q", "document": "d"}, *rows_of(MINI)[:3]]
    write_jsonl(Path("rows.jsonl"), rows)
    done = quality("rows.jsonl", *GOLD, "--baselines", "none", "-o", "out")
    assert done.returncode == 4
    assert metrics()["pairs"]["all"] == 3
    assert metrics()["input_rows"] == {"rows": 4, "rejected": 1, "pending": 0}
    (reject,) = read_jsonl(Path("out/rows.jsonl.rejects.jsonl"))
    assert (reject["line"], reject["field"]) == (1, "predicted_verdict")


def test_metrics_that_appear_during_a_run_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    worked = row_run.work_rows

    def meddled(*words: Any, **more: Any) -> Any:
        summary = worked(*words, **more)
        Path("out/metrics.json").write_text("theirs")
        return summary

    monkeypatch.setattr(row_run, "work_rows", meddled)
    write_jsonl(Path("rows.jsonl"), rows_of(MINI)[:3])
    done = quality("rows.jsonl", "--baselines", "none", "-o", "out")
    assert done.returncode == 2
    assert "metrics.json: appeared while this run worked" in done.stderr
    assert Path("out/metrics.json").read_text() == "theirs"


def test_labels_are_measured_where_there_are_no_predictions() -> None:
    rows = [
        {"query": "q", "document": "It is 5 m.", "verdict": "yes", "contribution": "c",
         "evidence": "5 m."},
        {"query": "q", "document": "It is.", "verdict": "no"},
    ]  # fmt: skip
    write_jsonl(Path("rows.jsonl"), rows)
    done = quality("rows.jsonl")
    assert done.returncode == 0, done.stderr
    assert "2 pairs have no prediction: the texts of their labels" in done.stdout
    assert "not measured: whether the evidence answers the question" in done.stdout
    assert "(--gold)" in done.stdout
    content = metrics("runs/eval/rows-quality")
    assert content["pairs"]["labels"] == 2
    assert (content["quality"]["entity_fidelity"], content["gold"]) == (1, {})
    assert "-q" not in content["provenance"]["command"]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--gold", "nowhere.jsonl"], 3, "nowhere.jsonl: no such file"),
        (["--gold", "empty.jsonl"], 3, "no row of marks by people: empty.jsonl:1: "),
        (["--gold", "other.jsonl"], 3, "its first row has query_id 'zzz', doc_id None"),
        (["--gold", "-"], 2, "standard input is for the rows"),
        (["--baselines", "document,first"], 2, "baselines"),
        (["--texts", "mine"], 2, "texts"),
        (["-o", "-"], 2, "expected a folder"),
        (["-o", "rows.jsonl"], 2, "expected a folder"),
        (["--texts", "labels", "--max-rejects", "1"], 0, "verdict yes 2"),
    ],
)
def test_invalid_settings_are_refused(words: list[str], code: int, message: str) -> None:
    write_jsonl(Path("rows.jsonl"), rows_of(MINI)[:2])
    write_jsonl(Path("empty.jsonl"), [{"x": 1}])
    write_jsonl(Path("other.jsonl"), [{"query_id": "zzz", "answerable": False}])
    done = quality("rows.jsonl", "-o", "out", "--set", "baselines=none", *words)
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert Path("out/metrics.json").exists() is (code == 0)


def test_a_folder_with_another_evaluation_is_left_alone() -> None:
    assert prism("eval", MINI, "--model", "none", "-o", "out", "--limit", "3").returncode == 0
    before = Path("out/metrics.json").read_bytes()
    write_jsonl(Path("rows.jsonl"), rows_of(MINI)[:2])
    done = quality("rows.jsonl", "-o", "out")
    assert done.returncode == 2
    assert "stage: was eval, is quality" in done.stderr
    assert Path("out/metrics.json").read_bytes() == before
    assert not Path("out/rows.jsonl").exists()


@pytest.mark.parametrize(
    ("words", "messages"),
    [
        (
            [],
            [
                "no row has predicted_verdict or verdict",
                "prism rerank in.jsonl -o reranked.jsonl && prism eval quality reranked.jsonl",
                "prism relabel --judge st:minilm --judge hf:smollm2 in.jsonl -o labelled.jsonl "
                "&& prism eval quality labelled.jsonl",
            ],
        ),
        (["--texts", "labels"], ["no row has verdict,", "prism relabel --judge"]),
        (
            ["--texts", "predicted", "-q"],
            ["no row has predicted_verdict,", "prism rerank in.jsonl"],
        ),
    ],
)
def test_rows_without_a_verdict_name_the_command_that_adds_it(
    words: list[str], messages: list[str]
) -> None:
    write_jsonl(Path("in.jsonl"), [{"query": "q", "document": "d"}])
    done = prism("eval", "quality", "in.jsonl", *words, "-o", "out")
    assert done.returncode == 4
    assert all(message in " ".join(done.stderr.split()) for message in messages), done.stderr
    assert ("prism relabel" in done.stderr) == ("predicted" not in words)


def test_labels_without_evidence_name_the_commands_that_write_it() -> None:
    write_jsonl(Path("in.jsonl"), [{"query": "q", "document": "d", "verdict": "yes"}])
    done = prism("eval", "quality", "in.jsonl", "-o", "out")
    assert done.returncode == 0
    messages = " ".join(done.stderr.split())
    assert "no row has predicted_evidence or evidence" in messages
    assert "prism distill --generator extractive in.jsonl -o texts.jsonl" in messages
    done = prism("eval", "quality", "in.jsonl", "-o", "other", "--field", "query=query", "-q")
    assert "Next:" not in done.stderr
