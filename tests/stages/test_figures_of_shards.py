"""A shard's manifest has the figures of that shard only."""

import json
from pathlib import Path

import pytest

from prism_cli.domain.ranks import RankAuc
from prism_cli.domain.score_figures import ScoreFigures
from tests.door import prism
from tests.factories import make_pair, write_jsonl

GROUPED = [
    {"query": f"q{n}", "pos": [f"right {n}"], "neg": [f"wrong {n}", f"right {n}"]} for n in range(5)
]
PAIRS = [
    make_pair(n, source_label=n % 3, verdict="yes" if n % 3 else "no", rank=n + 1, score=n / 20)
    for n in range(20)
]
COMMANDS = {
    "distill": (PAIRS, ("distill", "--teacher", "source")),
    "relabel": (PAIRS, ("relabel", "--judge", "source")),
    "collect": (GROUPED, ("collect",)),
    "rewrite-queries": (PAIRS, ("rewrite-queries", "--generator", "extractive")),
    "convert": (PAIRS, ("convert", "--to", "flagembedding")),
    "convert to a run": (PAIRS, ("convert", "--to", "trec-run")),
}


def figures(output: str) -> object:
    return json.loads(Path(f"{output}.manifest.json").read_text())["figures"]


@pytest.mark.parametrize("name", COMMANDS)
def test_two_shards_in_one_run_equal_two_runs(name: str) -> None:
    rows, (command, *words) = COMMANDS[name]
    write_jsonl(Path("a.jsonl"), rows[: len(rows) * 3 // 4])
    write_jsonl(Path("b.jsonl"), rows[len(rows) // 2 :])  # overlaps with the rows of a
    together = prism(command, "a.jsonl", "b.jsonl", *words, "-o", "both/", "--json")
    assert together.returncode == 0, together.stderr
    for shard in "ab":
        done = prism(command, f"{shard}.jsonl", *words, "-o", f"alone/{shard}.jsonl")
        assert done.returncode == 0, done.stderr
        name_made = next(Path("both").glob(f"{shard}.*.manifest.json")).name.removesuffix(
            ".manifest.json"
        )
        assert Path("both", name_made).read_bytes() == Path(f"alone/{shard}.jsonl").read_bytes()
        assert figures(f"both/{name_made}") == figures(f"alone/{shard}.jsonl") != {}


def test_the_summary_is_of_all_shards_of_the_run() -> None:
    for name in "ab":
        write_jsonl(Path(f"{name}.jsonl"), PAIRS[10 * (name == "b") :][:10])
    words = ("--judge", "source", "--json")
    done = prism("relabel", "a.jsonl", "b.jsonl", "-o", "both/", *words)
    merged = prism("relabel", "a.jsonl", "b.jsonl", "-o", "merged.jsonl", *words)
    assert json.loads(done.stdout)["figures"] == json.loads(merged.stdout)["figures"]
    assert json.loads(done.stdout)["figures"]["verdicts"]["yes"] == 13


@pytest.mark.parametrize("held", [5, 15, 100])
def test_rank_figures_of_two_shards_are_merged(held: int) -> None:
    """`held` is the number of rows with exact ranks: 5 fits neither shard, 15 one, 100 both."""
    total, first, second = (RankAuc(held) for _ in range(3))
    for number in range(30):
        score, yes = number * 7 % 30 / 30, number % 3 == 0
        total.add(score, yes)
        (first if number < 20 else second).add(score, yes)
    first.merge(second)
    if held == 5:
        assert first.figures() == (None, None)
    elif held == 15:
        assert first.figures()[1] is not None
    else:
        assert first.figures() == total.figures()


def test_score_figures_of_two_shards_are_merged() -> None:
    total, first, second = (ScoreFigures() for _ in range(3))
    for number in range(30):
        pair = number * 7 % 30 / 30, ("yes", "no", None)[number % 3]
        total.add(*pair)
        (first if number < 20 else second).add(*pair)
    first.merge(second)
    assert first.row() == total.row()
    assert first.histogram() == total.histogram()
