"""A worker of a cluster, in this process."""

from pathlib import Path
from typing import NoReturn

import pytest

from prism_cli.engine import surveys
from prism_cli.engine.run_options import RunOptions
from prism_cli.engine.run_plan import plan_run
from prism_cli.engine.split_queries import unsurveyed
from prism_cli.engine.stage_spec import StageSpec
from prism_cli.spreads.shard_actor import ActorSetup, ShardActor
from tests.engine.test_split_queries import Ranking
from tests.factories import make_pairs, write_jsonl


def test_a_survey_in_a_worker_spares_the_command_the_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(surveys, "_CACHED_BYTES", 1)
    (tmp_path / "in").mkdir()
    for number in range(3):
        write_jsonl(tmp_path / "in" / f"{number}.jsonl", make_pairs(4))
    options = RunOptions(tmp_path / "out", quiet=True, shared=True)
    plan = plan_run(Ranking(), [str(tmp_path / "in")], options)
    actor = ShardActor(ActorSetup(StageSpec.of(Ranking), options, None, str(tmp_path), {}))
    actor.open()
    left = [len(unsurveyed(plan, _no_rows))]
    for job in plan.jobs:
        report = actor.survey(job)
        assert report.error is None
        left.append(len(unsurveyed(plan, _no_rows)))
    assert left == [3, 2, 1, 0]
    assert not list((tmp_path / "out").glob("*.jsonl"))


def _no_rows(_jobs: object) -> NoReturn:
    raise AssertionError("read a row")
