"""Ratings through the engine: chat judges, decision endpoints, a real model in this process."""

from pathlib import Path
from typing import Any, ClassVar

import pytest

from prism_cli.adapters.judges.rater import load_rater
from prism_cli.adapters.providers import retrying, throttle
from prism_cli.adapters.providers.registry import ProviderRegistry
from prism_cli.configs.providers import load_providers
from prism_cli.domain.rating_task import INSTRUCTION, OVERALL, RATINGS, SEVERE, RatedTexts
from prism_cli.engine.forecast import forecast
from prism_cli.engine.run_plan import plan_run
from prism_cli.engine.runner import RunOptions, run_rows
from prism_cli.engine.stage import RowStage
from prism_cli.errors import PrerequisiteError, UsageError
from prism_cli.ports import BatchBackend, CallBackend, RowWork
from prism_cli.rows.row import Row
from prism_cli.stages.rating import request_rating
from tests.adapters.chat.tiny_chat import tiny_chat
from tests.factories import make_pair, read_jsonl, write_jsonl
from tests.servers.fault_server import FaultServer
from tests.servers.faults import Fault
from tests.servers.replies import Answers

APIS = {"chat": "openai", "decide": "openai-decisions", "one": "systemone"}


class RateStage(RowStage):
    """Stage that adds a rating to each row."""

    name: ClassVar[str] = "rate-only"

    def __init__(self, judge: BatchBackend | CallBackend) -> None:
        self._judge = judge

    def work(self, row: Row) -> RowWork:
        texts = RatedTexts(row["query"], row["document"], row["contribution"], row["evidence"])
        rating = yield from request_rating(self._judge, texts)
        return row | {"rating": rating}


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrying, "_jittered", lambda state: 0.01)
    monkeypatch.setattr(throttle, "FIRST_PAUSE", 0.05)


def catalog(base_url: str, **card: Any) -> ProviderRegistry:
    cards = "".join(f"{name} = {value}\n" for name, value in card.items())
    tables = [
        f'[providers.{name}]\napi = "{api}"\nbase_url = "{base_url}/v1"\n'
        f'[providers.{name}.models."j"]\nusd_per_million_input = 1.0\n{cards}'
        for name, api in APIS.items()
    ]
    Path("providers.toml").write_text("\n".join(tables))
    return ProviderRegistry(load_providers(Path("providers.toml")), None)


def rows(count: int, **changed: Any) -> list[Row]:
    return [
        make_pair(n, **{"contribution": f"It says {n}.", "evidence": f"Item {n}."} | changed)
        for n in range(count)
    ]


def rate(judge: BatchBackend | CallBackend, inputs: list[Row], output: str = "out.jsonl") -> Any:
    source = [str(write_jsonl(Path("in.jsonl"), inputs))]
    summary = run_rows(RateStage(judge), source, RunOptions(Path(output), quiet=True))
    return [row["rating"] for row in read_jsonl(Path(output))], summary


def said(severe: str = "no", **changed: int) -> str:
    points = dict.fromkeys(RATINGS, 3) | changed
    return "\n".join(
        [f"{SEVERE}: {severe}", *(f"{name}: {value}" for name, value in points.items())]
    )


def by_item(model: str, text: str) -> str:
    number = int(text.rsplit("Item ", 1)[1].split(".")[0])
    return said("yes" if number % 5 == 0 else "no", overall=1 + number % 5 if number % 5 else 5)


def test_rows_are_rated_once_and_equal_rows_share_a_call() -> None:
    inputs = [*rows(22), *rows(3)]
    with FaultServer(answers=Answers(chat=by_item)) as server:
        judge = load_rater("chat/j", catalog(server.base_url))
        output, summary = rate(judge, inputs)
        assert summary.usage.asked == len(server.calls) == 22
        rerun, second = rate(load_rater("chat/j", catalog(server.base_url)), inputs, "two.jsonl")
        assert second.usage.asked == 0
        assert len(server.calls) == 22
    assert output == rerun
    assert output[22:] == output[:3]
    assert output[0] == {"ratings": dict.fromkeys(RATINGS, 3) | {OVERALL: 2}, SEVERE: True}
    assert [row["ratings"][OVERALL] for row in output[1:5]] == [2, 3, 4, 5]
    assert summary.usage.usd == pytest.approx(sum(c.input_tokens for c in server.calls) * 1e-6)
    assert all(call.text.startswith(INSTRUCTION) for call in server.calls)


def test_an_unreadable_rating_is_retried_twice_and_then_a_refusal() -> None:
    with FaultServer(answers=Answers(chat=lambda model, text: said(overall=9))) as server:
        output, _ = rate(load_rater("chat/j", catalog(server.base_url)), rows(2))
        assert len(server.calls) == 6
        rate(load_rater("chat/j", catalog(server.base_url)), rows(2), "two.jsonl")
        assert len(server.calls) == 6
    assert output[0]["refusal"] == (
        "3 replies that could not be used: 3 x overall: expected a whole number from 1 to 5"
    )
    assert "ratings" not in output[0]


def test_a_refused_row_is_kept_and_a_failing_server_leaves_rows_pending() -> None:
    with FaultServer([Fault("400", contains="Item 1.")], Answers(chat=by_item)) as server:
        output, _ = rate(load_rater("chat/j", catalog(server.base_url)), rows(3))
    assert ["refusal" in row for row in output] == [False, True, False]
    with FaultServer([Fault("401")]) as server:
        source = [str(write_jsonl(Path("in.jsonl"), rows(3)))]
        stage = RateStage(load_rater("chat/j", catalog(server.base_url)))
        summary = run_rows(stage, source, RunOptions(Path("no.jsonl"), quiet=True, fresh=True))
    assert (summary.exit_code, summary.counts.pending) == (5, 3)


@pytest.mark.parametrize("provider", ["decide", "one"])
def test_a_decision_endpoint_answers_seven_questions_in_one_call(provider: str) -> None:
    def probability(model: str, text: str) -> float:
        document = text.rpartition(">>>")[2]
        if "would mislead" in document:
            return 0.9 if "Item 0." in text else 0.1
        return 0.6

    with FaultServer(answers=Answers(probability=probability)) as server:
        judge = load_rater(f"{provider}/j", catalog(server.base_url))
        output, summary = rate(judge, [*rows(25), *rows(1)])
        assert summary.usage.asked == len(server.calls) == 25
        rate(load_rater(f"{provider}/j", catalog(server.base_url)), rows(25), "two.jsonl")
        assert len(server.calls) == 25
        estimate = forecast(
            plan_run(
                RateStage(judge), ["in.jsonl"], RunOptions(Path("f.jsonl"), quiet=True, fresh=True)
            )
        )
    assert estimate
    assert output[1]["distributions"][OVERALL] == [0.1, 0.1, 0.1, 0.1, 0.6]
    assert output[1]["ratings"] == dict.fromkeys(RATINGS, 4.0)
    assert (output[1][SEVERE], output[1]["severe_invention_probability"]) == (False, 0.1)
    assert (output[0][SEVERE], output[0]["ratings"][OVERALL]) == (True, 2)
    assert output[25] == output[0]


def test_a_declined_question_refuses_the_row() -> None:
    with FaultServer([Fault("refusal", calls=(1,))]) as server:
        output, _ = rate(load_rater("decide/j", catalog(server.base_url)), rows(1))
    assert output == [{"refusal": "the model declined to answer: severe_invention"}]


def test_a_judge_needs_a_key_a_chat_and_seven_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    providers = catalog("http://127.0.0.1:9", max_documents=3)
    with pytest.raises(UsageError, match="7 questions in one call"):
        load_rater("decide/j", providers)
    with pytest.raises(UsageError, match="no such chat model"):
        load_rater("st:minilm", providers)
    with pytest.raises(PrerequisiteError, match="DEEPSEEK_API_KEY"):
        load_rater("deepseek/deepseek-chat", providers)


def rates_or_is_refused(judge: BatchBackend | CallBackend) -> Row:
    (first, same), summary = rate(judge, rows(1) * 2)
    assert first == same
    assert ("ratings" in first) != ("refusal" in first)
    assert 1 <= summary.usage.asked <= 3
    return first


def test_a_model_in_this_process_rates_or_is_refused(tmp_path: Path, small_tokenizer: Path) -> None:
    model = tiny_chat(tmp_path / "model", small_tokenizer)
    judge = load_rater(f"hf:{model}", catalog("http://127.0.0.1:9"), "cpu")
    first = rates_or_is_refused(judge)
    # A second output has its own ledger entries of a local model.
    (rerun,), _ = rate(judge, rows(1), "two.jsonl")
    assert rerun == first


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_small_real_model_rates_or_is_refused() -> None:
    rates_or_is_refused(load_rater("hf:smollm2", catalog("http://127.0.0.1:9"), "cpu"))


def test_a_rating_says_that_the_judge_saw_only_a_part() -> None:
    with FaultServer(answers=Answers(chat=lambda model, text: said())) as server:
        judge = load_rater("chat/j", catalog(server.base_url))
        found, _ = rate(judge, [*rows(1, document="word " * 60_000), *rows(2)[1:]])
    assert [row.get("cut") for row in found] == [True, None]
