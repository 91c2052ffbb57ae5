"""A worker of a cluster, in this process."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any, NoReturn

import pytest

from prism_cli.engine import surveys
from prism_cli.engine.jobs import Job
from prism_cli.engine.run_options import RunOptions
from prism_cli.engine.run_plan import plan_run
from prism_cli.engine.runner import run_rows
from prism_cli.engine.shard_report import ShardReport
from prism_cli.engine.split_queries import unsurveyed
from prism_cli.engine.stage_spec import StageSpec
from prism_cli.spreads import ray_actors
from prism_cli.spreads.shard_actor import ActorSetup, ShardActor
from tests.engine.test_split_queries import Ranking
from tests.factories import make_pair, make_pairs, write_jsonl
from tests.spreads.scripted_cluster import ScriptedCluster, ScriptedWorker


def test_a_survey_in_a_worker_spares_the_command_the_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(surveys, "_CACHED_BYTES", 1)
    (tmp_path / "in").mkdir()
    for number in range(3):
        write_jsonl(tmp_path / "in" / f"{number}.jsonl", make_pairs(4))
    options = RunOptions(tmp_path / "out", quiet=True, shared=True)
    plan = plan_run(Ranking(), [str(tmp_path / "in")], options)
    actor = ShardActor(ActorSetup(StageSpec.of(Ranking), options, None, {}, str(tmp_path), {}))
    actor.open()
    left = [len(unsurveyed(plan, _no_rows))]
    for job in plan.jobs:
        report = actor.survey(job)
        assert report.error is None
        left.append(len(unsurveyed(plan, _no_rows)))
    assert left == [3, 2, 1, 0]
    assert not list((tmp_path / "out").glob("*.jsonl"))


def test_a_worker_does_not_process_rows_that_come_after_the_look_at_all_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    for number in range(2):
        write_jsonl(tmp_path / "in" / f"{number}.jsonl", [make_pair(number)])

    def cluster(_address: str, _workers: int, setup: ActorSetup, *_: object) -> Any:
        actor = ShardActor(setup)
        actor.open()

        def work(_: ScriptedWorker, job: Job) -> ShardReport:
            write_jsonl(tmp_path / "in" / "0.jsonl", [make_pair(0), make_pair(1)])
            return actor.work(job)

        return nullcontext(ScriptedCluster(work))

    monkeypatch.setattr(ray_actors, "RayCluster", cluster)
    options = RunOptions(tmp_path / "out", quiet=True, shared=True)
    spread = ray_actors.RayActors(StageSpec.of(Ranking), options, None, 1, 0.0, 3, 60.0)
    summary = run_rows(Ranking(), [str(tmp_path / "in")], options, spread)
    assert "when this run looked at all rows" in str(summary.refused)
    assert [path.name for path in (tmp_path / "out").glob("*.jsonl")] == ["1.jsonl"]


def _no_rows(_jobs: object) -> NoReturn:
    raise AssertionError("read a row")
