"""A ledger that lacks paid replies is not silently taken for a new one."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from prism_cli.engine.forecast import forecast
from prism_cli.engine.run_plan import plan_run
from prism_cli.engine.runner import RunOptions, run_rows
from prism_cli.errors import DamagedFileError, LimitReachedError, LostRepliesError
from tests.door import prism
from tests.factories import make_pairs, write_jsonl
from tests.fakes import ScoreStage, ScriptedCalls

OUT = Path("out.jsonl")
LEDGER = Path(".prism/ledger.sqlite")
Lose = Callable[[], object]


def score(backend: ScriptedCalls | None = None, out: Path = OUT, **more: Any) -> int:
    """Questions that were asked."""
    backend = backend or ScriptedCalls()
    run_rows(ScoreStage(backend), ["in.jsonl"], RunOptions(output=out, quiet=True, **more))
    return len(backend.asked)


def score_some(replies: int, out: Path = OUT) -> None:
    """Stop after so many."""
    with pytest.raises(LimitReachedError):
        score(ScriptedCalls(concurrency=1), out, max_cost=replies / 1000)


LOST: dict[str, Lose] = {
    "missing": LEDGER.unlink,
    "empty": lambda: LEDGER.write_bytes(b""),
    "without replies": lambda: score_elsewhere("none"),
}  # fmt: skip


def score_elsewhere(name: str) -> None:
    """A ledger that was begun, in place of ours."""
    from prism_cli.shards.ledger import Ledger

    LEDGER.unlink()
    Ledger(LEDGER).close()


@pytest.fixture(autouse=True)
def rows() -> None:
    write_jsonl(Path("in.jsonl"), make_pairs(30))


@pytest.mark.parametrize("lose", LOST.values(), ids=LOST.keys())
def test_an_unfinished_output_is_not_paid_for_again_unasked(lose: Lose) -> None:
    score_some(16)
    lose()
    backend = ScriptedCalls()
    for _ in range(2):  # refusing changes nothing
        with pytest.raises(LostRepliesError, match="earlier attempts asked for 16 replies"):
            score(backend)
    assert backend.asked == []
    assert score(accept_lost_replies=True) == 30


@pytest.mark.parametrize("lose", LOST.values(), ids=LOST.keys())
def test_a_finished_output_that_is_made_anew_is_not_paid_for_again_unasked(lose: Lose) -> None:
    assert score() == 30
    lose()
    assert score() == 0  # finished: nothing is asked
    with pytest.raises(LostRepliesError, match="--accept-lost-replies"):
        score(overwrite=True)
    write_jsonl(Path("in.jsonl"), make_pairs(31))
    with pytest.raises(LostRepliesError, match="asked for 30 replies"):
        score()
    assert score(accept_lost_replies=True) == 31
    assert score(overwrite=True) == 0


def test_a_stop_before_the_first_lookup_forgets_no_paid_replies() -> None:
    score_some(16)
    with pytest.raises(LimitReachedError):
        score(max_seconds=1e-6)
    LEDGER.unlink()
    with pytest.raises(LostRepliesError, match="asked for 16 replies"):
        score()


def test_an_older_copy_of_the_ledger_is_noticed() -> None:
    score_some(8)
    shutil.copy(LEDGER, "copy.sqlite")
    score_some(8)
    shutil.copy("copy.sqlite", LEDGER)
    with pytest.raises(LostRepliesError, match="counts only 8 of them"):
        score()


def test_an_empty_ledger_beside_other_paid_outputs_is_noticed() -> None:
    score()
    LEDGER.write_bytes(b"")
    with pytest.raises(LostRepliesError, match=r"out\.jsonl: earlier attempts"):
        score(out=Path("other.jsonl"))


def test_a_new_start_is_silent() -> None:
    LEDGER.parent.mkdir()
    LEDGER.touch()  # as a kill before the first table leaves it
    assert score() == 30
    elsewhere = Path("elsewhere")
    elsewhere.mkdir()
    shutil.copy(OUT, elsewhere / "theirs.jsonl")
    shutil.copy("out.jsonl.manifest.json", elsewhere / "theirs.jsonl.manifest.json")
    # Rows from somebody else, with their manifest: their ledger is not expected here.
    assert score(out=elsewhere / "new.jsonl") == 30


def test_a_folder_that_was_moved_goes_on() -> None:
    Path("here").mkdir()
    score_some(16, out=Path("here/out.jsonl"))
    Path("here").rename("there")
    assert score(out=Path("there/out.jsonl")) == 14


@pytest.mark.parametrize("keep", [0.9, 0.5, 0.2, 50])
def test_a_truncated_ledger_is_told_with_what_is_left_of_it(keep: float) -> None:
    score()
    content = LEDGER.read_bytes()
    LEDGER.write_bytes(content[: int(keep if keep > 1 else keep * len(content))])
    for more in ({"overwrite": True}, {"out": Path("other.jsonl")}):
        backend = ScriptedCalls()
        with pytest.raises(DamagedFileError, match=r"replies, which cost .* can still be read"):
            score(backend, **more)
        assert backend.asked == []


def test_repair_as_typed() -> None:
    score()
    content = bytearray(LEDGER.read_bytes())
    content[:100] = bytes(100)
    LEDGER.write_bytes(content)
    refused = prism("ledger", "stats")
    assert refused.returncode == 3
    assert "`prism ledger repair .prism/ledger.sqlite`" in refused.stderr.replace(
        str(Path.cwd()) + "/", ""
    )
    done = prism("ledger", "repair", "--json")
    assert done.returncode == 0, done.stderr
    assert "30 replies (0 refusals), which cost 0.0300 USD, could be read" in done.stderr
    assert '"lost":0' in done.stdout
    assert Path(".prism/ledger.sqlite.damaged-1").read_bytes() == content
    assert score(overwrite=True) == 0
    again = prism("ledger", "repair", LEDGER)
    assert "nothing is damaged: 30 replies" in again.stderr


def test_a_dry_run_tells_of_a_lost_ledger_and_writes_nothing() -> None:
    score()
    LEDGER.write_bytes(b"")
    other = RunOptions(output=Path("other.jsonl"), quiet=True)
    for _ in range(2):
        with pytest.raises(LostRepliesError, match="is empty"):
            forecast(plan_run(ScoreStage(ScriptedCalls()), ["in.jsonl"], other))
        assert LEDGER.stat().st_size == 0
    accepted = replace(other, accept_lost_replies=True)
    plan = plan_run(ScoreStage(ScriptedCalls()), ["in.jsonl"], accepted)
    assert forecast(plan).models[0].paid_before == 0
    assert LEDGER.stat().st_size == 0


def test_an_sqlite_file_of_something_else_is_moved_aside_by_repair() -> None:
    LEDGER.parent.mkdir(exist_ok=True)
    with closing(sqlite3.connect(LEDGER)) as db:
        db.execute("CREATE TABLE replies (a)")
    with pytest.raises(DamagedFileError, match=r"not that of a ledger.*prism ledger repair"):
        score()
    done = prism("ledger", "repair", LEDGER)
    assert done.returncode == 0, done.stderr
    assert (LEDGER.parent / f"{LEDGER.name}.damaged-1").is_file()
    assert score() == 30
