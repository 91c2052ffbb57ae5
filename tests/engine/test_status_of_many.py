"""`prism status` of a run over many shards: what works where, what hangs, what is left."""

import os
import platform
import time
from pathlib import Path
from typing import Any

import orjson
import pytest

from prism_cli.engine.heartbeat import heartbeat_path
from prism_cli.engine.run_board import BOARD_NAME
from prism_cli.engine.status import RunStatus, find_outputs, read_statuses
from prism_cli.engine.status_sums import StatusSums
from prism_cli.shards.lock import lock_path, output_lock
from prism_cli.shards.manifest import Manifest, manifest_path
from tests.door import prism

OUT = Path("out")
SHARDS = [f"part-{number:02d}.jsonl" for number in range(30)]
HERE = platform.node()


def ago(seconds: float) -> int:
    return int((time.time() - seconds) * 1000)


def finish(name: str, rows: int = 10, **more: Any) -> None:
    counts = {"rows": rows, "done": rows, "dropped": {}, "rejected": 0, "pending": 0}
    usage = {"asked": rows, "from_ledger": 0, "input_tokens": 0, "output_tokens": 0}
    manifest = Manifest("score", {}, [], counts=counts, usage=usage, finished=True)
    for key, value in more.items():
        setattr(manifest, key, value)
    manifest.write(manifest_path(OUT / name))


def beat(name: str, **more: Any) -> None:
    lock_path(OUT / name).touch()
    content = {
        "stage": "score", "pid": os.getpid(), "host": HERE, "started_ms": ago(100), "total": 10,
        "through": 4, "moved": 4.0, "moved_ms": ago(1), "updated_ms": ago(1), "ended": False,
        "rows_per_second": 2.0, "seconds": 100.0, "counts": {"done": 4, "dropped": {}},
    }  # fmt: skip
    heartbeat_path(OUT / name).write_bytes(orjson.dumps(content | more))


def write_board(**more: Any) -> None:
    content = {
        "schema": 1, "stage": "score", "engine": "ray", "host": HERE, "pid": os.getpid(),
        "started_ms": ago(100), "updated_ms": ago(1), "shards": SHARDS, "attempts": {},
        "given_up": {}, "refused": {}, "workers": {},
    }  # fmt: skip
    (OUT / BOARD_NAME).write_bytes(orjson.dumps(content | more))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    OUT.mkdir()
    write_board()


def statuses() -> dict[str, RunStatus]:
    return {Path(s.path).name: s for s in read_statuses(find_outputs([OUT]))}


def test_shards_of_the_board_that_no_run_has_begun() -> None:
    finish(SHARDS[0])
    assert [s.state for s in statuses().values()] == ["finished"] + ["never started"] * 29
    (OUT / BOARD_NAME).unlink()
    assert len(statuses()) == 1


def test_silence_and_standstill_of_a_living_process_are_a_hang() -> None:
    with output_lock(OUT / SHARDS[0]), output_lock(OUT / SHARDS[1]), output_lock(OUT / SHARDS[2]):
        beat(SHARDS[0])
        beat(SHARDS[1], updated_ms=ago(150), moved_ms=ago(150))
        beat(SHARDS[2], moved_ms=ago(1200))
        found = statuses()
    assert [found[name].state for name in SHARDS[:3]] == ["running", "hung", "hung"]
    assert found[SHARDS[1]].reason == "no sign of life for 2.5 min"
    assert found[SHARDS[2]].reason == "no row for 20.0 min"


def test_silence_of_another_host() -> None:
    beat(SHARDS[0], host="node7", updated_ms=ago(300))
    beat(SHARDS[1], host="node7")
    beat(SHARDS[2], host="node7", updated_ms=ago(300), ended=True)
    write_board(engine="join")
    found = statuses()
    assert [found[n].state for n in SHARDS[:3]] == ["hung", "running", "never started"]
    assert found[SHARDS[0]].reason == "no sign of life from node7 for 5.0 min: hung, or gone"
    write_board(engine="ray")  # whose driver knows that nobody works on it
    assert statuses()[SHARDS[0]].state == "never started"


def test_worker_of_a_cluster_is_named_also_before_its_first_heartbeat() -> None:
    worker = {"host": "node3", "pid": 4242, "shard": SHARDS[5]}
    write_board(workers={"worker 2": worker, "worker 3": {"host": "node3", "pid": 1}})
    status = statuses()[SHARDS[5]]
    assert (status.state, status.host, status.process) == ("running", "node3", 4242)
    assert status.worker == "worker 2"
    write_board(workers={"worker 2": worker}, updated_ms=ago(100))
    assert statuses()[SHARDS[5]].state == "never started"
    write_board(workers={"worker 2": worker}, pid=2**22 + 1)  # above the largest: it has ended
    assert statuses()[SHARDS[5]].state == "never started"


def test_shards_given_up_refused_pending_and_stopped() -> None:
    finish(SHARDS[0], finished=False, counts={}, lost=3)
    finish(SHARDS[1], finished=False)
    finish(SHARDS[2], finished=False, counts={"rows": 9, "pending": 2, "dropped": {}})
    finish(SHARDS[3], finished=False, counts={})
    finish(SHARDS[4])
    write_board(
        attempts={SHARDS[0]: 3},
        given_up={SHARDS[0]: "worker died", SHARDS[4]: "worker died"},
        refused={SHARDS[1]: "seed: was 0, is 1"},
    )
    found = statuses()
    states = ["given up", "refused", "pending", "stopped", "finished"]
    assert [found[name].state for name in SHARDS[:5]] == states
    assert (found[SHARDS[0]].reason, found[SHARDS[0]].lost) == ("worker died", 3)


def test_time_left_is_that_of_the_mean_shard() -> None:
    for name in SHARDS[:8]:
        finish(name)
    beat(SHARDS[8], host="node1")
    beat(SHARDS[9], host="node2", rows_per_second=3.0)
    sums = StatusSums()
    for status in statuses().values():
        sums.add(status)
    assert (sums.rows_per_second, sums.hosts) == (5.0, {"node1", "node2"})
    assert sums.seconds_left == (20 * 10 + 2 * 6) / 5.0


def test_only_what_is_not_simply_finished_has_a_line() -> None:
    for name in SHARDS[:8]:
        finish(name)
    beat(SHARDS[8], host="node1")
    write_board(given_up={SHARDS[9]: "worker died"}, attempts={SHARDS[9]: 3})
    lines = prism("status", "out").stdout.splitlines()
    assert lines[0].startswith(
        "together: 30 outputs (20 never started, 8 finished, 1 running, 1 given up), 84 done, "
    )
    assert lines[1] == "now: 2.0 rows/s by 1 process, about 1.7 min left for all"
    assert lines[2] == "running:"
    assert lines[3].startswith(f"  part-08.jsonl (process {os.getpid()} on node1), since ")
    assert lines[4:] == ["given up:", "  part-09.jsonl: worker died, 3 attempts lost"]


def test_a_long_list_is_cut() -> None:
    for name in SHARDS[:25]:
        finish(name, finished=False, counts={})
    lines = prism("status", "out").stdout.splitlines()
    assert lines[1] == "stopped:"
    assert len(lines) == 23
    assert lines[-1] == "  and 5 more (--json has all)"
    content = orjson.loads(prism("status", "out", "--json").stdout)
    assert len(content["outputs"]) == content["runs"][0]["shards"] == 30


def test_folder_is_listed_once_and_each_manifest_read_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in SHARDS:
        finish(name)
    opened: list[str] = []
    true = orjson.loads

    def counted(data: bytes) -> Any:
        opened.append("")
        return true(data)

    monkeypatch.setattr(orjson, "loads", counted)
    assert len(statuses()) == 30
    assert len(opened) <= 30 + 3  # the board of the folder, of its parent, and one more manifest


def test_a_shard_says_what_is_true_before_and_after_its_first_row() -> None:
    with output_lock(OUT / SHARDS[0]), output_lock(OUT / SHARDS[1]):
        beat(SHARDS[0], through=0, moved=0.0, rows_per_second=0.0, counts={"dropped": {}})
        beat(SHARDS[1])
        lines = prism("status", "out").stdout.splitlines()
    first, second = lines[lines.index("running:") + 1 :]
    assert first.endswith(", no row finished yet (of 10)")
    assert second.endswith(", 4 of 10 rows through, 2.0 rows/s, 3 s left")


def test_processes_that_have_begun_no_shard_are_named() -> None:
    mine = {"engine": "join", "host": HERE, "pid": os.getpid(), "started_ms": ago(9)}
    processes = {
        "a": mine | {"updated_ms": ago(9)},
        "b": mine | {"updated_ms": ago(9), "pid": 2**22 + 1},
    }
    write_board(engine="join", processes=processes)
    line = f"at their start, without a shard yet: {os.getpid()} on {HERE}"
    assert line in prism("status", "out").stdout.splitlines()
    beat(SHARDS[8], host="node1")
    assert "at their start" not in prism("status", "out").stdout
