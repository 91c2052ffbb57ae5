"""Query synthesis: number of calls, their prompts, dropped queries, and rows."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from prism_cli.domain.synthesis import MAX_TOLD, STYLES, Ask, question
from prism_cli.engine.forecast import forecast
from prism_cli.engine.run_plan import plan_run
from prism_cli.engine.runner import RunOptions, run_rows
from prism_cli.ports import RateLimits, Reply, Usage
from prism_cli.rows.row import text_id
from prism_cli.stages.synthesize import SynthesizeStage
from tests.factories import Row, read_jsonl, write_jsonl

WORDS = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heath")


def distinct(ask: Ask) -> list[str]:
    """Return the requested number of distinct queries."""
    return [f"about {text_id(f'{number} {question(ask)}')}" for number in range(ask.count)]


@dataclass(eq=False)
class Writer:
    """Generator that replies with `say` of each question: queries, a reply, or a value."""

    say: Callable[[Ask, int], Any] = lambda ask, attempt: distinct(ask)
    asked: list[tuple[Ask, int]] = field(default_factory=list)
    spec: str = "fake:writer"
    fingerprint: str = "writer 1"

    def plan(self, payloads: Sequence[Any]) -> list[list[int]]:
        return [[index] for index in range(len(payloads))]

    def answer(self, payloads: Sequence[Any]) -> list[Reply]:
        self.asked += payloads
        return [self._said(self.say(*payload)) for payload in payloads]

    def _said(self, queries: Any) -> Reply:
        if isinstance(queries, list):
            queries = {"queries": queries}
        return queries if isinstance(queries, Reply) else Reply(queries)


class Server(Writer):
    """Remote `Writer`."""

    single = True
    concurrency = 4
    lost_calls = 0
    rate_limits = RateLimits()

    def estimate(self, payloads: Sequence[Any]) -> Usage:
        return Usage()

    async def answer(self, payloads: Sequence[Any]) -> list[Reply]:  # type: ignore[override]
        return super().answer(payloads)

    async def close(self) -> None:
        pass


def stage(writer: Writer, count: int, **more: Any) -> SynthesizeStage:
    return SynthesizeStage(writer, per_instruction=count, **more)


def synthesized(
    rows: Iterable[Row], writer: Writer | None = None, count: int = 20, **more: Any
) -> tuple[list[Row], Any]:
    """Return the output rows and the summary."""
    source = write_jsonl(Path("in.jsonl"), rows)
    options = RunOptions(Path("out.jsonl"), quiet=True, overwrite=True)
    summary = run_rows(stage(writer or Writer(), count, **more), [str(source)], options)
    return read_jsonl(Path("out.jsonl")), summary


def instruction(number: int = 0, **more: Any) -> Row:
    return {"instruction": f"{WORDS[number]} matters", "note": {"kept": number}} | more


def test_a_row_before_and_after() -> None:
    before = instruction(1, language="en", source="mine", query_id="mine")
    (after,), _ = synthesized([before], count=1, styles=("question",))
    (query,) = distinct(Ask("birch matters", "English", "question", 1))
    assert after == {
        "query_id": text_id(query),
        "query": query,
        "instruction": "birch matters",
        "note": {"kept": 1},
        "language": "en",
        "source": "synthesized:fake:writer",
        "query_style": "original",
    }
    assert list(after)[:3] == ["query_id", "query", "instruction"]


def test_every_style_has_its_share_and_later_calls_list_earlier_queries() -> None:
    writer = Writer()
    output, summary = synthesized([instruction()], writer, 40)
    assert len(output) == 40
    asks = [ask for ask, _ in writer.asked]
    assert [ask.count for ask in asks] == [10, 10, 10, 4, 3, 3]
    assert {ask.style for ask in asks[:3]} == {ask.style for ask in asks[3:]} == set(STYLES)
    queries = [row["query"] for row in output]
    assert [list(ask.earlier) for ask in asks] == [queries[:n] for n in (0, 10, 20, 30, 34, 37)]
    keywords = sum(ask.count for ask in asks if ask.style == "keyword")
    assert [row["query_style"] for row in output].count("keyword") == keywords
    assert summary.figures["queries"] == {"asked for": 40, "made": 40, "kept": 40}
    assert set(summary.figures) == {"generator", "queries"}


def test_the_list_of_earlier_queries_is_bounded() -> None:
    writer = Writer()
    synthesized([instruction()], writer, 90, styles=("situation",))
    assert [len(ask.earlier) for ask, _ in writer.asked] == [0, 10, 20, 30, 40, 50, 60, 60, 60]
    assert MAX_TOLD == 60


def test_the_language_is_named_in_the_prompt_and_chinese_queries_are_kept() -> None:
    chinese = ["如何在家清洁深层伤口？", "糖尿病足溃疡最佳敷料是什么？"]
    writer = Writer(lambda ask, attempt: [*chinese, "how to clean a wound"])
    row = {"instruction": "护士会问的伤口护理问题", "language": "zh-CN"}
    output, summary = synthesized([row], writer, 3, styles=("question",))
    assert [item["query"] for item in output] == chinese
    assert {ask.language for ask, _ in writer.asked} == {"Chinese"}
    # The English one is repeated in the call that replaces it, as one too many.
    assert summary.figures["queries"]["left out: another language"] == 1
    assert summary.figures["instructions with fewer than asked for"] == 1


def test_dropped_queries_are_replaced_within_a_limit() -> None:
    def say(ask: Ask, attempt: int) -> list[str]:
        return [*distinct(ask)[: ask.count // 2], "<b>", *ask.earlier[:1]]

    writer = Writer(say)
    output, summary = synthesized([instruction()], writer, 10, styles=("question",))
    assert [ask.count for ask, _ in writer.asked] == [10, 5]
    assert len(output) == 5 + 2
    assert summary.figures["queries"] == {
        "asked for": 10, "made": 6 + 4, "kept": 7, "left out: markup": 2,
        "left out: the same as an earlier one": 1,
    }  # fmt: skip
    assert summary.figures["instructions with fewer than asked for"] == 1


def test_a_style_without_new_queries_ends() -> None:
    writer = Writer(lambda ask, attempt: ["how to clean a wound", "when to change a dressing"])
    output, summary = synthesized([instruction()], writer, 30, styles=("question",))
    assert [len(ask.earlier) for ask, _ in writer.asked] == [0, 2]
    assert len(output) == 2
    assert summary.figures["queries"]["made"] == 4


def test_an_unusable_reply_is_retried_and_then_the_shorter_list_is_kept() -> None:
    def say(ask: Ask, attempt: int) -> Any:
        if ask.style == "keyword":
            return {"unusable": "no array"}
        return distinct(ask) if attempt or ask.style == "situation" else ["<b>"]

    writer = Writer(say)
    output, summary = synthesized([instruction()], writer, 9)
    assert len(output) == 6
    tried = [(ask.style, attempt) for ask, attempt in writer.asked]
    assert sorted(tried) == [
        ("keyword", 0), ("keyword", 1), ("keyword", 2), ("question", 0), ("question", 1),
        ("situation", 0),
    ]  # fmt: skip
    reason = "3 replies that could not be used: 3 x no array"
    assert summary.figures["calls refused"] == {reason: 1}
    assert summary.counts.rejected == 0


def test_a_refused_instruction_is_rejected_with_the_reason() -> None:
    writer = Writer(lambda ask, attempt: Reply({}, refusal="content filter"))
    output, summary = synthesized([instruction(7)], writer)
    assert (output, summary.counts.rejected) == ([], 1)
    (bad,) = read_jsonl(Path("out.jsonl.rejects.jsonl"))
    assert (bad["field"], bad["reason"]) == ("instruction", "content filter")


def test_near_duplicates_across_rows_keep_the_first() -> None:
    replies = {
        "amber matters": ["What is the best dressing for a burn?", "wound care tips elderly home"],
        "birch matters": [
            "What is the best dressing for burns?", "home wound care tips, elderly",
            "what is the best dressing for a burn", "iphone 12 battery life",
        ],
        "cedar matters": ["iphone 13 battery life", "How to clean a scalp wound?"],
    }  # fmt: skip
    writer = Writer(lambda ask, attempt: replies[ask.instruction])
    rows = [instruction(number) for number in range(3)]
    output, summary = synthesized(
        rows, writer, 4, styles=("question",), against=lambda: ["how to clean scalp wounds"]
    )
    assert [(row["query"], row["note"]["kept"]) for row in output] == [
        ("What is the best dressing for a burn?", 0), ("wound care tips elderly home", 0),
        ("iphone 12 battery life", 1), ("iphone 13 battery life", 2),
    ]  # fmt: skip
    figures = summary.figures["queries"]
    assert figures["kept"] == 4
    assert figures["left out: the same or nearly the same as one of --against"] == 1
    left_out = sum(count for name, count in figures.items() if name.startswith("left out"))
    assert figures["made"] == figures["kept"] + left_out
    reordered, _ = synthesized([rows[1], rows[0]], writer, 4, styles=("question",))
    assert [row["query"] for row in reordered] == replies["birch matters"][:2] + replies[
        "birch matters"
    ][3:]


def test_shards_are_deduplicated_separately() -> None:
    Path("in").mkdir()
    for name in ("a", "b"):
        write_jsonl(Path(f"in/{name}.jsonl"), [instruction()])
    options = RunOptions(Path("out"), quiet=True)
    writer = Writer()
    run_rows(stage(writer, 6), ["in"], options)
    first, second = (Path(f"out/{name}.jsonl").read_bytes() for name in ("a", "b"))
    assert first == second
    assert first.count(b"\n") == 6
    assert len(writer.asked) == 6, "a model of this process is asked for each output"
    Path("out/b.jsonl").unlink()
    run_rows(stage(Writer(), 6), ["in"], RunOptions(Path("out"), quiet=True))
    assert Path("out/b.jsonl").read_bytes() == second


def test_another_seed_changes_the_requests() -> None:
    first, other = Writer(), Writer()
    synthesized([instruction()], first, 9)
    synthesized([instruction()], other, 9, seed=1)
    assert len(first.asked) == len(other.asked) == 3
    assert {ask.series for ask, _ in other.asked} == {1}


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ({}, "instruction"), ({"instruction": " "}, "instruction"),
        ({"instruction": 3}, "instruction"),
        ({"instruction": "a", "language": 3}, "language"),
        ({"instruction": "a", "query": "b"}, "query"),
        ({"instruction": "a", "document": "b"}, "document"),
    ],
)  # fmt: skip
def test_an_invalid_instruction_is_rejected(row: Row, field: str) -> None:
    writer = Writer()
    synthesized([row], writer)
    assert [bad["field"] for bad in read_jsonl(Path("out.jsonl.rejects.jsonl"))] == [field]
    assert writer.asked == []


def test_a_forecast_counts_all_calls_and_stored_replies() -> None:
    source = str(write_jsonl(Path("in.jsonl"), [instruction(number) for number in range(3)]))
    options = RunOptions(Path("out.jsonl"), quiet=True, overwrite=True)

    def thought(writer: Writer) -> tuple[int, int]:
        (model,) = forecast(plan_run(stage(writer, 40), [source], options)).models
        return round(model.questions), round(model.paid_before)

    writer = Server()
    assert thought(writer) == (18, 0)
    assert writer.asked == []
    run_rows(stage(writer, 40), [source], options)
    assert len(writer.asked) == 18
    assert thought(Server()) == (18, 18)
    write_jsonl(Path("in.jsonl"), [instruction(number) for number in range(4)])
    assert thought(Server()) == (24, 18)


def test_many_rows_are_deduplicated_in_order() -> None:
    rows = [{"instruction": f"matter {number}"} for number in range(700)]
    writer = Writer(
        lambda ask, attempt: [f"about {ask.instruction.removeprefix('matter ')} things"]
    )
    output, _ = synthesized(rows, writer, 1, styles=("question",))
    assert [row["query"] for row in output] == [f"about {number} things" for number in range(700)]
