"""`prism sample` through the real command."""

import json
from pathlib import Path

import pytest

from tests.door import prism
from tests.factories import make_pair, make_pairs, read_jsonl, write_jsonl
from tests.stages.test_sample import scored


def test_sample_of_a_size_with_its_histogram_in_summary_and_manifest() -> None:
    write_jsonl(Path("in.jsonl"), scored(300))
    words = ("sample", "in.jsonl", "-o", "out.jsonl", "--size", "60", "--bins", "5")
    done = prism(*words, "--json")
    assert done.returncode == 0, done.stderr
    rows = read_jsonl(Path("out.jsonl"))
    assert len(rows) == 60
    figures = json.loads(done.stdout)["figures"]
    assert sum(line["after"] for line in figures["histogram"]) == 60
    assert json.loads(Path("out.jsonl.manifest.json").read_bytes())["figures"] == figures
    assert "0.80-1.00" in done.stderr
    before = Path("out.jsonl").read_bytes()
    assert prism(*words, "--overwrite", "-q").returncode == 0
    assert Path("out.jsonl").read_bytes() == before
    assert prism(*words, "--seed", "1").returncode == 2


@pytest.mark.parametrize("rule", [("--size", "50"), ()], ids=["size", "paper"])
def test_sample_does_not_depend_on_how_rows_are_cut_into_files(rule: tuple[str, ...]) -> None:
    rows = scored(240)
    write_jsonl(Path("one.jsonl"), rows)
    for name, part in (("a", rows[100:]), ("b", rows[:100])):
        write_jsonl(Path(f"{name}.jsonl"), part)
    assert prism("sample", "one.jsonl", "-o", "whole.jsonl", "-q", *rule).returncode == 0
    assert prism("sample", "a.jsonl", "b.jsonl", "-o", "m.jsonl", "-q", *rule).returncode == 0
    assert prism("sample", "a.jsonl", "b.jsonl", "-o", "parts", "-q", *rule).returncode == 0
    whole = Path("whole.jsonl").read_bytes().splitlines()
    assert 0 < len(whole) < 240
    merged = Path("m.jsonl").read_bytes().splitlines()
    parts = [
        line for name in "ab" for line in Path(f"parts/{name}.jsonl").read_bytes().splitlines()
    ]
    assert sorted(whole) == sorted(merged) == sorted(parts)


def test_rows_without_any_score_name_the_command_that_writes_it() -> None:
    write_jsonl(Path("in.jsonl"), make_pairs(3))
    done = prism("sample", "in.jsonl", "-o", "out.jsonl", "--size", "2")
    assert done.returncode == 3
    assert "prism distill" in done.stderr
    assert not Path("out.jsonl").exists()


def test_bad_scores_are_set_aside_and_missing_ones_dropped() -> None:
    rows = [make_pair(0, teacher_score=0.5), make_pair(1), make_pair(2, teacher_score="high")]
    write_jsonl(Path("in.jsonl"), rows)
    done = prism("sample", "in.jsonl", "-o", "out.jsonl", "--size", "9", "--json", "-q")
    assert done.returncode == 4
    counts = json.loads(done.stdout)["counts"]
    assert counts["dropped"] == {"no teacher_score": 1}
    assert counts["rejected"] == 1
    assert counts["written"] == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--size", "0"], "greater than or equal to 1"),
        (["--bins", "0"], "greater than or equal to 1"),
        (["--set", "bins=1001"], "bins"),
        (["--set", "sise=3"], "did you mean size"),
        (["--max-document-words", "none"], "valid integer"),
    ],
)
def test_what_cannot_be_is_told(words: list[str], told: str) -> None:
    write_jsonl(Path("in.jsonl"), scored(3))
    done = prism("sample", "in.jsonl", "-o", "out.jsonl", *words)
    assert done.returncode == 2, done.stderr
    assert told in done.stderr.lower()
    assert "Traceback" not in done.stderr


def test_empty_and_missing_inputs() -> None:
    Path("empty.jsonl").touch()
    done = prism("sample", "empty.jsonl", "-o", "out.jsonl", "--size", "2")
    assert done.returncode == 0
    assert "the input holds no rows" in done.stderr
    assert prism("sample", "nowhere.jsonl", "-o", "out.jsonl").returncode == 3


def test_help_has_an_example() -> None:
    done = prism("sample", "--help")
    assert done.returncode == 0
    assert "Example: prism sample" in " ".join(done.stdout.split())
