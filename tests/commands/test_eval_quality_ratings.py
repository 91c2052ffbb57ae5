"""`prism eval quality` with a judge and with people, from the command line."""

import csv
import json
import random
from pathlib import Path
from typing import Any

import pytest

from prism_cli.domain.rating_task import RATINGS, SEVERE
from prism_cli.domain.spreadsheet import plain
from prism_cli.evaluation.quality.filled_sheets import read_sheets
from tests.door import prism
from tests.factories import make_pair, read_jsonl, write_jsonl
from tests.servers.fault_server import FaultServer
from tests.servers.replies import Answers

WORDS = ("eval", "quality", "rows.jsonl", "--provider-file", "providers.toml", "-o", "out")


def rows(count: int = 40, **changed: Any) -> list[dict[str, Any]]:
    return [
        make_pair(
            n,
            **{
                "source": ("notes", "web:exa")[n % 2],
                "document": f"Item {n} is a thing. " + "It has a side. " * n,
                "verdict": ("yes", "no")[n % 4 == 3],
                "predicted_verdict": "yes",
                "predicted_contribution": f"It says {n}.",
                "predicted_evidence": f"Item {n} is a thing.",
                "score": 0.9,
                "votes": {"openai/gpt-5.4-mini": "yes"},
                "generator": "lab/writer",
            }
            | changed,
        )
        for n in range(count)
    ]


def point(number: int, name: str, seed: int = 0) -> int:
    return random.Random(f"{number} {name} {seed}").randint(1, 5)


def judge(model: str, text: str) -> str:
    number = int(text.rpartition("Item ")[2].split(" ")[0])
    ratings = [f"{name}: {point(number, name)}" for name in RATINGS]
    return "\n".join([f"{SEVERE}: {'yes' if number == 1 else 'no'}", *ratings])


def served(server: FaultServer) -> None:
    Path("providers.toml").write_text(
        f'[providers.lab]\napi = "openai"\nbase_url = "{server.base_url}/v1"\n'
        '[providers.lab.models."j"]\nusd_per_million_input = 1.0\nusd_per_million_output = 1.0\n'
    )


def metrics() -> Any:
    return json.loads(Path("out/metrics.json").read_text())


def fill(path: Path, to: str, seed: int, delimiter: str = ",", shift: int = 0) -> None:
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = list(csv.DictReader(file))
    names = ["id", *reversed(RATINGS), SEVERE, "document"]
    with Path(to).open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, names, delimiter=delimiter, extrasaction="ignore")
        writer.writeheader()
        for line in lines[shift:]:
            number = int(line["document"].split(" ")[1])
            cells = {name: f" {point(number, name, seed)}.0" for name in RATINGS}
            writer.writerow(line | cells | {SEVERE: "No"})


@pytest.mark.figures
def test_judge_and_people_from_sheet_to_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRISM_STATE", "state")
    write_jsonl(Path("rows.jsonl"), [*rows(), *rows(5)])
    with FaultServer(answers=Answers(chat=judge)) as server:
        served(server)
        dry = prism(*WORDS, "--judge", "lab/j", "--sheet", "s.csv", "--dry-run")
        assert (dry.returncode, len(server.calls), Path("s.csv").exists()) == (0, 0, False)
        done = prism(*WORDS, "--judge", "lab/j", "--sheet", "s.csv", "--sheet-rows", "20")
        assert done.returncode == 0, done.stderr
        assert len(server.calls) == 40
        figures = metrics()
        ratings = figures["quality"]["ratings"]
        assert (ratings["rows"], ratings["refused"]) == (45, 0)
        expected = [min(point(n, "overall"), 2 if n == 1 else 5) for n in [*range(40), *range(5)]]
        assert ratings["overall"] == pytest.approx(sum(expected) / 45)
        assert ratings[SEVERE] == pytest.approx(2 / 45)
        low, high = figures["statistics"]["intervals"]["ratings.overall"]
        assert low < ratings["overall"] < high
        assert sum(figures["statistics"]["rating_counts"]["overall"]) == 45
        assert figures["judge"] == {"spec": "lab/j", "in_panel": None}
        assert "people" not in figures["quality"]
        html = Path("out/report.html").read_text()
        assert "Ratings by a judge" in html
        assert "its own work" not in html

        fill(Path("s.csv"), "ann.csv", 0)
        fill(Path("s.csv"), "bob.csv", 1, ";", shift=4)
        sheets = ("--sheet-in", "ann.csv", "--sheet-in", "bob.csv")
        rerun = prism(*WORDS, "--judge", "lab/j", *sheets)
        assert rerun.returncode == 0, rerun.stderr
        assert len(server.calls) == 40
        people = metrics()["quality"]["people"]
        assert (people["sheets"], people["rows"], people["unknown"]) == (2, 20, 0)
        assert -0.7 < people["overall"]["alpha"] < 0.7
        assert 0 < people["evidence_concision"]["kappa"] < 1
        assert people["evidence_concision"]["within_one"] > 0.5
        assert "people.overall.kappa" in metrics()["statistics"]["intervals"]
        assert "People and the judge" in Path("out/report.html").read_text()
        first = Path("out/metrics.json").read_bytes(), Path("out/report.html").read_bytes()
        assert "nothing to do" in prism(*WORDS, "--judge", "lab/j", *sheets).stderr
        other = [word if word != "out" else "other" for word in WORDS]
        assert prism(*other, "--judge", "lab/j", *sheets).returncode == 0
        assert len(server.calls) == 40
    there = Path("other/metrics.json").read_bytes(), Path("other/report.html").read_bytes()
    assert there == first


def test_a_sheet_is_blind_stratified_the_same_each_time_and_never_written_over() -> None:
    hostile = rows(3, query='=HYPERLINK("http://x")', predicted_contribution="-1+1\x07\u202e")
    hostile = [{**row, "query_id": f"h{n}"} for n, row in enumerate(hostile)]
    write_jsonl(Path("rows.jsonl"), [*rows(), *hostile, make_pair(99, document="x", verdict="no")])
    Path("providers.toml").write_text("")
    for name in ("s.csv", "t.csv"):
        assert prism(*WORDS, "--sheet", name, "--sheet-rows", "12").returncode == 0
    raw = Path("s.csv").read_bytes()
    assert raw == Path("t.csv").read_bytes()
    assert raw.startswith(b"\xef\xbb\xbfid,query,document,contribution,evidence,")
    assert b"\r\n" in raw
    for secret in (b"gpt-5.4-mini", b"lab/writer", b"0.9", b"notes"):
        assert secret not in raw
    lines = list(csv.reader(raw.decode("utf-8-sig").splitlines(keepends=True)))
    assert len(lines) == 13
    keys = {entry["id"]: entry for entry in read_jsonl(Path("s.key.jsonl"))}
    assert list(keys) == [line[0] for line in lines[1:]]
    by_id = {item["query_id"]: item for item in [*rows(), *hostile]}
    for line in lines[1:]:
        assert not line[1].startswith("=")
        assert not line[3].startswith("-")
        assert plain(line[1]) == by_id[keys[line[0]]["query_id"]]["query"]
    picked = [by_id[entry["query_id"]] for entry in keys.values()]
    kinds = {(item["verdict"], item["source"]) for item in picked}
    assert kinds == {("yes", "notes"), ("yes", "web:exa"), ("no", "web:exa")}
    assert "6" not in Path("s.guide.txt").read_text().partition("severe_invention: yes")[2]
    Path("s.csv").write_text("filled")
    rerun = prism(*WORDS, "--sheet", "s.csv", "--overwrite")
    assert "stays as it is" in rerun.stderr
    assert Path("s.csv").read_text() == "filled"


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({}, "rows.jsonl:1: votes.openai/gpt-5.4-mini"),
        ({"votes": {}, "vote_probabilities": {"a/gpt-5.4-MINI:free": 0.5}}, "vote_probabilities."),
        ({"votes": {}, "generator": "openrouter/openai/gpt-5.4-mini"}, "rows.jsonl:1: generator"),
        ({"votes": {}, "model": "openai/gpt-5.4-mini"}, "rows.jsonl:1: model"),
        (
            {
                "votes": {},
                "documents": [{"text": "Item 1 is.", "generator": "openai/gpt-5.4-mini"}],
                "results": [{"index": 0, "verdict": "yes", "contribution": "c", "evidence": "e"}],
            },
            "rows.jsonl:1: documents[0].generator",
        ),
    ],
)
def test_a_judge_of_the_panel_is_refused(change: dict[str, Any], place: str) -> None:
    write_jsonl(Path("rows.jsonl"), rows(3, **change))
    with FaultServer(answers=Answers(chat=judge)) as server:
        served(server)
        text = Path("providers.toml").read_text().replace('"j"', '"openai/gpt-5.4-mini"')
        Path("providers.toml").write_text(text)
        words = (*WORDS, "--judge", "lab/openai/gpt-5.4-mini")
        refused = prism(*words)
        assert (refused.returncode, server.calls) == (2, [])
        assert place in refused.stderr
        allowed = prism(*words, "--allow-same-judge")
        assert allowed.returncode == 0, allowed.stderr
    assert place in metrics()["judge"]["in_panel"]
    assert "its own work" in Path("out/report.html").read_text()


def test_a_judge_of_the_manifest_is_refused() -> None:
    write_jsonl(Path("data.jsonl"), rows(2, votes=None, generator=None))
    with FaultServer(answers=Answers(chat=lambda model, text: "yes")) as server:
        served(server)
        provider = ("--provider-file", "providers.toml")
        done = prism("relabel", "data.jsonl", *provider, "--judge", "lab/j", "-o", "rows.jsonl")
        assert done.returncode == 0, done.stderr
        before = len(server.calls)
        bare = [{**row, "votes": {}} for row in read_jsonl(Path("rows.jsonl"))]
        write_jsonl(Path("rows.jsonl"), bare)
        refused = prism(*WORDS, "--judge", "lab/j")
        assert (refused.returncode, len(server.calls)) == (2, before)
    assert "rows.jsonl.manifest.json: judges: lab/j" in refused.stderr


@pytest.mark.parametrize("name", [".", "-"])
def test_a_sheet_needs_the_name_of_a_file(name: str) -> None:
    write_jsonl(Path("rows.jsonl"), rows(2))
    Path("providers.toml").write_text("")
    refused = prism(*WORDS, "--sheet", name)
    assert refused.returncode == 2
    assert f"--sheet {name}: expected the name of a file" in refused.stderr


def test_errors_of_a_sheet_are_reported_by_cell() -> None:
    write_jsonl(Path("rows.jsonl"), rows(2))
    Path("providers.toml").write_text("")
    Path("bad.csv").write_text(
        f'sep=;\nID;document;Overall;{SEVERE}\nr1;"a\nb";6;no\nr2;c;4,0;perhaps\n\n;;3;\nr1;d;2;\n'
    )
    done = prism(*WORDS, "--judge", "hf:smollm2", "--sheet-in", "bad.csv")
    assert done.returncode == 2
    for message in (
        "4 problems",
        "bad.csv: row 2 (line 3), overall: expected a whole number, 1 to 5, found '6'",
        "row 3 (line 4), severe_invention: expected yes or no, found 'perhaps'",
        "row 5 (line 6), id: expected the row's id",
        "row 6 (line 7), id: r1 is in an earlier row too",
    ):
        assert message in done.stderr
    assert prism(*WORDS, "--sheet-in", "bad.csv").returncode == 2
    Path("ann.csv").write_text("id,overall\nr1,4\n")
    Path("copy.csv").write_text("id,overall\nr1,4\n")
    sheets = ("--sheet-in", "ann.csv", "--sheet-in", "copy.csv")
    twice = prism(*WORDS, "--judge", "hf:smollm2", *sheets)
    assert twice.returncode == 2
    assert "copy.csv: the same bytes as ann.csv" in twice.stderr
    Path("open.csv").write_text('id,document,overall\nr1,"open,4\nr2,closed,4\n')
    unclosed = prism(*WORDS, "--judge", "hf:smollm2", "--sheet-in", "open.csv")
    assert "open.csv: line 3: unexpected end of data" in unclosed.stderr
    Path("other.csv").write_text("a,b\n1,2\n")
    other = prism(*WORDS, "--judge", "hf:smollm2", "--sheet-in", "other.csv")
    assert other.returncode == 3
    assert "no sheet of ours" in other.stderr


def test_overall_of_people_is_capped_after_a_severe_invention_as_a_judges_is() -> None:
    Path("ann.csv").write_text(f"id,overall,{SEVERE}\nr1,4,yes\nr2,4,no\nr3,1,yes\nr4,5,\n")
    rated = read_sheets(["ann.csv"])[0].ratings
    assert [rated[name]["overall"] for name in ("r1", "r2", "r3", "r4")] == [2, 4, 1, 5]
