"""How far a run is: by rows and by what rows ask, from this attempt's pace, over all attempts."""

import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prism_cli.engine import shard_worker
from prism_cli.engine.heartbeat import heartbeat_path, read_heartbeat
from prism_cli.engine.progress import Progress, QuestionCounts
from prism_cli.engine.runner import RunOptions, run_rows
from prism_cli.errors import MissingDataError
from prism_cli.ports import RowWork, request
from prism_cli.rows.row import Row
from tests.door import prism
from tests.factories import make_pairs, write_jsonl
from tests.fakes import EchoStage, ScoreStage, ScriptedBatch

OUT = Path("out.jsonl")


class ManyStage(ScoreStage):
    """A question for each word of a row."""

    nouns = ("queries", "documents")

    def check(self, row: Row) -> None:
        pass

    def work(self, row: Row) -> RowWork:
        words = row["words"]
        replies = yield [request(self.backends[0], word, word) for word in words]
        return row | {"scores": [reply.value["score"] for reply in replies]}


class Recording(Progress):
    """Keeps what was shown."""

    def __init__(self, label: str, total: int | None) -> None:
        super().__init__(label, total)
        self.shown: list[tuple[float, float, QuestionCounts | None]] = []

    def show(self, rows: float, usd: float, **more: Any) -> None:
        super().show(rows, usd, **more)
        self.shown.append((self.rows, self.cached, self.questions))


@pytest.fixture
def progresses(monkeypatch: pytest.MonkeyPatch) -> list[Recording]:
    made: list[Recording] = []

    @contextmanager
    def recording(label: str, total: int | None, **_more: Any) -> Iterator[Progress]:
        made.append(Recording(label, total))
        yield made[-1]

    monkeypatch.setattr(shard_worker, "show_progress", recording)
    monkeypatch.setattr("prism_cli.engine.shard.SHOW_SECONDS", 0.0)
    return made


def words_of(*counts: int) -> list[Row]:
    return [{"words": [f"{row} {n:03}" for n in range(count)]} for row, count in enumerate(counts)]


def stop_before(batch: int) -> ScriptedBatch:
    def stop(number: int) -> None:
        if number == batch:
            raise MissingDataError("as if stopped")

    return ScriptedBatch(before_batch=stop)


def run(backend: ScriptedBatch, stage: type[ScoreStage] = ManyStage, **more: Any) -> None:
    run_rows(stage(backend), ["in.jsonl"], RunOptions(output=OUT, **more))


def test_within_one_row_each_batch_is_told(progresses: list[Recording]) -> None:
    write_jsonl(Path("in.jsonl"), words_of(40))
    run(ScriptedBatch())
    (progress,) = progresses
    counts = [questions.answered for *_, questions in progress.shown if questions]
    assert [*dict.fromkeys(counts)] == [0, 8, 16, 24, 32, 40]
    assert {questions.total for *_, questions in progress.shown if questions} == {40}
    assert 0.2 in [rows for rows, *_ in progress.shown]
    assert "1 of 1 queries, 40 of 40 documents, " in progress.line


def test_the_questions_of_later_windows_are_not_known_yet(
    progresses: list[Recording], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prism_cli.engine.shard.WINDOW_ROWS", 2)
    write_jsonl(Path("in.jsonl"), words_of(8, 8, 3, 0))
    run(ScriptedBatch())
    (progress,) = progresses
    counts = [(asked.answered, asked.total) for *_, asked in progress.shown if asked]
    assert [*dict.fromkeys(counts)] == [(0, None), (8, None), (16, None), (16, 19), (19, 19)]


def test_rows_that_ask_once_are_told_as_rows(progresses: list[Recording]) -> None:
    write_jsonl(Path("in.jsonl"), make_pairs(16))
    run(ScriptedBatch(), ScoreStage)
    (progress,) = progresses
    assert {questions for *_, questions in progress.shown} == {None}
    assert [*dict.fromkeys(int(rows) for rows, *_ in progress.shown)] == [0, 8, 16]
    assert "16 of 16 rows, " in progress.line


def test_what_the_ledger_had_is_through_and_no_pace_is_taken_from_it(
    progresses: list[Recording], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prism_cli.engine.shard.WINDOW_ROWS", 3)
    write_jsonl(Path("in.jsonl"), words_of(8, 8, 8, 8, 16))
    with pytest.raises(MissingDataError):
        run(stop_before(5))
    run(ScriptedBatch())
    _, again = progresses
    assert (4.5, 4.5, QuestionCounts(40, 48, 40)) in again.shown
    assert again.shown[-1] == (5, 4.5, QuestionCounts(48, 48, 40))


def test_the_time_left_is_that_of_this_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    progress = Progress("score", 1000)
    progress.skip(900)
    now[0] += 60
    assert "min left" not in progress.line
    progress.advance(10, 0.5)
    assert progress.line == "score: 910 of 1,000 rows, 0.2 rows/s, 0.5000 USD, 9.0 min left"


@pytest.mark.parametrize(
    ("seconds", "pace"),
    [(4, "2.5 shards/s"), (400, "1.5 shards/min"), (36_000, "1.0 shards/h")],
)
def test_a_slow_pace_is_one_per_minute_or_per_hour(
    monkeypatch: pytest.MonkeyPatch, seconds: int, pace: str
) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    progress = Progress("rerank by 2 workers", 100, "shards")
    now[0] += seconds
    progress.advance(10, 0.0)
    assert f", {pace}, " in progress.line


def test_a_stage_that_asks_nothing_has_a_pace(progresses: list[Recording]) -> None:
    write_jsonl(Path("in.jsonl"), make_pairs(16))
    run_rows(EchoStage(), ["in.jsonl"], RunOptions(output=OUT))
    (progress,) = progresses
    assert progress.shown[-1] == (16, 0, None)
    assert " 0.0 rows/s" not in progress.line


def test_the_seconds_of_killed_attempts_are_added_up() -> None:
    write_jsonl(Path("in.jsonl"), make_pairs(40))
    with pytest.raises(MissingDataError):
        run(stop_before(1), ScoreStage, quiet=True)
    manifest = Path("out.jsonl.manifest.json")
    content = orjson.loads(manifest.read_bytes()) | {"seconds": 50.0}
    manifest.write_bytes(orjson.dumps(content))
    record = read_heartbeat(OUT)
    assert record
    assert record["ended"]
    assert prism_seconds() == 50.0
    heartbeat_path(OUT).write_bytes(orjson.dumps(record | {"ended": False, "seconds": 100.0}))
    assert prism_seconds() == 150.0
    for _ in range(2):  # the second finds no record of the first
        with pytest.raises(MissingDataError):
            run(stop_before(0), ScoreStage, quiet=True)
    assert 150.0 <= prism_seconds() < 160.0
    run(ScriptedBatch(), ScoreStage, quiet=True)
    assert 150.0 <= orjson.loads(manifest.read_bytes())["seconds"] < 160.0


def prism_seconds() -> float:
    seconds: float = orjson.loads(prism("status", OUT, "--json").stdout)["together"]["seconds"]
    return seconds


def test_an_output_that_is_named_twice_is_counted_once() -> None:
    Path("in").mkdir()
    for name in ("a", "b"):
        write_jsonl(Path(f"in/{name}.jsonl"), make_pairs(5))
    run_rows(ScoreStage(ScriptedBatch()), ["in"], RunOptions(output=Path("out"), quiet=True))
    words = ("out", "out/a.jsonl", "./out", "out/b.jsonl.manifest.json", Path.cwd() / "out")
    status = orjson.loads(prism("status", *words, "--json").stdout)
    assert [output["path"] for output in status["outputs"]] == ["out/a.jsonl", "out/b.jsonl"]
    assert status["together"]["counts"]["rows"] == 10


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def record() -> dict[str, Any]:
    return {
        "stage": "score", "attempts": 1, "job": 1, "jobs": 1, "ledger": "l", "pid": 2**22,
        "host": platform.node(), "started_ms": 1, "total": 5, "through": 1, "answered": 0,
        "moved": 1.5, "found": 0.0, "asked": 3, "counts": {"done": 1, "dropped": {}},
        "pending_reasons": {},
        "questions": {"answered": 1, "total": None, "found": 0}, "nouns": ["rows", "questions"],
        "updated_ms": 2, "ended": False, "rows_per_second": 0.5, "seconds": 1.0,
    }  # fmt: skip


@settings(max_examples=40)
@given(data=st.data())
def test_no_record_ends_status(record: dict[str, Any], data: st.DataObject) -> None:
    write_jsonl(Path("in.jsonl"), make_pairs(8))
    if not Path("out.jsonl.manifest.json").exists():
        with pytest.raises(MissingDataError):
            run(stop_before(0), ScoreStage, quiet=True)
    name = data.draw(st.sampled_from(sorted(record)))
    changed = {**record, name: data.draw(JSON)}
    if data.draw(st.booleans()):
        del changed[name]
    torn = orjson.dumps(changed, option=orjson.OPT_NON_STR_KEYS, default=str)
    heartbeat_path(OUT).write_bytes(torn[: data.draw(st.sampled_from([len(torn), 9]))])
    for words in ((), ("--json",)):
        done = prism("status", OUT, *words)
        assert done.returncode == 0, done.stderr
