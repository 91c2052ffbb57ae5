"""Distill: who is asked, what is kept, what becomes of a row."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from prism_cli.domain.calibration import Calibration
from prism_cli.engine.runner import RunOptions, RunSummary, run_rows
from prism_cli.ports import Reply
from prism_cli.stages.distill import DistillStage
from tests.factories import Row, make_pair, read_jsonl, write_jsonl
from tests.fakes import ScriptedBatch, ScriptedCalls, score_of


class PairTeacher(ScriptedBatch):
    """Scores by the document alone."""

    def plan(self, payloads: Any) -> list[list[int]]:
        return [list(range(len(payloads)))]

    def answer(self, payloads: Any) -> list[Reply]:
        return super().answer([document for _, document in payloads])


class PairWriter(PairTeacher):
    """Writes the document in capitals; refuses a blank one."""

    def answer(self, payloads: Any) -> list[Reply]:
        self.asked.append([document for _, document in payloads])
        return [
            Reply({"contribution": f"On {query}.", "evidence": document.upper()})
            if document.strip()
            else Reply({}, "no sentence")
            for query, document in payloads
        ]


def teacher(spec: str = "t:one") -> PairTeacher:
    return PairTeacher(spec=spec, fingerprint=spec)


def writer() -> PairWriter:
    return PairWriter(spec="w", fingerprint="w")


def distilled(
    rows: list[Row], stage: DistillStage, *, name: str = "out.jsonl", **options: Any
) -> tuple[list[Row], RunSummary]:
    write_jsonl(Path("in.jsonl"), rows)
    out = Path(name)
    summary = run_rows(
        stage, ["in.jsonl"], RunOptions(output=out, quiet=True, max_rejects=1, **options)
    )
    return read_jsonl(out), summary


def test_score_is_the_calibrated_mean_and_other_fields_travel() -> None:
    row = make_pair(1, title="Title")
    teachers = [teacher("t:one"), PairTeacher(spec="t:two", fingerprint="t:two")]
    (found,), summary = distilled([row], DistillStage(teachers, Calibration(2.0, "given")))
    text = f"Title {row['document']}"
    assert teachers[0].asked == [[text]]
    assert found["teacher_scores"] == {"t:one": score_of(text), "t:two": score_of(text)}
    assert found["teacher_score"] == pytest.approx(score_of(text) ** 2, abs=1e-6)
    assert list(found) == [*row, "teacher_scores", "teacher_score"]
    assert {name: found[name] for name in row} == row
    assert summary.usage.asked == 2


def test_scores_in_the_row_are_kept_and_complemented() -> None:
    rows = [
        make_pair(1, teacher_scores={"t:one": 0.25, "other": 1.0}),
        make_pair(2, teacher_scores={"t:one": 0.5, "t:two": 1.0}),
    ]
    one, two = teacher("t:one"), teacher("t:two")
    (first, second), summary = distilled(rows, DistillStage([one, two]))
    new = score_of(rows[0]["document"])
    assert first["teacher_scores"] == {"t:one": 0.25, "other": 1.0, "t:two": new}
    assert first["teacher_score"] == pytest.approx((0.25 + new) / 2, abs=1e-6)
    assert second["teacher_scores"] == rows[1]["teacher_scores"]
    assert second["teacher_score"] == 0.75
    assert (one.asked, two.asked) == ([], [[rows[0]["document"]]])
    assert summary.figures["scores already there, kept"] == 3


def test_only_yes_without_texts_is_written() -> None:
    rows = [
        make_pair(1, verdict="yes"),
        make_pair(2, verdict="no"),
        make_pair(3) | {"verdict": None},
        make_pair(4),
        make_pair(5, verdict="yes", contribution="Old.", evidence="Old too.", generator="paid"),
        make_pair(6, verdict="yes", contribution="Old.", evidence=" "),
        make_pair(7, verdict="yes", title="Title", generation_error="of before"),
    ]
    generator = writer()
    found, summary = distilled(rows, DistillStage(generator=generator))
    assert found[1:5] == rows[1:5]
    assert generator.asked == [[rows[at]["document"] for at in (0, 5, 6)]]
    for at in (0, 5, 6):
        assert found[at]["evidence"] == rows[at]["document"].upper()
        assert found[at]["contribution"] == f"On {rows[at]['query']}."
        assert found[at]["generator"] == "w"
        assert "generation_error" not in found[at]
    assert "teacher_score" not in found[0]
    assert summary.figures["texts"] == {
        "written": 3,
        "already there, kept": 1,
        "not written": 0,
        "verdict not yes": 3,
    }


def test_row_without_a_text_stays_and_says_why() -> None:
    (found,), summary = distilled(
        [make_pair(1, verdict="yes", document=" ")], DistillStage(generator=writer())
    )
    assert found["generation_error"] == "no sentence"
    assert "evidence" not in found
    assert summary.figures["texts"]["not written"] == 1  # type: ignore[index]


def test_both_in_one_pass() -> None:
    rows = [make_pair(1, verdict="yes"), make_pair(2, verdict="no")]
    found, _ = distilled(rows, DistillStage([teacher()], generator=writer()))
    assert [row["teacher_score"] for row in found] == [
        pytest.approx(score_of(row["document"]), abs=1e-6) for row in rows
    ]
    assert ["evidence" in row for row in found] == [True, False]


def test_no_score_from_a_teacher_rejects_the_row() -> None:
    class Refusing(PairTeacher):
        def answer(self, payloads: Any) -> list[Reply]:
            return [Reply({}, "too long") for _ in payloads]

    refusing = Refusing(spec="t:no", fingerprint="no")
    found, summary = distilled(
        [make_pair(1, verdict="yes")], DistillStage([refusing], None, writer())
    )
    assert found == []
    (rejected,) = read_jsonl(Path("out.jsonl.rejects.jsonl"))
    assert rejected["reason"] == "t:no gave no score: too long"
    assert summary.counts.rejected == 1


@pytest.mark.parametrize(
    ("changed", "field", "told"),
    [
        ({"teacher_scores": [0.5]}, "teacher_scores", "expected an object"),
        ({"teacher_scores": {"t:one": "0.5"}}, "teacher_scores.t:one", "expected a number"),
        ({"teacher_scores": {"t:two": 1.5}}, "teacher_scores.t:two", "in [0, 1], found 1.5"),
        ({"verdict": "maybe"}, "verdict", 'expected "yes", "no" or null'),
        ({"verdict": True}, "verdict", 'expected "yes", "no" or null'),
        ({"verdict": ["yes"]}, "verdict", 'expected "yes", "no" or null'),
        ({"verdict": "yes", "evidence": 5}, "evidence", "expected a string"),
        ({"query": " "}, "query", "blank"),
        ({"document": None}, "document", "no such field"),
    ],
)
def test_unfit_row_is_rejected_by_field(changed: Row, field: str, told: str) -> None:
    rows = [make_pair(0), make_pair(1, **changed), make_pair(2)]
    found, _ = distilled(rows, DistillStage([teacher()], generator=writer()))
    assert [row["query_id"] for row in found] == ["q0", "q2"]
    (rejected,) = read_jsonl(Path("out.jsonl.rejects.jsonl"))
    assert (rejected["line"], rejected["field"]) == (2, field)
    assert told in rejected["reason"]


def test_null_scores_are_none() -> None:
    (found,), _ = distilled([make_pair(1) | {"teacher_scores": None}], DistillStage([teacher()]))
    assert found["teacher_scores"] == {"t:one": score_of(make_pair(1)["document"])}


def test_summary_tells_scores_and_how_far_they_go_with_verdicts() -> None:
    scored = [(0.9, "yes"), (0.8, "yes"), (0.3, "yes"), (0.4, "no"), (0.1, "no")]
    rows = [
        make_pair(number, teacher_scores={"t:one": score}, verdict=verdict)
        for number, (score, verdict) in enumerate(scored)
    ]
    stage = DistillStage([teacher()], Calibration(0.5, "given"), figures={"calibration": "told"})
    _, summary = distilled(rows, stage)
    raw, calibrated = summary.figures["scores"]
    assert summary.figures["calibration"] == "told"
    assert (raw["teacher"], raw["agreement"], raw["AUC"]) == ("t:one", 0.8, 0.8333)
    assert (calibrated["teacher"], calibrated["agreement"]) == ("teacher_score", 0.8)
    assert summary.figures["teacher_score from"]["0.90"] == 1  # type: ignore[index]


def test_a_server_is_a_teacher_too() -> None:
    class Calls(ScriptedCalls):
        async def answer(self, payloads: Any) -> list[Reply]:
            await asyncio.sleep(0)
            return [Reply({"score": score_of(text)}) for _, text in payloads]

    (found,), _ = distilled([make_pair(1)], DistillStage([Calls(spec="v/x")]))
    assert found["teacher_scores"] == {"v/x": score_of(make_pair(1)["document"])}


def test_equal_pairs_are_asked_once_and_a_second_run_asks_nothing() -> None:
    rows = [make_pair(1), make_pair(1), make_pair(2)]
    one = teacher()
    first, summary = distilled(rows, DistillStage([one]))
    assert (summary.usage.asked, summary.usage.shared) == (2, 1)
    again, summary = distilled(rows, DistillStage([teacher()]), overwrite=True)
    assert (summary.usage.asked, again) == (0, first)
