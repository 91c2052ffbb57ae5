"""`prism split` through the real command."""

import json
from pathlib import Path

import pytest

from tests.door import prism
from tests.factories import jsonl, read_jsonl, write_jsonl
from tests.mini import MINI
from tests.stages.test_split import pairs


def test_train_and_dev_are_in_the_directory_and_have_every_row_once() -> None:
    rows = pairs(60)
    write_jsonl(Path("in.jsonl"), rows)
    done = prism("split", "in.jsonl", "-o", "data", "--dev-queries", "5", "--json")
    assert done.returncode == 0, done.stderr
    train, dev = (read_jsonl(Path(f"data/{side}.jsonl")) for side in ("train", "dev"))
    assert len({row["query"] for row in dev}) == 5
    order = {json.dumps(row): number for number, row in enumerate(rows)}
    for side in (train, dev):
        places = [order[json.dumps(row)] for row in side]
        assert places == sorted(places)
    assert jsonl(sorted(train + dev, key=str)) == jsonl(sorted(rows, key=str))
    figures = json.loads(done.stdout)["figures"]
    assert figures["sources"][0]["dev queries"] == 5
    assert json.loads(Path("data/split.jsonl.manifest.json").read_bytes())["figures"] == figures
    before = Path("data/train.jsonl").read_bytes()
    rerun = prism("split", "in.jsonl", "-o", "data", "--dev-queries", "5")
    assert "finished before" in rerun.stderr
    assert prism("split", "in.jsonl", "-o", "data").returncode == 2
    words = ("split", "in.jsonl", "-o", "data", "--dev-queries", "5", "--overwrite", "-q")
    assert prism(*words).returncode == 0
    assert Path("data/train.jsonl").read_bytes() == before


def test_the_split_into_files_changes_nothing() -> None:
    rows = pairs(60)
    write_jsonl(Path("a.jsonl"), rows[:71])
    write_jsonl(Path("b.jsonl"), rows[71:])
    write_jsonl(Path("whole.jsonl"), rows)
    assert prism("split", "a.jsonl", "b.jsonl", "-o", "parts", "-q").returncode == 0
    assert prism("split", "whole.jsonl", "-o", "one", "-q").returncode == 0
    for side in ("train", "dev"):
        single, parts = (Path(place) / f"{side}.jsonl" for place in ("one", "parts"))
        assert single.read_bytes() == parts.read_bytes()


def test_pairs_of_a_test_split_are_excluded() -> None:
    assert prism("collect", MINI, "-o", "pairs.jsonl", "--split", "test", "-q").returncode == 0
    done = prism("split", "pairs.jsonl", "-o", "gone", "--exclude-eval", MINI, "--json", "-q")
    assert done.returncode == 3
    assert "split: nothing would be left: the query or the document of each" in done.stderr
    assert not Path("gone/train.jsonl").exists()
    assert prism("collect", MINI, "-o", "train.jsonl", "-q").returncode == 0
    done = prism("split", "train.jsonl", "-o", "kept", "--exclude-eval", MINI, "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["figures"]["kept clear of"] == "mini"
    assert summary["counts"]["done"] > 0
    words = ("split", "train.jsonl", "-o", "kept", "--exclude-eval", MINI)
    assert "finished before" in prism(*words).stderr
    assert prism(*words, "--eval-documents", "corpus").returncode == 2  # another config


def test_a_whole_corpus_can_be_excluded() -> None:
    assert prism("collect", MINI, "-o", "train.jsonl", "-q").returncode == 0
    words = ("--exclude-eval", MINI, "--eval-documents", "corpus", "--json", "-q")
    done = prism("split", "train.jsonl", "-o", "out", *words)
    assert done.returncode == 3
    assert "split: nothing would be left" in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--exclude-eval", "nowhere"], 3, "nowhere: no such folder"),
        (["--exclude-eval", str(MINI), "--eval-split", "dev"], 3, "no split 'dev'"),
        (["--exclude-eval", str(MINI), "--eval-documents", "some"], 2, "eval_documents"),
        (["--dev-share", "0.6"], 2, "less than or equal to 0.5"),
        (["--dev-share", "0"], 2, "dev_share"),
        (["--dev-queries", "-1"], 2, "greater than or equal to 0"),
        (["--set", "dev_query=3"], 2, "did you mean dev_queries"),
    ],
)
def test_invalid_use_is_reported(words: list[str], code: int, message: str) -> None:
    write_jsonl(Path("in.jsonl"), pairs(3))
    done = prism("split", "in.jsonl", "-o", "out", *words)
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not Path("out").exists()


def test_bad_rows_are_set_aside_beside_both_outputs() -> None:
    Path("in.jsonl").write_bytes(jsonl(pairs(10)) + b'{"query": "no document"}\nnot json\n')
    done = prism("split", "in.jsonl", "-o", "out")
    assert done.returncode == 4
    rejected = read_jsonl(Path("out/split.jsonl.rejects.jsonl"))
    assert [reject["line"] for reject in rejected] == [31, 32]


def test_an_empty_input_is_an_error() -> None:
    Path("empty.jsonl").touch()
    for _ in range(2):
        done = prism("split", "empty.jsonl", "-o", "out")
        assert done.returncode == 3
        assert "out/train.jsonl: holds no row" in done.stderr


def test_the_number_of_dev_queries_is_exact_if_there_are_enough() -> None:
    write_jsonl(Path("in.jsonl"), pairs(12))
    assert prism("split", "in.jsonl", "-o", "out", "--dev-queries", "3", "-q").returncode == 0
    assert len({row["query"] for row in read_jsonl(Path("out/dev.jsonl"))}) == 3
    words = ("--dev-queries", "3", "--dev-share", "0.2")
    done = prism("split", "in.jsonl", "-o", "both", *words)
    assert (
        "dev queries short: s: 2 of 3 (its 12 queries and dev_share = 0.2 allow no more)"
        in done.stderr
    )
    done = prism("split", "in.jsonl", "-o", "none", "--dev-queries", "0", "-q")
    assert done.returncode == 0, done.stderr
    assert Path("none/dev.jsonl").read_bytes() == b""


def test_two_files_cannot_go_to_standard_output() -> None:
    write_jsonl(Path("in.jsonl"), pairs(3))
    done = prism("split", "in.jsonl", "-o", "-")
    assert done.returncode == 2
    assert "name their directory with -o" in done.stderr


def test_help_has_an_example() -> None:
    done = prism("split", "--help")
    assert done.returncode == 0
    assert "Example: prism split" in " ".join(done.stdout.split())
