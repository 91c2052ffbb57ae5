"""`prism eval labels` through the real command."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.door import prism
from tests.factories import make_pair, read_jsonl, write_jsonl

HOSTILE = "<script>alert(1)</script> & \u202e<img src=x onerror=alert(2)> [bold]x"


def rows(count: int = 60) -> list[dict[str, Any]]:
    output = []
    for number in range(count):
        votes = {f"judge/{name}": "yes" if number % of else "no" for name, of in zip("abc", (2, 3, 4), strict=True)}  # noqa: E501  # fmt: skip
        verdict = "yes" if list(votes.values()).count("yes") > 1 else "no"
        output.append(
            make_pair(
                number,
                votes=votes,
                verdict=verdict,
                teacher_score=number % 11 / 10,
                source_label=number % 2,
                source=f"set{number % 2}",
                audit=number % 3 == 0,
            )
        )
    return output


@pytest.mark.figures
def test_it_writes_metrics_a_report_and_rows_for_review() -> None:
    inputs = rows()
    write_jsonl(Path("rows.jsonl"), inputs)
    done = prism("eval", "labels", "rows.jsonl", "-o", "out", "--review", "7")
    assert done.returncode == 0, done.stderr
    content = json.loads(Path("out/metrics.json").read_text())
    assert (content["schema"], content["kind"]) == ("prism-metrics/1", "labels")
    assert content["statistics"]["basis"]["rows"] == content["labels"]["audit_rows"] == 20
    assert content["provenance"]["command"] == ["prism", "eval", "labels", "rows.jsonl", "--review", "7"]  # noqa: E501  # fmt: skip
    assert list(content["provenance"]["files"]) == ["rows.jsonl"]
    assert "a, c " in done.stdout  # without the provider: two names fit a terminal
    assert f"Krippendorff's alpha: {content['labels']['alpha']:.3f}" in done.stdout
    report = Path("out/report.html").read_text()
    assert "Cohen" in report
    assert "<script" not in report
    review = read_jsonl(Path("out/review.jsonl"))
    assert len(review) == 7
    off = [row["disagreement"] for row in review]
    assert off == sorted(off, reverse=True)
    by_id = {row["doc_id"]: row for row in inputs}
    assert all(by_id[row["doc_id"]] | {"disagreement": row["disagreement"]} == row for row in review)  # noqa: E501  # fmt: skip
    assert not Path("out/labels.rejects.jsonl").exists()
    rerun = prism("eval", "labels", "out/review.jsonl", "-o", "of-review", "-q")
    assert rerun.returncode == 0, rerun.stderr


def test_contradictory_rows_are_counted_named_and_kept() -> None:
    inputs = rows(4)
    write_jsonl(Path("rows.jsonl"), [*inputs, inputs[0] | {"verdict": "yes"}])
    done = prism("eval", "labels", "rows.jsonl", "-o", "out")
    content = json.loads(Path("out/metrics.json").read_text())
    assert content["labels"]["rows"] == 5
    name = "rows that contradict an earlier one of their pair, none left out"
    assert content["contradictory"][name] == 1
    assert f"{name}: 1" in done.stdout
    assert "rows.jsonl:1 (query_id 'q0', doc_id 'd0': no) and rows.jsonl:5 (" in done.stdout
    write_jsonl(Path("rows.jsonl"), [*inputs, inputs[0]])
    prism("eval", "labels", "rows.jsonl", "-o", "of-repeated")
    assert "contradictory" not in json.loads(Path("of-repeated/metrics.json").read_text())


def test_another_folder_gives_the_same_bytes_and_a_second_run_does_nothing() -> None:
    write_jsonl(Path("rows.jsonl"), rows())
    for folder in ("one", "two"):
        assert prism("eval", "labels", "rows.jsonl", "-o", folder).returncode == 0
    for name in ("metrics.json", "report.html", "review.jsonl"):
        assert (Path("one") / name).read_bytes() == (Path("two") / name).read_bytes()
    rerun = prism("eval", "labels", "rows.jsonl", "-o", "one", "--json")
    assert "finished before, nothing to do" in rerun.stderr
    assert json.loads(rerun.stdout)["kind"] == "labels"
    write_jsonl(Path("rows.jsonl"), rows(30))
    changed = prism("eval", "labels", "rows.jsonl", "-o", "one")
    assert changed.returncode == 2
    assert "its bytes changed" in changed.stderr
    assert prism("eval", "labels", "rows.jsonl", "-o", "one", "--overwrite").returncode == 0
    other = prism("eval", "labels", "rows.jsonl", "-o", "one", "--review", "3")
    assert (other.returncode, "review: was 100, is 3" in other.stderr) == (2, True)


def test_rows_that_are_malformed_are_set_aside_with_their_place() -> None:
    file = write_jsonl(Path("rows.jsonl"), [*rows(), make_pair(99, verdict="perhaps")])
    with file.open("ab") as more:
        more.write(b'\n{"query": "torn')
    done = prism("eval", "labels", "rows.jsonl", "-o", "out")
    assert done.returncode == 4, done.stderr
    first, second = read_jsonl(Path("out/labels.rejects.jsonl"))
    assert (first["file"], first["line"], first["field"]) == ("rows.jsonl", 61, "verdict")
    assert second["line"] == 63
    assert "torn last line" in second["reason"]
    content = json.loads(Path("out/metrics.json").read_text())
    assert content["input_rows"] == {"rows": 62, "rejected": 2}
    assert content["labels"]["rows"] == 60
    rerun = prism("eval", "labels", "rows.jsonl", "-o", "out", "-q")
    assert rerun.returncode == 4
    assert prism("eval", "labels", "rows.jsonl", "-o", "out", "--max-rejects", ".1").returncode == 0


def test_an_empty_cell_is_set_aside_in_the_words_of_the_row_stages() -> None:
    Path("rows.csv").write_text("query,document,verdict\nq,d,yes\nq,,no\n")
    for command in (("eval", "labels"), ("relabel",)):
        more = ("--judge", "source") if command == ("relabel",) else ()
        prism(*command, "rows.csv", *more, "-o", "out.jsonl" if more else "out")
    (mine,) = read_jsonl(Path("out/labels.rejects.jsonl"))
    theirs = {reject["line"]: reject for reject in read_jsonl(Path("out.jsonl.rejects.jsonl"))}
    assert "empty cell" in mine["reason"]
    assert mine == theirs[mine["line"]]


def test_without_agreement_there_is_no_table_of_dashes() -> None:
    votes = [{"lab/one": "yes", "lab/two": "no"}, {"lab/one": "yes"}, {"lab/two": "yes"}]
    write_jsonl(
        Path("rows.jsonl"), [make_pair(n, votes=row_votes) for n, row_votes in enumerate(votes)]
    )
    done = prism("eval", "labels", "rows.jsonl", "-o", "out")
    assert done.returncode == 0, done.stderr
    assert "warning: No row is marked `audit`" in done.stdout
    assert "kappa" not in done.stdout.lower()


def test_hostile_texts_do_no_harm() -> None:
    row = make_pair(
        0, query=HOSTILE, document=HOSTILE * 200, verdict="no", votes={HOSTILE: "no", "b": "no"},
        teacher_score=0.9, source=HOSTILE, source_label=HOSTILE, query_id=HOSTILE,
    )  # fmt: skip
    write_jsonl(Path("rows.jsonl"), [row])
    done = prism("eval", "labels", "rows.jsonl", "-o", "out")
    assert done.returncode == 0, done.stderr
    report = Path("out/report.html").read_text()
    assert "<script" not in report
    assert "<img" not in report
    assert "\u202e" not in report
    assert len(report) < 200_000
    assert "\u202e" not in done.stdout
    assert "[bold]" in done.stdout


def test_undefined_agreement_is_shown_with_its_reason() -> None:
    inputs = [make_pair(0, votes={"a": "yes", "b": "yes"}, verdict="yes"), make_pair(1)]
    inputs += [make_pair(2, votes={"b": "yes", "c": "no"}, verdict=None)]
    write_jsonl(Path("rows.jsonl"), inputs)
    done = prism("eval", "labels", "rows.jsonl")
    assert done.returncode == 0, done.stderr
    words = done.stdout.replace("\n", " ")
    assert "warning: No row is marked `audit`" in words
    assert "prism relabel --audit 0.02" in words
    assert Path("runs/eval/rows-labels/report.html").exists()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["nowhere.jsonl"], 3, "no such file"),
        (["rows.jsonl", "--set", "reviews=3"], 2, "did you mean review"),
        (["out/review.jsonl", "-o", "out"], 2, "is an input of this command"),
    ],
)
def test_invalid_use_is_reported_with_its_exit_code(
    words: list[str], code: int, message: str
) -> None:
    write_jsonl(Path("rows.jsonl"), rows(2))
    Path("out").mkdir()
    write_jsonl(Path("out/review.jsonl"), rows(2))
    done = prism("eval", "labels", *words)
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_of_that_name_needs_a_dot() -> None:
    write_jsonl(Path("rows.jsonl"), rows(6))
    Path("labels").mkdir()
    assert prism("eval", "labels", "rows.jsonl", "-o", "out").returncode == 0
    done = prism("eval", "./labels", "--model", "none")
    assert done.returncode == 3
    assert "no corpus.jsonl; a BEIR folder" in done.stderr


def test_rows_without_votes_name_the_command_that_adds_them() -> None:
    write_jsonl(Path("in.jsonl"), [{"query": "q", "document": "d"}])
    done = prism("eval", "labels", "in.jsonl", "-o", "out")
    assert done.returncode == 0
    command = (
        "prism relabel in.jsonl -o judged.jsonl --judge st:minilm --judge hf:smollm2 && "
        "prism eval labels judged.jsonl"
    )
    assert command in " ".join(done.stderr.split())
