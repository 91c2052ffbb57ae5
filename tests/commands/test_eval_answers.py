"""`prism eval answers` from rows to report, with readers behind a server and in this process."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from prism_cli.domain.model_names import model_name
from tests.adapters.chat.tiny_chat import tiny_chat
from tests.door import Done, prism
from tests.factories import read_jsonl, write_jsonl
from tests.servers.fault_server import FaultServer
from tests.servers.replies import Answers

OTHER = "Rain fell on the town. The harbour is old."
CONTEXTS = ("nothing", "documents", "evidence", "contributions", "lead")
WORDS = (
    "eval", "answers", "rows.jsonl", "--gold", "gold.jsonl", "--provider-file", "providers.toml",
    "--contexts", ",".join(CONTEXTS), "-o", "out",
)  # fmt: skip


def document(number: int) -> str:
    return f"{OTHER} Tower {number} was built in {1800 + number}. Many people visit it each year."


def rows() -> list[dict[str, Any]]:
    """Three queries with two documents each; the third has no answer, and no yes."""
    output = []
    for number in range(3):
        for place, text in enumerate([OTHER, document(number)]):
            yes = place == 1 and number < 2
            output.append(
                {
                    "query_id": f"q{number}",
                    "query": f"When was tower {number} built?",
                    "doc_id": f"d{number}-{place}",
                    "document": text,
                    "score": 0.9 if yes else 0.1,
                    "predicted_verdict": "yes" if yes else "no",
                    "predicted_contribution": f"It dates tower {number}." if yes else None,
                    "predicted_evidence": f"Built in {1800 + number}." if yes else None,
                    "format_ok": True if yes else None,
                }
            )
    return output


GOLD = [
    {"query_id": "q0", "answers": ["1800", "the year 1800"]},
    {"query_id": "q1", "doc_id": "d1-1", "answers": ["1801"]},
    {"query_id": "q1", "doc_id": "d1-0", "answerable": False},
    {"query_id": "q2", "answerable": False},
]


def reader(model: str, text: str) -> str:
    """Answer with the year in the texts, from memory with 1801."""
    years = re.findall(r"\b18\d\d\b", text)
    return years[0] if years else "no answer" if "<<<text 1" in text else "1801"


def prepare(server: FaultServer | None = None, **changed: Any) -> None:
    write_jsonl(Path("rows.jsonl"), [row | changed for row in rows()])
    write_jsonl(Path("gold.jsonl"), GOLD)
    Path("providers.toml").write_text(
        f'[providers.lab]\napi = "openai"\nbase_url = "{server.base_url}/v1"\n'
        '[providers.lab.models."r"]\nusd_per_million_input = 1.0\nusd_per_million_output = 1.0\n'
        if server
        else ""
    )


def metrics(folder: str = "out") -> Any:
    return json.loads(Path(folder, "metrics.json").read_text())


def run(*more: str) -> Done:
    return prism(*WORDS, "--reader", "lab/r", *more)


@pytest.mark.figures
def test_answers_of_each_context_from_rows_to_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRISM_STATE", "state")
    with FaultServer(answers=Answers(chat=reader)) as server:
        prepare(server)
        dry = run("--dry-run", "--json")
        (forecast,) = json.loads(dry.stdout)["models"]
        assert (dry.returncode, server.calls, Path("out").exists()) == (0, [], False)
        done = run()
        assert done.returncode == 0, done.stderr
        assert len(server.calls) == forecast["questions"] == 3 + 2 * 4
        figures = metrics()
        answers = figures["answers"]
        assert {name: answers[name]["f1"] for name in CONTEXTS} == {
            "nothing": 0.5, "documents": 1, "evidence": 1, "contributions": 0, "lead": 0,
        }  # fmt: skip
        assert answers["documents"]["exact_match"] == answers["evidence"]["contained"] == 1
        assert answers["contributions"]["no_answer_rate"] == 1
        assert answers["nothing"]["no_answer_accuracy"] == 0
        assert answers["evidence"]["no_answer_accuracy"] == 1
        assert answers["evidence"]["without_text"] == 1
        assert answers["nothing"]["tokens_read"] == 0
        assert answers["evidence"]["tokens_read"] < answers["documents"]["tokens_read"] / 3
        assert answers["documents"]["usd"] > answers["evidence"]["usd"] > 0
        assert figures["reader"] == {"spec": "lab/r", "labelled_rows": None}
        assert {test["against"] for test in figures["statistics"]["tests"]} == {*CONTEXTS} - {
            "evidence"
        }
        (first, *_) = read_jsonl(Path("out/rows.jsonl"))
        assert first["answers"]["documents"] == ["d0-1"]
        assert first["answers"]["contexts"]["evidence"]["reply"] == "1800"
        assert len(read_jsonl(Path("out/rows.jsonl"))) == 3
        html = Path("out/report.html").read_text()
        assert "F1 against tokens read" in html
        assert '<svg role="img" aria-label="F1 against tokens read"' in html
        assert "<svg" in html
        assert "evidence against documents: F1 +0.000" in done.stdout
        again = run()
        assert "nothing to do" in again.stderr
        other = prism(*WORDS[:-1], "other", "--reader", "lab/r")
        assert (other.returncode, len(server.calls)) == (0, 11)
    assert Path("other/metrics.json").read_bytes() == Path("out/metrics.json").read_bytes()
    report = prism("report", "out", "other", "-o", "both.html")
    assert report.returncode == 0, report.stderr
    compared = Path("both.html").read_text()
    assert "F1 from evidence: other " in compared
    assert "F1 from documents" in compared
    assert "Answers from closest sentences" not in compared
    assert "Answers from first sentences" in compared
    assert "F1 from evidence" in report.stdout
    assert prism("report", "out").returncode == 0


def test_a_stopped_run_continues_without_asking_twice() -> None:
    with FaultServer(answers=Answers(chat=reader)) as server:
        prepare(server)
        stopped = run("--max-cost", "0.0009", "--concurrency", "1")
        assert stopped.returncode == 7, stopped.stderr
        before = len(server.calls)
        assert 0 < before < 11
        assert not Path("out/metrics.json").exists()
        assert run().returncode == 0
        assert len(server.calls) == 11


def test_queries_with_documents_and_results_are_read_as_pairs_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PRISM_STATE", "state")
    with FaultServer(answers=Answers(chat=reader)) as server:
        prepare(server)
        assert run().returncode == 0
        pairs = metrics()
        together = []
        for number in range(3):
            own = [row for row in rows() if row["query_id"] == f"q{number}"]
            results = [
                {
                    "index": index,
                    "relevance_score": own[index]["score"],
                    "verdict": own[index]["predicted_verdict"],
                    "contribution": own[index]["predicted_contribution"],
                    "evidence": own[index]["predicted_evidence"],
                }
                for index in (1, 0)
            ]
            documents = [{"doc_id": row["doc_id"], "text": row["document"]} for row in own]
            query = {name: own[0][name] for name in ("query_id", "query")}
            together.append({**query, "documents": documents, "results": results})
        write_jsonl(Path("rows.jsonl"), together)
        done = prism(*WORDS[:-1], "together", "--reader", "lab/r")
        assert done.returncode == 0, done.stderr
        assert len(server.calls) == 11
        best = prism(
            *WORDS[:-1], "best", "--reader", "lab/r", "--verdict", "any", "--documents", "1"
        )
        assert best.returncode == 0, best.stderr
    assert metrics("together")["answers"] == pairs["answers"]
    documents = [row["answers"]["documents"] for row in read_jsonl(Path("best/rows.jsonl"))]
    assert documents == [["d0-1"], ["d1-1"], ["d2-1"]]  # the first of `results`


def test_any_verdict_and_the_number_of_documents() -> None:
    with FaultServer(answers=Answers(chat=reader)) as server:
        prepare(server)
        assert run("--verdict", "any", "--documents", "1").returncode == 0
    first, _, last = read_jsonl(Path("out/rows.jsonl"))
    assert first["answers"]["documents"] == ["d0-1"]
    assert last["answers"]["documents"] == ["d2-1"]  # equal scores: the greater id first
    assert last["answers"]["contexts"]["documents"]["reply"] == "1802"


@pytest.mark.parametrize(
    ("changed", "place"),
    [
        ({"votes": {"openai/r": "yes"}}, "rows.jsonl:1: votes.openai/r"),
        ({"generator": "elsewhere/r"}, "rows.jsonl:1: generator"),
    ],
)
def test_a_reader_that_labelled_the_rows_is_named(changed: dict[str, Any], place: str) -> None:
    assert model_name("lab/r") == model_name("elsewhere/r")
    with FaultServer(answers=Answers(chat=reader)) as server:
        prepare(server, **changed)
        done = run()
        assert done.returncode == 0, done.stderr
    assert place in metrics()["reader"]["labelled_rows"]
    assert "which also labelled these rows" in Path("out/report.html").read_text()
    assert "which also labelled these rows" in " ".join(done.stdout.split())


def test_a_reader_whose_replies_are_unusable_counts_zero() -> None:
    with FaultServer(answers=Answers(chat=lambda model, text: "Answer:")) as server:
        prepare(server)
        assert run().returncode == 0
    answers = metrics()["answers"]
    assert answers["documents"]["refused"] == 2
    assert (answers["documents"]["f1"], answers["documents"]["no_answer_rate"]) == (0, 0)


def test_a_local_reader_and_contexts_at_equal_length(tmp_path: Path, small_tokenizer: Path) -> None:
    prepare()
    model = tiny_chat(tmp_path / "chat", small_tokenizer)
    words = [word if word != ",".join(CONTEXTS) else "evidence,closest,lead" for word in WORDS]
    done = prism(*words, "--reader", f"hf:{model}", "--limit", "4")
    assert done.returncode == 0, done.stderr
    figures = metrics()["answers"]
    assert set(figures) == {"evidence", "closest", "lead"}
    assert figures["closest"]["tokens_read"] > 0
    assert figures["evidence"]["usd"] is None
    assert "nothing to do" in prism(*words, "--reader", f"hf:{model}", "--limit", "4").stderr


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--reader", "st:minilm"], 2, "--reader st:minilm: expected hf:smollm2"),
        (["--reader", "lab/r", "--contexts", "all"], 2, "contexts"),
        (["--reader", "lab/r", "--gold", "-"], 2, "standard input is for the rows"),
        (["--reader", "lab/r", "--gold", "none.jsonl"], 3, "none.jsonl: no such file"),
        ([], 2, "--reader: name the model that answers"),
    ],
)
def test_misuse(words: list[str], code: int, message: str) -> None:
    with FaultServer(answers=Answers(chat=reader)) as server:
        prepare(server)
        done = prism(*WORDS, *words)
        assert (done.returncode, server.calls) == (code, []), done.stderr
    assert message in done.stderr


def test_rows_that_cannot_be_read_are_named_before_any_question() -> None:
    with FaultServer(answers=Answers(chat=reader)) as server:
        prepare(server)
        without = [{**row, "predicted_evidence": None} for row in rows()]
        write_jsonl(Path("rows.jsonl"), without)
        lacking = run()
        assert lacking.returncode == 3
        assert "no row has evidence, which evidence, lead need" in " ".join(lacking.stderr.split())
        write_jsonl(Path("rows.jsonl"), [{**row, "query_id": "x"} for row in rows()[:2]])
        assert "speaks of these rows" in run().stderr
        write_jsonl(Path("rows.jsonl"), rows()[::2] + rows()[1::2])
        apart = run()
        assert apart.returncode == 2
        assert "--sort-queries puts them together" in " ".join(apart.stderr.split())
        assert server.calls == []
        assert run("--sort-queries").returncode == 0
        assert metrics()["answers"]["evidence"]["f1"] == 1
        no_gold = [word for word in WORDS if word not in ("--gold", "gold.jsonl")]
        assert "--gold: name the answers" in prism(*no_gold, "--reader", "lab/r").stderr
