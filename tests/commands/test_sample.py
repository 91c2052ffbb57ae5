"""`prism sample` through the real command."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.door import prism
from tests.factories import make_pair, make_pairs, read_jsonl, write_jsonl
from tests.modeling.test_token_cut import make_tokenizer
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


@pytest.mark.parametrize(
    "rule",
    [("--size", "50"), (), ("--size", "50", "--by", "disagreement")],
    ids=["size", "paper", "disagreement"],
)
def test_a_sample_does_not_depend_on_the_split_into_files(rule: tuple[str, ...]) -> None:
    rows = [row | {"score": n % 7 / 7} for n, row in enumerate(scored(240))]
    write_jsonl(Path("one.jsonl"), rows)
    for name, part in (("a", rows[100:]), ("b", rows[:100])):
        write_jsonl(Path(f"{name}.jsonl"), part)
    assert prism("sample", "one.jsonl", "-o", "whole.jsonl", "-q", *rule).returncode == 0
    assert prism("sample", "a.jsonl", "b.jsonl", "-o", "m.jsonl", "-q", *rule).returncode == 0
    assert prism("sample", "a.jsonl", "b.jsonl", "-o", "parts", "-q", *rule).returncode == 0
    full = Path("whole.jsonl").read_bytes().splitlines()
    assert 0 < len(full) < 240
    merged = Path("m.jsonl").read_bytes().splitlines()
    parts = [
        line for name in "ab" for line in Path(f"parts/{name}.jsonl").read_bytes().splitlines()
    ]
    assert sorted(full) == sorted(merged) == sorted(parts)


def test_the_summary_says_which_sides_were_compared() -> None:
    rows = [make_pair(n, teacher_score=n / 40, votes={"p/j": "yes"}) for n in range(40)]
    for row in rows[::2]:
        row["score"] = 0.5
    write_jsonl(Path("in.jsonl"), rows)
    done = prism(
        "sample", "in.jsonl", "-o", "out.jsonl", "--by", "disagreement", "--size", "10", "--json"
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)["figures"]
    assert figures["rows kept by what was compared"] == {
        "judge, teacher": 5, "judge, teacher, student": 5,
    }  # fmt: skip
    assert "10 rows on which judge, teacher, student differ most" in figures["rule"]
    kept = read_jsonl(Path("out.jsonl"))
    assert [row["disagreement"] for row in kept] == [round(1 - n / 40, 4) for n in range(10)]


def long_rows() -> list[dict[str, Any]]:
    rows = scored(100, source="a")
    for row in rows[:10]:
        row["document"] = "Some words more of it. " * 1500
    for row in rows[10:15]:
        row["query"] = "And why is that so? " * 3000
    for row in rows[60:]:
        row["source"] = "b"
    return rows


@pytest.mark.parametrize("rule", [("--size", "500"), ()], ids=["size", "paper"])
def test_lengths_are_capped_by_default(rule: tuple[str, ...]) -> None:
    rows = long_rows()
    write_jsonl(Path("in.jsonl"), rows)
    done = prism("sample", "in.jsonl", "-o", "out.jsonl", "--json", *rule)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["counts"]["dropped"]["pair over 8,192 tokens"] == 5
    cut = [row for row in read_jsonl(Path("out.jsonl")) if row["document"].startswith("Some")]
    assert summary["figures"]["documents cut"] == len(cut) > 0
    assert all(15_000 < len(row["document"]) < 20_000 for row in cut)
    assert "4,096 tokens" in done.stderr
    assert "estimate" in done.stderr
    words = ("sample", "in.jsonl", "-o", "all.jsonl", "--size", "500", "-q")
    off = prism(*words, "--max-document-tokens", "0", "--max-pair-tokens", "0")
    assert off.returncode == 0
    assert read_jsonl(Path("all.jsonl")) == rows


def test_a_tokenizer_by_folder_counts_instead() -> None:
    make_tokenizer(Path("small"))
    write_jsonl(Path("in.jsonl"), long_rows())
    done = prism(
        "sample", "in.jsonl", "-o", "out.jsonl", "--size", "500", "--tokenizer", "small",
        "--max-document-tokens", "100", "--max-pair-tokens", "0",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "by the tokenizer of small" in done.stderr
    manifest = json.loads(Path("out.jsonl.manifest.json").read_bytes())
    assert "tokenizer.json" in json.dumps(manifest)
    assert prism("sample", "in.jsonl", "-o", "x.jsonl", "--tokenizer", "./none").returncode == 3


def test_default_loads_no_model_library() -> None:
    write_jsonl(Path("in.jsonl"), long_rows())
    code = (
        "import sys; sys.argv = 'prism sample in.jsonl -o out.jsonl -q'.split()\n"
        "from prism_cli.app import main\n"
        "try:\n    main()\nexcept SystemExit as leave:\n    assert not leave.code\n"
        "slow = {'torch', 'transformers', 'tokenizers'} & sys.modules.keys()\n"
        "assert not slow, slow\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.figures
def test_histogram_is_drawn_beside_the_output(monkeypatch: pytest.MonkeyPatch) -> None:
    write_jsonl(Path("in.jsonl"), long_rows())
    words = ("sample", "in.jsonl", "-o", "out.jsonl")
    done = prism(*words)
    assert "drawn in out.jsonl.histogram.svg" in done.stderr
    assert "████" in done.stderr
    chart = Path("out.jsonl.histogram.svg").read_bytes()
    assert b"Scores before and after" in chart
    rerun = prism(*words, "-q")
    assert (rerun.returncode, rerun.stderr) == (0, "")
    Path("out.jsonl.histogram.svg").unlink()
    assert prism(*words, "-q", "--fresh").returncode == 0
    assert Path("out.jsonl.histogram.svg").read_bytes() == chart
    parts = prism("sample", "in.jsonl", "out.jsonl", "-o", "parts", "--size", "9")
    assert "drawn in parts.histogram.svg" in parts.stderr
    assert Path("parts.histogram.svg").exists()
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    without = prism("sample", "in.jsonl", "-o", "b.jsonl")
    assert without.returncode == 0
    assert "pip install 'prism-cli[local]'" in without.stderr
    assert not Path("b.jsonl.histogram.svg").exists()


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
    ("words", "message"),
    [
        (["--size", "0"], "greater than or equal to 1"),
        (["--by", "disagreement"], "needs --size"),
        (["--bins", "0"], "greater than or equal to 1"),
        (["--set", "bins=1001"], "bins"),
        (["--set", "sise=3"], "did you mean size"),
        (["--max-document-words", "none"], "valid integer"),
        (["--max-document-tokens", "-1"], "greater than or equal to 0"),
    ],
)
def test_invalid_use_is_reported(words: list[str], message: str) -> None:
    write_jsonl(Path("in.jsonl"), scored(3))
    done = prism("sample", "in.jsonl", "-o", "out.jsonl", *words)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr.lower()
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
