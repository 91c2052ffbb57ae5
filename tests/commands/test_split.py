"""`prism split` through the real command."""

import json
from pathlib import Path

import pytest

from tests.door import prism
from tests.factories import jsonl, read_jsonl, write_jsonl
from tests.mini import MINI
from tests.stages.test_split import pairs


def test_train_and_dev_stand_in_the_directory_and_hold_every_row_once() -> None:
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
    again = prism("split", "in.jsonl", "-o", "data", "--dev-queries", "5")
    assert "finished before" in again.stderr
    assert prism("split", "in.jsonl", "-o", "data").returncode == 2
    words = ("split", "in.jsonl", "-o", "data", "--dev-queries", "5", "--overwrite", "-q")
    assert prism(*words).returncode == 0
    assert Path("data/train.jsonl").read_bytes() == before


def test_files_may_cut_the_rows_anywhere() -> None:
    rows = pairs(60)
    write_jsonl(Path("a.jsonl"), rows[:71])
    write_jsonl(Path("b.jsonl"), rows[71:])
    write_jsonl(Path("whole.jsonl"), rows)
    assert prism("split", "a.jsonl", "b.jsonl", "-o", "parts", "-q").returncode == 0
    assert prism("split", "whole.jsonl", "-o", "one", "-q").returncode == 0
    for side in ("train", "dev"):
        one, parts = (Path(place) / f"{side}.jsonl" for place in ("one", "parts"))
        assert one.read_bytes() == parts.read_bytes()


def test_real_pairs_are_kept_clear_of_a_test_split() -> None:
    assert prism("collect", MINI, "-o", "pairs.jsonl", "--split", "test", "-q").returncode == 0
    done = prism("split", "pairs.jsonl", "-o", "gone", "--exclude-eval", MINI, "--json", "-q")
    assert done.returncode == 3
    assert "split: nothing would be left: the query or the document of each" in done.stderr
    assert not Path("gone/train.jsonl").exists()
    assert prism("collect", MINI, "-o", "train.jsonl", "-q").returncode == 0
    done = prism("split", "train.jsonl", "-o", "kept", "--exclude-eval", MINI, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["figures"]["kept clear of"] == "mini"
    assert told["counts"]["done"] > 0
    words = ("split", "train.jsonl", "-o", "kept", "--exclude-eval", MINI)
    assert "finished before" in prism(*words).stderr
    assert prism(*words, "--eval-documents", "corpus").returncode == 2  # another config


def test_whole_corpus_can_be_kept_out() -> None:
    assert prism("collect", MINI, "-o", "train.jsonl", "-q").returncode == 0
    words = ("--exclude-eval", MINI, "--eval-documents", "corpus", "--json", "-q")
    done = prism("split", "train.jsonl", "-o", "out", *words)
    assert done.returncode == 3
    assert "split: nothing would be left" in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "told"),
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
def test_what_cannot_be_is_told(words: list[str], code: int, told: str) -> None:
    write_jsonl(Path("in.jsonl"), pairs(3))
    done = prism("split", "in.jsonl", "-o", "out", *words)
    assert done.returncode == code, done.stderr
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert not Path("out").exists()


def test_bad_rows_are_set_aside_beside_both_outputs() -> None:
    Path("in.jsonl").write_bytes(jsonl(pairs(10)) + b'{"query": "no document"}\nnot json\n')
    done = prism("split", "in.jsonl", "-o", "out")
    assert done.returncode == 4
    rejected = read_jsonl(Path("out/split.jsonl.rejects.jsonl"))
    assert [one["line"] for one in rejected] == [31, 32]


def test_empty_input_is_no_success() -> None:
    Path("empty.jsonl").touch()
    for _ in range(2):
        done = prism("split", "empty.jsonl", "-o", "out")
        assert done.returncode == 3
        assert "out/train.jsonl: holds no row" in done.stderr


def test_number_of_dev_queries_is_given_where_there_are_enough() -> None:
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


def test_standard_output_cannot_hold_two_files() -> None:
    write_jsonl(Path("in.jsonl"), pairs(3))
    done = prism("split", "in.jsonl", "-o", "-")
    assert done.returncode == 2
    assert "name their directory with -o" in done.stderr


def test_help_has_an_example() -> None:
    done = prism("split", "--help")
    assert done.returncode == 0
    assert "Example: prism split" in " ".join(done.stdout.split())
