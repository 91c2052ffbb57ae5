"""`prism report`."""

import json
from pathlib import Path
from typing import Any

import pytest

from prism_cli.evaluation.metrics_file import METRICS
from prism_cli.evaluation.ranking.per_query import read_per_query, write_per_query
from prism_cli.shards.manifest import Manifest, manifest_path
from tests.door import prism
from tests.reporting.evaluations import origin, quality, ranking, written
from tests.reporting.test_ranking import metrics as ranking_metrics


def test_two_evaluations_are_compared() -> None:
    for name, shift in (("plain", 0.0), ("rewritten", 0.1)):
        folder = written(Path(name), ranking({"a": {"m": 0.5 + shift}}))
        values = {"a": {"m": [shift + 0.1 * (number % 4) for number in range(12)]}}
        write_per_query(folder, "nDCG@10", values, {"a": [f"q{number}" for number in range(12)]})
    done = prism("report", "plain", "rewritten", "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["figures"][0]["differences"][1] == pytest.approx(0.1)
    assert summary["tests"][0]["queries"] == 12
    page = Path("comparison.html").read_bytes()
    assert b"prism report plain rewritten" in page
    result = prism("report", "plain", "rewritten", "-o", "again.html")
    assert Path("again.html").read_bytes() == page
    assert "+0.1000" in result.stdout
    assert "paired tests" in result.stdout


def test_evaluations_of_different_kinds_are_not_compared() -> None:
    written(Path("one"), ranking({"a": {"m": 0.5}}))
    written(Path("two"), quality(0.5))
    done = prism("report", "one", "two")
    assert done.returncode == 2
    assert "one is of kind ranking, two is of kind quality" in done.stderr
    assert not Path("comparison.html").exists()


@pytest.mark.parametrize("words", [("one", "./one"), ("one", "-o", "rows.jsonl")])
def test_invalid_arguments_are_refused(words: tuple[str, ...]) -> None:
    written(Path("one"), quality(0.5))
    assert prism("report", *words).returncode == 2


def test_an_unfinished_evaluation_names_the_command_that_finishes_it() -> None:
    folder = written(Path("one"), quality(0.5))
    Manifest("quality", {}, [], finished=False).write(manifest_path(folder / METRICS))
    done = prism("report", "one")
    assert done.returncode == 3
    assert "`prism eval quality … -o one`" in done.stderr


def test_an_evaluation_without_rows_is_refused() -> None:
    written(Path("one"), quality(0.5) | {"pairs": {"all": 0, "queries": 0}})
    done = prism("report", "one", "-o", "page.html")
    assert done.returncode == 3
    assert "one: this evaluation measured no row" in done.stderr
    assert not Path("page.html").exists()


def test_a_folder_without_an_evaluation_is_refused() -> None:
    done = prism("report", "nowhere")
    assert done.returncode == 3
    assert "no such file" in done.stderr


def test_values_of_queries_are_read_as_written(tmp_path: Path) -> None:
    write_per_query(tmp_path, "nDCG@10", {"a": {"m": [0.5, 1.0]}}, {"a": ["q 1", "ä"]})
    assert read_per_query(tmp_path) == {("a", "m"): {"q 1": 0.5, "ä": 1.0}}
    assert read_per_query(tmp_path / "none") == {}


def test_an_evaluation_that_waits_for_missing_sets_is_compared_as_published() -> None:
    metrics = ranking({"nfcorpus": {"m": 0.5}}) | {"missing_sets": ["nq"]}
    folder = written(Path("one"), metrics)
    papers = Manifest("eval", metrics["provenance"]["config"], [], finished=False)
    papers.write(manifest_path(folder / METRICS))
    written(Path("two"), metrics)
    done = prism("report", "one", "two")
    assert done.returncode == 0, done.stderr
    papers.config = {"top_k": 7}  # begun again, otherwise, and stopped
    papers.write(manifest_path(folder / METRICS))
    assert prism("report", "one", "two").returncode == 3


@pytest.mark.parametrize(
    ("name", "rubbish", "message"),
    [
        ("metrics.json", '{"schema": "prism-metrics/1", "kind": "ranking"}', "no `ranking`"),
        ("per_query.jsonl", "{rubbish", "per_query.jsonl:1: expected"),
        ("per_query.jsonl", '{"dataset": "a"}', "per_query.jsonl:1: expected"),
    ],
)
def test_a_damaged_evaluation_is_reported_with_its_file(
    name: str, rubbish: str, message: str
) -> None:
    folder = written(Path("one"), ranking({"a": {"m": 0.5}}))
    (folder / name).write_text(rubbish)
    done = prism("report", "one")
    assert done.returncode == 3, done.stderr
    assert message in done.stderr


def test_a_missing_part_of_an_evaluation_is_named() -> None:
    whole = {"kind": "ranking", **ranking_metrics("set"), "provenance": origin()}
    written(Path("one"), {name: part for name, part in whole.items() if name != "statistics"})
    written(Path("two"), whole)
    for words in (("one",), ("two", "one")):
        done = prism("report", *words)
        assert done.returncode == 3, done.stderr
        assert "one/metrics.json: damaged, or of an earlier version" in done.stderr
        assert "it has no 'statistics'" in done.stderr


def test_a_fault_of_the_page_is_not_called_damage_of_the_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written(Path("one"), ranking({"a": {"m": 0.5}}))
    monkeypatch.setattr("prism_cli.reporting.ranking.page", lambda _: {}["title"])
    done = prism("report", "one")
    assert done.returncode == 1, done.stderr
    assert "damaged" not in done.stderr


def test_a_file_instead_of_a_folder_is_refused() -> None:
    folder = written(Path("one"), quality(0.5))
    done = prism("report", folder / METRICS)
    assert done.returncode == 3
    assert "expected the folder of a finished evaluation" in done.stderr


def test_evaluations_of_one_arm_are_averaged() -> None:
    for name, score in (("a-0", 0.4), ("a-1", 0.6), ("b-0", 0.7)):
        folder = written(Path(name), ranking({"set": {"bm25": 0.3, f"runs/{name}": score}}))
        values = {"set": {f"runs/{name}": [score, score]}}
        write_per_query(folder, "nDCG@10", values, {"set": ["q1", "q2"]})
    done = prism("report", "plain=a-0", "plain=a-1", "other=b-0", "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["figures"][0]["values"] == pytest.approx([0.3, 0.5, 0.7])
    assert summary["tests"][0]["difference"] == pytest.approx(0.2)
    shown = prism("report", "plain=a-0", "plain=a-1", "other=b-0")
    assert "runs of each arm" in shown.stdout
    assert "0.1414" in shown.stdout
    alone = prism("report", "plain=a-0", "plain=a-1")
    assert alone.returncode == 2
    assert "one arm, plain" in alone.stderr


def test_arms_of_unequal_numbers_of_runs_show_every_run_with_its_figure() -> None:
    words = []
    for arm, scores in (("plain", (0.4, 0.6)), ("other", (0.7, 0.8, 0.9))):
        for number, score in enumerate(scores):
            name = f"{arm}-{number}"
            written(Path(name), ranking({"set": {f"runs/{name}": score}}))
            words.append(f"{arm}={name}")
    shown = prism("report", *words)
    assert shown.returncode == 0, shown.stderr
    table = shown.stdout.partition("runs of each arm")[2].splitlines()
    assert table[1].split()[-2:] == ["run", "3"]
    assert any("nDCG@10" in line and "plain" in line for line in table)
    assert any("other" in line and line.split()[-1] == "0.9000" for line in table)


def test_one_folder_with_an_arm_is_rendered_as_the_folder() -> None:
    folder = written(
        Path("one"), {"kind": "ranking", **ranking_metrics("set"), "provenance": origin()}
    )
    done = prism("report", "plain=one")
    assert done.returncode == 0, done.stderr
    assert (folder / "report.html").exists()


@pytest.mark.parametrize("kind", ["quality", "answers"])
def test_arms_of_evaluations_of_rows_have_intervals_and_paired_tests(kind: str) -> None:
    words, name = [], "answer_retention" if kind == "quality" else "f1"
    for arm, good in (("plain", 4), ("other", 7)):
        for seed in range(2):
            rows = [_measured(kind, query, query < good + seed) for query in range(10)]
            found = quality((good + seed) / 10)
            if kind == "answers":
                shares: dict[str, Any] = {"evidence": {name: (good + seed) / 10}}
                found = {"kind": kind, kind: shares, "provenance": origin()}
                found["statistics"] = {"intervals": {f"evidence.{name}": [0.0, 1.0]}}
            folder = written(Path(f"{arm}-{seed}"), found)
            (folder / "rows.jsonl").write_bytes("\n".join(map(json.dumps, rows)).encode())
            words.append(f"{arm}={folder}")
    summary = json.loads(prism("report", *words, "--json").stdout)
    figure = next(one for one in summary["figures"] if one["figure"] == name)
    assert figure["values"] == pytest.approx([0.45, 0.75])
    for value, (low, high) in zip(figure["values"], figure["intervals"], strict=True):
        assert 0 < low < value < high < 1
    (test,) = summary["tests"]
    assert (test["measure"], test["difference"]) == (name, pytest.approx(0.3))
    assert (test["queries"], test["win"]) == (10, 4)
    shown = prism("report", words[0].partition("=")[2], words[3].partition("=")[2]).stdout
    paired = shown.partition("paired tests")[2]
    assert ("answer retention" if kind == "quality" else "F1 from evidence") in paired
    Path("other-1/rows.jsonl").write_text("{}\n")
    damaged = prism("report", *words)
    assert damaged.returncode == 3
    assert "other-1/rows.jsonl:1: expected a row of this evaluation" in damaged.stderr


def _measured(kind: str, query: int, good: bool) -> dict[str, Any]:
    texts = {"verdict": "yes", "label": None, "format_ok": True, "document_characters": 10}
    answer = {"f1": float(good), "exact_match": good, "contained": good, "no_answer": False}
    return {
        "query_id": f"q{query}",
        "query": "what",
        "quality": texts | {"people": {"answer_kept": good}},
        "answers": {"answerable": True, "contexts": {"evidence": answer}},
    }
