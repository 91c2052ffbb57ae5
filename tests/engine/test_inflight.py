"""Rows of a window advance singly, except to models that see them together."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from prism_cli.engine.runner import RunOptions, run_rows
from prism_cli.errors import ProviderError
from prism_cli.ports import Reply
from tests.factories import make_pairs, read_jsonl, write_jsonl
from tests.fakes import ScoreStage, ScriptedBatch, ScriptedCalls

COUNT = 12
TEXTS = [pair["document"] for pair in make_pairs(COUNT)]
Backend = ScriptedCalls | ScriptedBatch


def ran(tmp_path: Path, *backends: Backend, name: str = "out", pairs: Any = None) -> bytes:
    given = write_jsonl(tmp_path / "in.jsonl", pairs or make_pairs(COUNT))
    output = tmp_path / name / "out.jsonl"
    output.parent.mkdir(exist_ok=True)
    run_rows(ScoreStage(*backends), [str(given)], RunOptions(output=output, quiet=True))
    return output.read_bytes() if output.exists() else b""


class Packing(ScriptedCalls):
    """Three questions a call."""

    single = False

    def plan(self, payloads: Sequence[Any]) -> list[list[int]]:
        return [list(range(i, min(i + 3, len(payloads)))) for i in range(0, len(payloads), 3)]

    async def answer(self, payloads: Sequence[Any]) -> list[Reply]:
        self.packs = [*getattr(self, "packs", []), list(payloads)]
        return await super().answer(payloads)


def test_a_row_goes_on_while_another_waits(tmp_path: Path) -> None:
    released = asyncio.Event()
    slow, second = TEXTS[0], ScriptedCalls(fingerprint="second", concurrency=COUNT)

    class Holding(ScriptedCalls):
        async def answer_one(self, payload: str) -> Reply:
            if payload == slow:
                await asyncio.wait_for(released.wait(), 20)
            return await super().answer_one(payload)

    def at(count: int) -> None:
        if count == COUNT - 1:  # all others went through both before the slow one was answered
            released.set()

    second.after_call = at
    first = Holding(fingerprint="first")
    ran(tmp_path, first, second)
    assert second.asked[-1] == slow
    assert sorted(second.asked) == sorted(TEXTS)


def test_the_rows_are_those_of_any_order(tmp_path: Path) -> None:
    def backends(seconds: Callable[[int], float]) -> list[ScriptedCalls]:
        script = {text: [seconds(n)] for n, text in enumerate(TEXTS)}
        return [
            ScriptedCalls(fingerprint=str(n), script={k: list(v) for k, v in script.items()})
            for n in range(3)
        ]

    rising = ran(tmp_path, *backends(lambda n: 0.002 * n), name="a")
    assert ran(tmp_path, *backends(lambda n: 0.03 - 0.002 * n), name="b") == rising
    assert len(read_jsonl(tmp_path / "a" / "out.jsonl")) == COUNT


def test_models_that_see_rows_together_wait_for_all(tmp_path: Path) -> None:
    def asked(slow: str) -> tuple[list[list[str]], list[list[str]]]:
        first = ScriptedCalls(fingerprint="first", script={slow: [0.2]})
        packing, local = Packing(fingerprint="packs"), ScriptedBatch(batch_rows=5)
        ran(tmp_path, first, packing, ScriptedCalls(fingerprint="third"), local, name=slow[:6])
        return packing.packs, local.asked

    packs, batches = asked(TEXTS[0])
    assert packs == [TEXTS[i : i + 3] for i in range(0, COUNT, 3)]
    assert [len(batch) for batch in batches] == [5, 5, 2]
    assert asked(TEXTS[7]) == (packs, batches)


def test_equal_questions_at_different_steps_are_asked_once(tmp_path: Path) -> None:
    """One row asks first what the other asks second, while the first is under way."""

    class Crossing(ScoreStage):
        def work(self, row: Any) -> Any:
            order = self.backends if row["query_id"] == "q0" else self.backends[::-1]
            twin = ScoreStage(*order)
            return twin.work(row)

    first, second = ScriptedCalls(fingerprint="one", seconds=0.2), ScriptedCalls(fingerprint="two")
    pairs = [pair | {"document": "The same."} for pair in make_pairs(2)]
    given = write_jsonl(tmp_path / "in.jsonl", pairs)
    options = RunOptions(output=tmp_path / "out.jsonl", quiet=True)
    assert run_rows(Crossing(first, second), [str(given)], options).counts.done == 2
    assert (first.asked, second.asked) == (["The same."], ["The same."])


def test_a_row_without_its_second_reply_is_pending_alone(tmp_path: Path) -> None:
    second = ScriptedCalls(fingerprint="second", script={TEXTS[3]: [ProviderError("503")]})
    assert ran(tmp_path, ScriptedCalls(fingerprint="first"), second) == b""
    again = ScriptedCalls(fingerprint="second")
    assert len(ran(tmp_path, ScriptedCalls(fingerprint="first"), again).splitlines()) == COUNT
    assert again.asked == [TEXTS[3]]
