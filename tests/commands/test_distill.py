"""`prism distill` through the real command, on real text and the embedded model."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from prism_cli.domain.sentences import sentences
from tests.door import prism
from tests.factories import make_pair, make_pairs, read_jsonl, write_jsonl
from tests.mini import MINI
from tests.servers.fault_server import FaultServer
from tests.servers.replies import Answers, hashed


@pytest.fixture
def pairs() -> Path:
    """Return pairs of ten queries: each with its paragraph, one by BM25 and a random one."""
    words = ("--limit", "10", "--negatives", "1", "--random-negatives", "1", "-q")
    assert prism("collect", MINI, "-o", "pairs.jsonl", *words).returncode == 0
    return Path("pairs.jsonl")


def passages(count: int) -> list[str]:
    """The first ones."""
    return [row["text"] for row in read_jsonl(MINI / "corpus.jsonl")[:count]]


def manifest(output: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(Path(f"{output}.manifest.json").read_text())
    return content


def test_from_pairs_to_scores_labels_and_texts(pairs: Path) -> None:
    done = prism("distill", pairs, "-o", "scored.jsonl", "--teacher", "st:minilm", "--json")
    assert done.returncode == 0, done.stderr
    assert "calibration exponent 1 for st:minilm; none is known" in done.stderr
    assert done.stderr.count("none is known") == 1
    assert json.loads(done.stdout)["figures"]["calibration"]["exponent"] == 1.0
    assert manifest("scored.jsonl")["figures"]["calibration"]["from"].startswith("none is known")
    scored = read_jsonl(Path("scored.jsonl"))
    by_label: dict[str, list[float]] = {"1": [], "0": []}
    for before, row in zip(read_jsonl(pairs), scored, strict=True):
        assert {name: row[name] for name in before} == before
        assert row["teacher_scores"]["st:minilm"] == row["teacher_score"]
        by_label[row["source_label"]].append(row["teacher_score"])
    mean = {label: sum(values) / len(values) for label, values in by_label.items()}
    assert mean["1"] > mean["0"] + 0.2

    assert (
        prism(
            "relabel", "scored.jsonl", "-o", "labelled.jsonl", "--judge", "source", "-q"
        ).returncode
        == 0
    )
    words = ("distill", "labelled.jsonl", "-o", "written.jsonl", "--teacher", "st:minilm")
    words += ("--calibrate", "labelled.jsonl", "--generator", "extractive", "--max-sentences", "1")
    done = prism(*words)
    assert done.returncode == 0, done.stderr
    assert "fitted on labelled.jsonl: 10 yes, 20 no, balanced accuracy" in done.stderr
    record = manifest("written.jsonl")
    exponent = record["figures"]["calibration"]["exponent"]
    boundary = record["figures"]["calibration"]["raw boundary"]
    assert boundary**exponent == pytest.approx(0.5, abs=1e-4)
    assert record["config"]["calibrate"] == "labelled.jsonl"
    assert [dependency["path"] for dependency in record["dependencies"]] == ["labelled.jsonl"]
    written = read_jsonl(Path("written.jsonl"))
    assert [row["verdict"] for row in written].count("yes") == 10
    for row in written:
        raw = row["teacher_scores"]["st:minilm"]
        assert row["teacher_score"] == pytest.approx(raw**exponent, abs=2e-6)
        if row["verdict"] == "yes":
            assert row["evidence"] in row["document"]
            assert row["contribution"].startswith("The passage states that ")
            assert row["generator"] == "extractive"
        else:
            assert not row.keys() & {"contribution", "evidence", "generator"}
    assert "finished before" in prism(*words).stderr

    Path("labelled.jsonl").write_bytes(Path("labelled.jsonl").read_bytes() + b"\n")
    assert prism(*words).returncode == 2  # the rows of the fit have changed


def test_a_killed_run_resumes_without_repeating_requests(pairs: Path) -> None:
    words = ["distill", str(pairs), "-o", "out.jsonl", "--teacher", "st:minilm", "--json", "-q"]
    killed = subprocess.run(
        [sys.executable, "-m", "prism_cli", *words],
        env=os.environ | {"PRISM_CRASH_AT": "before-publish"},
        capture_output=True,
        timeout=120,
    )
    assert killed.returncode in (-9, 137), killed.stderr
    assert not Path("out.jsonl").exists()
    rerun = prism(*words)
    assert rerun.returncode == 0, rerun.stderr
    usage = json.loads(rerun.stdout)["usage"]
    assert (usage["asked"], usage["from_ledger"]) == (0, 30)
    fresh = prism("distill", pairs, "-o", "fresh.jsonl", "--teacher", "st:minilm", "--fresh", "-q")
    assert fresh.returncode == 0
    assert Path("fresh.jsonl").read_bytes() == Path("out.jsonl").read_bytes()


VOYAGE = ("voyage/rerank-2", "voyage/rerank-2.5")


@pytest.fixture
def voyage(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultServer]:
    """Serve Voyage's API locally, named in the provider file of the environment."""
    with FaultServer() as server:
        Path("p.toml").write_text(
            f'[providers.voyage]\nbase_url = "{server.base_url}/voyage/v1"\n', encoding="utf-8"
        )
        monkeypatch.setenv("PRISM_PROVIDER_FILE", str(Path("p.toml").resolve()))
        monkeypatch.setenv("VOYAGE_API_KEY", "pa-planted")
        yield server


def test_the_papers_pair_of_teachers_has_its_exponent(voyage: FaultServer) -> None:
    rows = [make_pair(n, query=f"query {n // 3}") for n in range(9)]
    write_jsonl(Path("in.jsonl"), rows)
    words = ("distill", "in.jsonl", "-o", "out.jsonl", "--json")
    words += ("--teacher", VOYAGE[0], "--teacher", VOYAGE[1])
    forecast = prism(*words, "--dry-run")
    assert (forecast.returncode, voyage.calls) == (0, [])
    thought = {estimate["model"]: estimate for estimate in json.loads(forecast.stdout)["models"]}
    done = prism(*words)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["figures"]["calibration"]["exponent"] == 1.609
    for row in read_jsonl(Path("out.jsonl")):
        raw = [hashed(name.partition("/")[2], row["query"], row["document"]) for name in VOYAGE]
        assert list(row["teacher_scores"].items()) == list(zip(VOYAGE, raw, strict=True))
        assert row["teacher_score"] == pytest.approx((sum(raw) / 2) ** 1.609, abs=1e-6)
    assert len(voyage.calls) == 6  # three queries, two teachers
    assert [thought[name]["calls"] for name in VOYAGE] == [3, 3]
    billed = sum(call.input_tokens for call in voyage.calls)
    assert summary["usage"]["input_tokens"] == billed
    assert summary["usage"]["usd"] == pytest.approx(billed * 0.05 / 1e6)


def test_scores_of_other_files_are_not_paid_again(voyage: FaultServer) -> None:
    rows = make_pairs(4)
    write_jsonl(Path("in.jsonl"), [rows[0] | {"reused": {"votes.j": "v.jsonl"}}, *rows[1:]])
    old = [row | {"teacher_scores": {VOYAGE[0]: 0.25, "other": 0.5}} for row in rows[:2]]
    write_jsonl(Path("old.jsonl"), [*old, rows[2] | {"teacher_scores": {VOYAGE[0]: 7}}])
    words = ("distill", "in.jsonl", "-o", "out.jsonl", "--teacher", VOYAGE[0], "--json")
    done = prism(*words, "--reuse", "old.jsonl")
    assert done.returncode == 0, done.stderr
    output = read_jsonl(Path("out.jsonl"))
    assert output[0]["teacher_scores"] == {VOYAGE[0]: 0.25}
    assert output[0]["teacher_score"] == 0.25
    where = {f"teacher_scores.{VOYAGE[0]}": "old.jsonl"}
    assert output[0]["reused"] == {"votes.j": "v.jsonl"} | where
    assert output[1]["reused"] == where
    assert all("reused" not in row for row in output[2:])
    summary = json.loads(done.stdout)
    assert summary["figures"]["scores taken over from --reuse"] == 2
    assert summary["usage"]["asked"] == 2
    assert [dependency["path"] for dependency in manifest("out.jsonl")["dependencies"]] == [
        "old.jsonl"
    ]


def test_the_authors_rows_are_taken_as_paid_under_their_own_names(voyage: FaultServer) -> None:
    rows = make_pairs(4, verdict="yes")
    write_jsonl(Path("in.jsonl"), [rows[0] | {"teacher_scores": {VOYAGE[0]: 0.25}}, *rows[1:]])
    texts = {"contribution": "It says so.", "evidence": "Item 1 is a thing."}
    author = [
        {"query": row["query"], "document": row["document"], "revised_score": 0.75} | more
        for row, more in zip(rows, ({}, texts, {}), strict=False)
    ]
    write_jsonl(Path("author.jsonl"), author)
    words = ("distill", "in.jsonl", "-o", "out.jsonl", "--reuse", "author.jsonl", "--json")
    models = ("--teacher", VOYAGE[0], "--generator", "extractive")
    done = prism(*words, *models)
    assert done.returncode == 0, done.stderr
    output = read_jsonl(Path("out.jsonl"))
    assert output[0]["teacher_score"] == 0.25  # its own score comes first
    assert (output[1]["teacher_score"], output[2]["teacher_score"]) == (0.75, 0.75)
    assert "teacher_scores" not in output[1]
    assert {name: output[1][name] for name in texts} == texts
    assert [row.get("generator") for row in output] == ["extractive", None, *["extractive"] * 2]
    assert [row.get("reused") for row in output] == [
        None,
        {"teacher_score": "author.jsonl", "texts": "author.jsonl"},
        {"teacher_score": "author.jsonl"},
        None,
    ]
    assert json.loads(done.stdout)["figures"]["scores taken over from --reuse"] == 2
    (call,) = voyage.calls
    assert rows[3]["document"] in call.text


def scored_rows(yes: int, no: int) -> Path:
    rows = [make_pair(n, verdict="yes", teacher_scores={"st:minilm": 0.6}) for n in range(yes)]
    rows += [make_pair(n, verdict="no", teacher_scores={"st:minilm": 0.2}) for n in range(no)]
    return write_jsonl(Path(f"judged-{yes}-{no}.jsonl"), [*rows, make_pair(0), make_pair(1)])


def test_given_exponent_is_used_and_needs_no_model() -> None:
    rows = scored_rows(2, 2)
    words = ("--teacher", "st:minilm", "--calibration-exponent", "2")
    write_jsonl(Path("in.jsonl"), read_jsonl(rows)[:4])
    done = prism("distill", "in.jsonl", "-o", "out.jsonl", *words)
    assert done.returncode == 0, done.stderr
    assert [row["teacher_score"] for row in read_jsonl(Path("out.jsonl"))] == [
        0.36,
        0.36,
        0.04,
        0.04,
    ]
    assert "given by --calibration-exponent" in done.stderr
    assert prism("distill", "in.jsonl", "-o", "out.jsonl", *words[:3], "1.5").returncode == 2


def test_the_fitted_boundary_is_in_the_middle() -> None:
    judged = scored_rows(15, 15)
    write_jsonl(Path("in.jsonl"), read_jsonl(judged)[:30])
    words = ("--teacher", "st:minilm", "--calibrate", judged)
    assert prism("distill", "in.jsonl", "-o", "out.jsonl", *words, "-q").returncode == 0
    assert manifest("out.jsonl")["figures"]["calibration"]["raw boundary"] == 0.4
    for row in read_jsonl(Path("out.jsonl")):
        assert (row["teacher_score"] > 0.5) == (row["verdict"] == "yes")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ("", 2, "give --teacher SPEC (such as st:minilm) for scores, --generator SPEC"),
        ("--teacher minilm", 2, "--teacher minilm: expected st:minilm"),
        ("--teacher st:minilm --teacher st:minilm", 2, "st:minilm is repeated"),
        ("--teacher voyage/rerank-2 --teacher st:minilm", 3, "VOYAGE_API_KEY for voyage/rerank-2"),
        ("--teacher deepseek/deepseek-chat", 2, "deepseek/deepseek-chat is a chat model"),
        ("--teacher exa/search --dry-run", 2, "exa/search is a web search, for --web of prism"),
        ("--teacher voyag/rerank-2", 2, "--teacher voyage/rerank-2"),
        ("--teacher st:./nowhere", 3, "st:./nowhere: no such directory"),
        ("--teacher st:org/nothing", 3, "hf download org/nothing"),
        ("--teacher st:minilm --calibration-exponent 0", 2, "calibration_exponent"),
        ("--teacher st:minilm --calibration-exponent nan", 2, "calibration-exponent"),
        ("--teacher st:minilm --calibration-exponent 2 --calibrate few.jsonl", 2, "give one"),
        ("--generator extractive --calibrate few.jsonl", 2, "but no teacher"),
        ("--teacher st:minilm --calibrate nowhere.jsonl", 3, "nowhere.jsonl: no such file"),
        ("--teacher st:minilm --calibrate few.jsonl", 3, "20 or more usable rows, found 19"),
        ("--teacher st:minilm --calibrate one.jsonl", 3, "found 25 yes and 0 no (besides 2 rows"),
        ("--teacher st:minilm --device cudo", 3, "--device cudo"),
        ("--generator extractiv", 2, "extractive, hf:smollm2"),
        ("--generator voyage/rerank-2", 2, "is a reranker of a provider, for --teacher"),
        ("--generator deepseek/deepseek-chat", 3, "DEEPSEEK_API_KEY for deepseek/deepseek-chat"),
        ("--teacher st:minilm --min-fidelity .9", 2, "no generator (--generator SPEC)"),
        ("--generator extractive --min-fidelity 1.1", 2, "min-fidelity"),
        ("--generator extractive --max-sentences 0", 2, "max-sentences"),
        ("--generator extractive --set max_sentence=2", 2, "did you mean max_sentences"),
    ],
)  # fmt: skip
def test_invalid_use_is_reported_with_its_exit_code(words: str, code: int, message: str) -> None:
    scored_rows(10, 9).rename("few.jsonl")
    scored_rows(25, 0).rename("one.jsonl")
    write_jsonl(Path("in.jsonl"), make_pairs(3))
    done = prism("distill", "in.jsonl", "-o", "out.jsonl", *words.split())
    assert done.returncode == code, done.stderr
    assert message in " ".join(done.stderr.replace("│", " ").split())
    assert "Traceback" not in done.stderr
    assert not Path("out.jsonl").exists()


def test_bad_rows_are_set_aside() -> None:
    lines = write_jsonl(Path("in.jsonl"), make_pairs(2, verdict="yes")).read_bytes()
    bad = b'{"query": "q"}\n{"query": 5, "document": "d"}\n\xff\n{"query": "q", "docu'
    Path("in.jsonl").write_bytes(lines + bad)
    done = prism("distill", "in.jsonl", "-o", "out.jsonl", "--generator", "extractive")
    assert done.returncode == 4, done.stderr
    assert len(read_jsonl(Path("out.jsonl"))) == 2
    rejected = read_jsonl(Path("out.jsonl.rejects.jsonl"))
    assert [(row["line"], row["field"]) for row in rejected] == [
        (3, "document"),
        (4, "query"),
        (5, ""),
        (6, ""),
    ]


def test_help_shows_an_example_and_every_option() -> None:
    done = prism("distill", "--help")
    assert done.returncode == 0
    text = " ".join(done.stdout.replace("│", " ").split())
    assert "Example: prism distill pairs.jsonl -o scored.jsonl --teacher st:minilm" in text
    for option in ("--teacher", "--calibrate", "--generator", "--max-sentences", "--min-fidelity"):
        assert option in text


FENCED = re.compile(r"<<<document \w+>>>\n(.*)\n<<<end of document", re.DOTALL)


def first_sentences(model: str, text: str) -> str:
    """Reply with the document's first sentence, verbatim."""
    match = FENCED.search(text)
    assert match
    first = sentences(match[1])[0]
    return f"<contribution>It tells this.</contribution>\n<evidence>{first}</evidence>"


def provider_file(server: FaultServer) -> str:
    """Write a provider file with `lab`; return its name."""
    Path("p.toml").write_text(
        f'[providers.lab]\napi = "openai"\nbase_url = "{server.base_url}/v1"\nkey_env = ""\n'
        '[providers.lab.models."writer"]\nusd_per_million_input = 1.0\n'
        "usd_per_million_output = 2.0\n"
    )
    return "p.toml"


def test_a_chat_model_writes_the_texts_of_a_yes() -> None:
    rows = [
        make_pair(number, document=document, verdict="yes" if number % 2 else "no")
        for number, document in enumerate(passages(6))
    ]
    write_jsonl(Path("in.jsonl"), rows)
    with FaultServer(answers=Answers(chat=first_sentences)) as server:
        words = ["distill", "in.jsonl", "-o", "out.jsonl", "--generator", "lab/writer"]
        words += ["--provider-file", provider_file(server)]
        dry = prism(*words, "--dry-run", "--json")
        assert dry.returncode == 0, dry.stderr
        assert json.loads(dry.stdout)["models"][0]["questions"] == 3
        assert server.calls == []
        done = prism(*words, "--json")
        assert done.returncode == 0, done.stderr
        assert len(server.calls) == 3
        written = read_jsonl(Path("out.jsonl"))
        for row in written:
            if row["verdict"] == "yes":
                assert row["evidence"] == sentences(row["document"])[0]
                assert row["contribution"] == "It tells this."
                assert row["generator"] == "lab/writer"
            else:
                assert "evidence" not in row
        summary = json.loads(done.stdout)
        assert summary["figures"]["texts"]["written"] == 3
        assert summary["figures"]["entities of the evidence written"][-1]["share"] == 1.0
        assert summary["usage"]["usd"] > 0
        assert "evidence_prompt_hash" in manifest("out.jsonl")["config"]

        words[3] = "reused.jsonl"
        reused = prism(*words, "--fresh", "--reuse", "out.jsonl")
        assert reused.returncode == 0, reused.stderr
        assert len(server.calls) == 3
        reused_rows = read_jsonl(Path("reused.jsonl"))
        assert [row.pop("reused", None) for row in reused_rows] == [
            None,
            {"texts": "out.jsonl"},
        ] * 3
        assert reused_rows == written


def test_a_row_without_a_usable_text_keeps_the_reason() -> None:
    document = (
        "The ferry crosses the bay of Orme in 40 minutes. It carries cars, and dogs pay a fee."
    )
    rows = [make_pair(1, document=document, verdict="yes")]
    write_jsonl(Path("in.jsonl"), rows)
    answers = iter(
        [
            "I cannot do that.",
            "<contribution>It says. It tells more.</contribution><evidence>E.</evidence>",
            "<contribution>Es gilt.</contribution><evidence>Das ist nicht, was in dem Text steht, "
            "und es ist auch eine Frage der Sprache.</evidence>",
            "<contribution>So it is.</contribution><evidence>The fee of 1722 was 5 km.</evidence>",
        ]
    )
    with FaultServer(answers=Answers(chat=lambda model, text: next(answers))) as server:
        words = ("distill", "in.jsonl", "-o", "out.jsonl", "--generator", "lab/writer")
        words += ("--provider-file", provider_file(server), "--min-fidelity", "0.9")
        done = prism(*words)
        assert done.returncode == 0, done.stderr
        calls = [(call.messages, call.request) for call in server.calls]
    (row,) = read_jsonl(Path("out.jsonl"))
    assert not row.keys() & {"contribution", "evidence"}
    for reason in (
        "4 replies that could not be used: ",
        "1 x reply without <contribution>…</contribution>",
        "1 x contribution that is not one sentence",
        "1 x evidence in another language: German, the document English",
        "1 x fidelity 0.00 below 0.9, not in the document: ",
    ):
        assert reason in row["generation_error"]
    assert len({messages for messages, _ in calls}) == 1
    assert len({request for _, request in calls}) == 4  # the temperature differs


def test_texts_for_rows_without_verdicts_name_the_step_before(pairs: Path) -> None:
    words = ("distill", pairs, "-o", "texts.jsonl", "--generator", "source")
    done = prism(*words)
    assert "no row has a verdict" in done.stderr
    assert "-o judged.jsonl --judge st:minilm --judge hf:smollm2" in done.stderr
    assert "--judge source, which takes" in done.stderr
    assert "no row has a verdict" not in prism(*words).stderr, "finished before"
    prism("relabel", pairs, "-o", "labelled.jsonl", "--judge", "source:2")
    done = prism("distill", "labelled.jsonl", "-o", "more.jsonl", "--generator", "source")
    assert "no row has a verdict" not in done.stderr


def test_a_label_teacher_with_one_answer_for_all_rows_is_warned_about(pairs: Path) -> None:
    done = prism("distill", pairs, "-o", "zero.jsonl", "--teacher", "source:2")
    assert done.returncode == 0
    count = len(read_jsonl(pairs))
    assert f"warning: source:2 gives 0 to all {count} rows" in done.stderr
    assert "calibration" not in done.stderr, "a label is not calibrated"
    done = prism("relabel", pairs, "-o", "no.jsonl", "--judge", "source:2")
    assert f"warning: source:2 gives no to all {count} rows" in done.stderr
    done = prism("distill", pairs, "-o", "both.jsonl", "--teacher", "source")
    assert "warning" not in done.stderr
