"""Forecasts: cached replies count as paid before."""

from pathlib import Path
from typing import Any

import pytest

from prism_cli.adapters.chat.backend import ChatBackend
from prism_cli.adapters.chat.model import ChatModel
from prism_cli.adapters.providers.client import ProviderClient
from prism_cli.adapters.providers.model_ref import ModelRef
from prism_cli.configs.providers import ModelPricing, Provider
from prism_cli.domain.rubric import JudgeTask
from prism_cli.engine.forecast import (
    ModelForecast,
    _forecast_model,
    _SampledRequest,
    forecast,
)
from prism_cli.engine.run_plan import plan_run
from prism_cli.engine.runner import RunOptions, run_rows
from prism_cli.errors import ChangedInputError, StorageError
from prism_cli.ports import Usage, request
from tests.factories import make_pairs, write_jsonl
from tests.fakes import ScoreStage, ScriptedBatch


def model_forecast(given: list[str], out: Path, **more: Any) -> ModelForecast:
    options = RunOptions(output=out, quiet=True, **more)
    (model,) = forecast(plan_run(ScoreStage(ScriptedBatch()), given, options)).models
    return model


def test_replies_of_a_stopped_run_of_a_local_model_are_known(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl", make_pairs(40))
    given, out = [str(tmp_path / "rows.jsonl")], tmp_path / "out.jsonl"
    assert (model_forecast(given, out).paid_before, model_forecast(given, out).calls) == (0, 40)

    def stop(number: int) -> None:
        if number == 3:
            raise StorageError("full")

    with pytest.raises(StorageError):
        run_rows(ScoreStage(ScriptedBatch(before_batch=stop)), given, RunOptions(out, quiet=True))
    planned = model_forecast(given, out)
    assert (planned.questions, planned.paid_before, planned.calls) == (40, 24, 16)
    again = ScriptedBatch()
    run_rows(ScoreStage(again), given, RunOptions(out, quiet=True))
    assert sum(map(len, again.asked)) == planned.calls
    assert model_forecast(given, out, fresh=True, overwrite=True).calls == 40
    assert model_forecast(given, tmp_path / "other.jsonl").calls == 40  # per output


def test_each_output_asks_a_local_model_for_itself(tmp_path: Path) -> None:
    for name in ("a.jsonl", "b.jsonl"):
        write_jsonl(tmp_path / name, make_pairs(10))
    given = [str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl")]
    out = tmp_path / "made"
    run_rows(ScoreStage(ScriptedBatch()), given[:1], RunOptions(out / "a.jsonl", quiet=True))
    (out / "a.jsonl").unlink()
    planned = model_forecast(given, out)
    again = ScriptedBatch()
    run_rows(ScoreStage(again), given, RunOptions(out, quiet=True))
    assert sum(map(len, again.asked)) == planned.calls == 10
    assert planned.questions == 20


def test_a_forecast_refuses_what_the_run_refuses(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl", make_pairs(3))
    given, out = [str(tmp_path / "rows.jsonl")], tmp_path / "out.jsonl"
    run_rows(ScoreStage(ScriptedBatch()), given, RunOptions(out, quiet=True))
    write_jsonl(tmp_path / "rows.jsonl", make_pairs(5)[1:])
    with pytest.raises(ChangedInputError, match="--if-changed redo") as of_forecast:
        model_forecast(given, out)
    with pytest.raises(ChangedInputError) as of_run:
        run_rows(ScoreStage(ScriptedBatch()), given, RunOptions(out, quiet=True))
    assert str(of_forecast.value) == str(of_run.value)
    assert model_forecast(given, out, if_changed="redo").questions == 4


@pytest.mark.parametrize(("batch", "usd"), [(False, 2.0), (True, 1.0)])
def test_the_cost_of_earlier_replies_by_batch_is_not_halved_again(batch: bool, usd: float) -> None:
    settings = {"api": "openai", "base_url": "https://lab.invalid/v1", "batches": True}
    client = ProviderClient("lab", Provider.model_validate(settings))
    card = ModelPricing(usd_per_million_input=1.0, usd_per_million_output=1.0)
    judge = ChatBackend(ChatModel(ModelRef("lab/j", client, "j", card)), JudgeTask())
    asked = request(judge, (("query", "document"), 0), "document")
    group = [_SampledRequest(asked, 1.0, "ledger", paid=False)]
    by_batch = Usage(1_500_000, 500_000, usd=1.0)
    assert _forecast_model("lab/j", group, 1.0, (20, by_batch), batch).usd == usd
