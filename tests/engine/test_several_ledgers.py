"""One run over files of several folders: each output's replies are in the ledger beside it."""

from pathlib import Path
from typing import Any

import pytest

from prism_cli.engine.forecast import forecast
from prism_cli.engine.run_plan import plan_run
from prism_cli.engine.runner import RunOptions, run_rows
from prism_cli.errors import LimitReachedError, UsageError
from prism_cli.shards.ledger_file import LedgerFile
from tests.factories import make_pair, write_jsonl
from tests.fakes import ScoreStage, ScriptedCalls

X, Y = "x/r.jsonl", "y/r.jsonl"


@pytest.fixture(autouse=True)
def rows() -> None:
    for number, name in enumerate((X, Y)):
        Path(name).parent.mkdir()
        pairs = [make_pair(i, document=f"{name} {i}") for i in range(20 * number, 20 * number + 20)]
        write_jsonl(Path(name), [make_pair(99, document="in both"), *pairs])


def score(*given: str, **more: Any) -> int:
    """Questions that were asked."""
    backend = ScriptedCalls(concurrency=1)
    try:
        run_rows(ScoreStage(backend), given, RunOptions(quiet=True, **more))
    except LimitReachedError:
        assert "max_cost" in more
    return len(backend.asked)


def replies(folder: str) -> int:
    return sum(1 for _ in LedgerFile(Path(folder, ".prism/ledger.sqlite")).entries())


def test_a_stopped_run_over_two_folders_goes_on_where_it_stopped() -> None:
    assert score(X, Y, max_cost=0.03) == 30
    assert score(X, Y) == 12
    assert (replies("x"), replies("y")) == (21, 21)
    assert score(X, Y, overwrite=True) == 0
    assert score(Y, X, fresh=True, overwrite=True) == 42


def test_a_ledger_that_was_there_before_is_used_and_forecast() -> None:
    assert score(Y) == 21
    plan = plan_run(ScoreStage(ScriptedCalls()), [X, Y], RunOptions(overwrite=True))
    (model,) = forecast(plan).models
    assert (model.questions, model.paid_before, model.calls) == (42, 21, 21)
    assert score(X, Y, overwrite=True) == 21


def test_a_batch_has_one_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"in 2 folders.*-o, or set PRISM_STATE.*Nothing was sent"):
        score(X, Y, batch=True)
    monkeypatch.setenv("PRISM_STATE", "state")
    assert score(X, Y, batch=True) == 41
