"""Distillation: requests, kept values, and outcomes of rows."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from prism_cli.domain.calibration import Calibration
from prism_cli.domain.source_labels import SourceLabelJudge, SourceLabelTeacher
from prism_cli.engine.runner import RunOptions, run_rows
from prism_cli.engine.summary import RunSummary
from prism_cli.ports import Reply
from prism_cli.shards.paid_rows import PaidRows
from prism_cli.stages.distill import DistillStage
from tests.factories import Row, make_pair, make_pairs, read_jsonl, write_jsonl
from tests.fakes import ScriptedBatch, ScriptedCalls, score_of


class PairTeacher(ScriptedBatch):
    """Teacher whose score depends on the document only."""

    def plan(self, payloads: Any) -> list[list[int]]:
        return [list(range(len(payloads)))]

    def answer(self, payloads: Any) -> list[Reply]:
        return super().answer([document for _, document in payloads])


class PairWriter(PairTeacher):
    """Generator that gives scripted replies, then the document in capitals; refuses a blank one."""

    def __init__(self, *faults: Any) -> None:
        super().__init__(spec="w", fingerprint="w")
        self.faults = faults

    def answer(self, payloads: Any) -> list[Reply]:
        self.asked.append([document for (_, _, document), _ in payloads])
        return [self.one(*payload) for payload in payloads]

    def one(self, texts: tuple[str, str, str], attempt: int) -> Reply:
        query, _, document = texts
        if attempt < len(self.faults):
            fault = self.faults[attempt]
            return Reply({"unusable": fault} if isinstance(fault, str) else fault)
        if not document.strip():
            return Reply({}, "no sentence")
        return Reply({"contribution": f"On {query}.", "evidence": document.upper()})


def teacher(spec: str = "t:one") -> PairTeacher:
    return PairTeacher(spec=spec, fingerprint=spec)


def distilled(
    rows: list[Row], stage: DistillStage, *, name: str = "out.jsonl", **options: Any
) -> tuple[list[Row], RunSummary]:
    write_jsonl(Path("in.jsonl"), rows)
    out = Path(name)
    summary = run_rows(
        stage, ["in.jsonl"], RunOptions(output=out, quiet=True, max_rejects=1, **options)
    )
    return read_jsonl(out), summary


def test_the_score_is_the_calibrated_mean_and_other_fields_are_kept() -> None:
    row = make_pair(1, title="Title")
    teachers = [teacher("t:one"), PairTeacher(spec="t:two", fingerprint="t:two")]
    (result,), summary = distilled([row], DistillStage(teachers, Calibration(2.0, "given")))
    text = f"Title {row['document']}"
    assert teachers[0].asked == [[text]]
    assert result["teacher_scores"] == {"t:one": score_of(text), "t:two": score_of(text)}
    assert result["teacher_score"] == pytest.approx(score_of(text) ** 2, abs=1e-6)
    assert list(result) == [*row, "teacher_scores", "teacher_score"]
    assert {name: result[name] for name in row} == row
    assert summary.usage.asked == 2


def test_scores_in_the_row_are_kept_and_complemented() -> None:
    rows = [
        make_pair(1, teacher_scores={"t:one": 0.25, "other": 1.0}),
        make_pair(2, teacher_scores={"t:one": 0.5, "t:two": 1.0}),
    ]
    teacher_one, two = teacher("t:one"), teacher("t:two")
    (first, second), summary = distilled(rows, DistillStage([teacher_one, two]))
    new = score_of(rows[0]["document"])
    assert first["teacher_scores"] == {"t:one": 0.25, "other": 1.0, "t:two": new}
    assert first["teacher_score"] == pytest.approx((0.25 + new) / 2, abs=1e-6)
    assert second["teacher_scores"] == rows[1]["teacher_scores"]
    assert second["teacher_score"] == 0.75
    assert (teacher_one.asked, two.asked) == ([], [[rows[0]["document"]]])
    assert summary.figures["scores already there, kept"] == 3


def test_the_rows_own_label_is_a_teacher_beside_others() -> None:
    labels = SourceLabelTeacher(SourceLabelJudge("source:2", 2))
    other = teacher()
    rows = [
        make_pair(1, source_label="2"),
        make_pair(2, source_label="1"),
        make_pair(3, source_label="1", teacher_scores={"source:2": 1.0}),
        make_pair(4),
    ]
    output, summary = distilled(rows, DistillStage([labels, other]))
    texts = [row["document"] for row in rows[:3]]
    own_scores = [1.0, 0.0, 1.0]
    assert [row["teacher_scores"] for row in output] == [
        {"source:2": mine, "t:one": score_of(text)}
        for mine, text in zip(own_scores, texts, strict=True)
    ]
    assert [row["teacher_score"] for row in output] == pytest.approx(
        [(mine + score_of(text)) / 2 for mine, text in zip(own_scores, texts, strict=True)],
        abs=1e-6,
    )
    assert other.asked == [texts]  # the fourth row, without a label, is rejected unasked
    assert (summary.counts.rejected, summary.figures["scores already there, kept"]) == (1, 1)


def test_a_score_without_a_teacher_does_not_replace_the_rows_label() -> None:
    row = make_pair(1, source_label="1")
    paid = PaidRows([("old.jsonl", make_pair(1, teacher_score=0.3))])
    labels = SourceLabelTeacher(SourceLabelJudge("source", 1))
    (result,), _ = distilled([row], DistillStage([labels, teacher()], paid=paid))
    assert result["teacher_scores"] == {"source": 1.0, "t:one": score_of(row["document"])}


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
    generator = PairWriter()
    output, summary = distilled(rows, DistillStage(generator=generator))
    assert output[1:5] == rows[1:5]
    assert generator.asked == [[rows[at]["document"] for at in (0, 5, 6)]]
    for at in (0, 5, 6):
        assert output[at]["evidence"] == rows[at]["document"].upper()
        assert output[at]["contribution"] == f"On {rows[at]['query']}."
        assert output[at]["generator"] == "w"
        assert "generation_error" not in output[at]
    assert "teacher_score" not in output[0]
    assert summary.figures["texts"] == {
        "written": 3,
        "already there, kept": 1,
        "not written": 0,
        "verdict not yes": 3,
    }


def test_a_row_without_a_text_is_kept_with_the_reason() -> None:
    (result,), summary = distilled(
        [make_pair(1, verdict="yes", document=" ")], DistillStage(generator=PairWriter())
    )
    assert result["generation_error"] == "a blank document"
    assert "evidence" not in result
    assert summary.figures["texts"]["not written"] == 1  # type: ignore[index]


def test_a_blank_document_sends_no_request() -> None:
    scorer, generator = teacher(), PairWriter()
    rows = [make_pair(n, verdict="yes", document=text) for n, text in enumerate(["\u200b", "d"])]
    (blank, result), _ = distilled(rows, DistillStage([scorer], generator=generator))
    assert (scorer.asked, generator.asked) == ([["d"]], [["d"]])
    assert (blank["teacher_scores"], blank["teacher_score"]) == ({"t:one": 0.0}, 0.0)
    assert result["evidence"] == "D"


@pytest.mark.parametrize(
    "texts",
    [
        {"contribution": "It says so.", "evidence": "No;"},
        {"contribution": "N/A", "evidence": "It was built."},
        {"contribution": "It says so.", "evidence": "\u200b\u3164"},
    ],
)
def test_texts_without_content_are_retried(texts: dict[str, str]) -> None:
    row = make_pair(1, verdict="yes", **texts)
    (result,), summary = distilled([row], DistillStage(generator=PairWriter()))
    assert result["evidence"] == row["document"].upper()
    assert summary.figures["texts"]["already there, kept"] == 0  # type: ignore[index]
    paid = PaidRows([("old.jsonl", row)])
    generator = PairWriter()
    changed = make_pair(1, verdict="yes")
    (result,), _ = distilled(
        [changed], DistillStage(generator=generator, paid=paid), overwrite=True
    )
    assert result["evidence"] == row["document"].upper()


def test_unusable_replies_are_retried() -> None:
    generator = PairWriter("too long", "no form", "too long")
    row = make_pair(1, verdict="yes")
    (result,), summary = distilled([row], DistillStage([teacher()], generator=generator))
    assert generator.asked == [[row["document"]]] * 4
    assert result["evidence"] == row["document"].upper()
    assert "teacher_score" in result
    assert summary.usage.asked == 5
    generator = PairWriter("never", "asked")
    distilled([row], DistillStage(generator=generator), overwrite=True)
    assert generator.asked == []  # all four are in the ledger


def test_after_all_attempts_the_row_has_the_reasons_with_their_counts() -> None:
    generator = PairWriter("too long", "no form", "too long", "too long", "never asked")
    row = make_pair(1, verdict="yes", evidence="")
    (result,), summary = distilled([row], DistillStage(generator=generator))
    assert result["generation_error"] == (
        "4 replies that could not be used: 3 x too long; 1 x no form"
    )
    assert (result["generator"], result["evidence"]) == ("w", "")
    assert "contribution" not in result
    assert summary.exit_code == 0
    assert summary.figures["texts"]["not written"] == 1  # type: ignore[index]
    assert summary.figures["why texts were not written"] == [
        {"generator": "w", "rows": 1, "why": result["generation_error"]}
    ]
    assert "entities of the evidence written" not in summary.figures


def test_evidence_with_invented_content_is_retried() -> None:
    made_up = {"contribution": "C.", "evidence": "It was made by Maria Curie in 1903 for 5 kg."}
    true = {"contribution": "C.", "evidence": "It was made in 1903."}
    row = make_pair(1, verdict="yes", document="It was made in 1903, by hand, at home.")
    generator = PairWriter(made_up, true)
    (result,), summary = distilled([row], DistillStage(generator=generator))
    assert result["evidence"] == made_up["evidence"]
    figures: Any = summary.figures["entities of the evidence written"]
    assert [tuple(line.values()) for line in figures] == [
        ("number", 2, 1, 0.5),
        ("name", 1, 0, 0.0),
        ("all", 3, 1, 0.3333),
    ]
    (held,), summary = distilled(
        [row], DistillStage(generator=generator, min_fidelity=0.9), overwrite=True
    )
    assert held["evidence"] == true["evidence"]
    assert summary.usage.asked == 1  # the first reply was paid for and is in the ledger
    generator = PairWriter(*[made_up] * 4)
    (failed,), _ = distilled(
        [row | {"query": "another"}], DistillStage(generator=generator, min_fidelity=0.9),
        overwrite=True,
    )  # fmt: skip
    assert failed["generation_error"].startswith(
        "4 replies that could not be used: 4 x fidelity 0.33 below 0.9, not in the document: "
    )
    assert "Maria Curie" in failed["generation_error"]


def test_texts_of_the_same_generator_are_reused() -> None:
    texts = {"contribution": "Paid.", "evidence": "Paid for in 1903."}
    rows = make_pairs(4, verdict="yes", title="Of 1903")
    rows[3] |= {"teacher_scores": {}, "reused": {"votes.j": "votes.jsonl"}}
    old = [
        rows[0] | texts | {"generator": "w"},
        rows[1] | texts | {"generator": "other"},
        rows[2] | texts | {"generator": "w", "evidence": "Made up in 1800."},
        rows[3] | texts | {"generator": "w", "teacher_scores": {"t:one": 0.5}},
    ]
    generator = PairWriter()
    stage = DistillStage(
        [teacher()],
        generator=generator,
        paid=PaidRows(("old.jsonl", row) for row in old),
        min_fidelity=0.5,
    )
    output, summary = distilled(rows, stage)
    assert [row["evidence"] for row in output] == [
        texts["evidence"],
        rows[1]["document"].upper(),
        rows[2]["document"].upper(),
        texts["evidence"],
    ]
    assert {row["generator"] for row in output} == {"w"}
    assert output[0]["reused"] == {"texts": "old.jsonl"}
    assert "reused" not in output[1]
    assert output[3]["reused"] == {
        "votes.j": "votes.jsonl",
        "texts": "old.jsonl",
        "teacher_scores.t:one": "old.jsonl",
    }
    figures: Any = summary.figures["texts"]
    assert (figures["written"], figures["taken over from --reuse"]) == (2, 2)


def test_a_title_is_part_of_the_generators_request() -> None:
    class Titled(PairWriter):
        def one(self, texts: tuple[str, str, str], attempt: int) -> Reply:
            return Reply({"contribution": "C.", "evidence": texts[1] or "none"})

    rows = [make_pair(1, verdict="yes"), make_pair(1, doc_id="t", verdict="yes", title="Title")]
    output, _ = distilled(rows, DistillStage(generator=Titled()))
    assert [row["evidence"] for row in output] == ["none", "Title"]


def test_a_forecast_counts_teachers_and_the_first_reply_of_the_generator() -> None:
    stage = DistillStage([teacher()], generator=PairWriter())
    specs = [
        request.backend.spec for request, _ in stage.forecast_requests(make_pair(1, verdict="yes"))
    ]
    assert specs == ["t:one", "w"]


def test_scores_and_texts_in_one_pass() -> None:
    rows = [make_pair(1, verdict="yes"), make_pair(2, verdict="no")]
    output, _ = distilled(rows, DistillStage([teacher()], generator=PairWriter()))
    assert [row["teacher_score"] for row in output] == [
        pytest.approx(score_of(row["document"]), abs=1e-6) for row in rows
    ]
    assert ["evidence" in row for row in output] == [True, False]


def test_no_score_from_a_teacher_rejects_the_row() -> None:
    class Refusing(PairTeacher):
        def answer(self, payloads: Any) -> list[Reply]:
            return [Reply({}, "too long") for _ in payloads]

    refusing = Refusing(spec="t:no", fingerprint="no")
    output, summary = distilled(
        [make_pair(1, verdict="yes")], DistillStage([refusing], None, PairWriter())
    )
    assert output == []
    (rejected,) = read_jsonl(Path("out.jsonl.rejects.jsonl"))
    assert rejected["reason"] == "t:no gave no score: too long"
    assert summary.counts.rejected == 1


@pytest.mark.parametrize(
    ("changed", "field", "message"),
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
def test_unfit_row_is_rejected_by_field(changed: Row, field: str, message: str) -> None:
    rows = [make_pair(0), make_pair(1, **changed), make_pair(2)]
    output, _ = distilled(rows, DistillStage([teacher()], generator=PairWriter()))
    assert [row["query_id"] for row in output] == ["q0", "q2"]
    (rejected,) = read_jsonl(Path("out.jsonl.rejects.jsonl"))
    assert (rejected["line"], rejected["field"]) == (2, field)
    assert message in rejected["reason"]


def test_null_scores_are_absent() -> None:
    (result,), _ = distilled([make_pair(1) | {"teacher_scores": None}], DistillStage([teacher()]))
    assert result["teacher_scores"] == {"t:one": score_of(make_pair(1)["document"])}


def test_the_summary_has_score_figures_and_their_agreement_with_verdicts() -> None:
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

    (result,), _ = distilled([make_pair(1)], DistillStage([Calls(spec="v/x")]))
    assert result["teacher_scores"] == {"v/x": score_of(make_pair(1)["document"])}


def test_equal_pairs_are_requested_once_and_a_second_run_sends_nothing() -> None:
    rows = [make_pair(1), make_pair(1), make_pair(2)]
    scorer = teacher()
    first, summary = distilled(rows, DistillStage([scorer]))
    assert (summary.usage.asked, summary.usage.shared) == (2, 1)
    rerun, summary = distilled(rows, DistillStage([teacher()]), overwrite=True)
    assert (summary.usage.asked, rerun) == (0, first)
