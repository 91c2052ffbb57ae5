"""Quality: what stands in rows.jsonl, what is asked, what is refused."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from prism_cli.engine.runner import RunOptions, run_rows
from prism_cli.engine.summary import RunSummary
from prism_cli.errors import MissingDataError
from prism_cli.evaluation.quality.gold_rows import GoldRows
from prism_cli.evaluation.quality.stage import QualityStage
from prism_cli.evaluation.quality.text_figures import FigurePool, Figures
from prism_cli.ports import Reply, Request, request
from prism_cli.rows.verdict_texts import VerdictTexts
from tests.factories import Row, make_pair, read_jsonl, write_jsonl
from tests.fakes import ScriptedBatch

DOCUMENT = "The tower in Paris was built in 1889. It is 330 m high. Eiffel made it."


def pair(number: int = 1, **fields: Any) -> Row:
    return make_pair(number, document=DOCUMENT) | {
        "score": 0.9,
        "predicted_verdict": "yes",
        "predicted_contribution": "When it was built.",
        "predicted_evidence": "The tower in Paris was built in 1889.",
        "format_ok": True,
        **fields,
    }


class Sentences(ScriptedBatch):
    """An extractive generator: the document's last sentence; refuses a blank one."""

    def plan(self, payloads: Any) -> list[list[int]]:
        return [list(range(len(payloads)))]

    def answer(self, payloads: Any) -> list[Reply]:
        self.asked.append([document for (_, _, document), _ in payloads])
        return [
            Reply({"contribution": "c", "evidence": document.split(". ")[-1]})
            if document.strip()
            else Reply({}, "no sentence")
            for (_, _, document), _ in payloads
        ]


def measured(
    rows: list[Row], *stage: Any, gold: list[Row] | None = None, **more: Any
) -> tuple[list[Row], RunSummary]:
    marks = GoldRows([str(write_jsonl(Path("gold.jsonl"), gold))]) if gold else None
    write_jsonl(Path("in.jsonl"), rows)
    summary = run_rows(
        QualityStage(*stage, gold=marks, **more),
        ["in.jsonl"],
        RunOptions(output=Path("rows.jsonl"), quiet=True, max_rejects=1, overwrite=True),
    )
    return read_jsonl(Path("rows.jsonl")), summary


def test_a_yes_is_measured_against_its_document_and_against_people() -> None:
    gold = [{"query_id": "q1", "doc_id": "d1", "answers": ["1889"], "rationales": [DOCUMENT[:37]]}]
    (found,), _ = measured([pair(verdict="no")], gold=gold)
    assert (found["query_id"], found["doc_id"]) == ("q1", "d1")
    quality = found["quality"]
    assert (quality["verdict"], quality["label"], quality["score"]) == ("yes", "no", 0.9)
    assert quality["document_characters"] == len(DOCUMENT)
    assert quality["evidence"]["entities"] == {"number": [1, 1], "name": [1, 1]}
    assert quality["gold"] == {"rows": [1], "answerable": True, "in_document": True}
    assert quality["people"] == {"answer_kept": True, "recall": 1, "precision": 1, "f1": 1}
    assert "texts" not in found


def test_people_count_whatever_a_model_has_labelled() -> None:
    gold = [{"query_id": "q1", "answers": ["1889"], "rationales": [DOCUMENT[:37]]}]
    (found,), _ = measured([pair(verdict="no")], gold=gold)
    assert found["quality"]["people"] == {"answer_kept": True, "recall": 1, "precision": 1, "f1": 1}


def test_a_no_is_not_measured_and_a_yes_without_evidence_keeps_nothing() -> None:
    gold = [{"query_id": f"q{n}", "answers": ["1889"]} for n in (1, 2, 3)]
    nothing = {"predicted_evidence": None, "predicted_contribution": None}
    rows = [
        pair(1, predicted_verdict="no", format_ok=None, **nothing),
        pair(2, format_ok=False, **nothing),
        {name: value for name, value in pair(3).items() if "format" not in name
         and name not in ("predicted_evidence", "predicted_contribution")},
    ]  # fmt: skip
    no, empty, verdict_alone = (row["quality"] for row in measured(rows, gold=gold)[0])
    assert "people" not in no
    assert no["gold"]["in_document"] is True
    assert empty["people"] == {"answer_kept": False}
    assert "evidence" not in empty
    assert (verdict_alone["asked"], "people" in verdict_alone) == (False, False)


def test_baselines_are_measured_likewise() -> None:
    gold = [{"query_id": "q1", "doc_id": "d1", "answers": ["Eiffel"]}]
    sentences = Sentences()
    (found,), _ = measured(
        [pair(predicted_evidence=DOCUMENT[:55])],
        gold=gold,
        baselines=("document", "lead", "extractive"),
        extractive=sentences,
    )
    baselines = found["quality"]["baselines"]
    assert {name: one["answer_kept"] for name, one in baselines.items()} == {
        "document": True, "lead": False, "extractive": True,
    }  # fmt: skip
    assert baselines["lead"]["characters"] == 55
    assert baselines["extractive"]["copied"] == 3
    assert sentences.asked == [[DOCUMENT]]
    assert found["quality"]["people"] == {"answer_kept": False}
    assert found["texts"]["answers"] == ["Eiffel"]


def test_a_judge_is_asked_beside_the_baselines() -> None:
    judge = Sentences(spec="j", fingerprint="j")

    def rate(one: VerdictTexts) -> Generator[Sequence[Request], Sequence[Reply], Mapping[str, Any]]:
        (reply,) = yield [request(judge, (("", "", one.evidence), 0), one.evidence)]
        return {"overall": len(reply.value["evidence"])}

    rows = [pair(1), pair(2, predicted_verdict="no")]
    found, _ = measured(rows, baselines=("extractive",), extractive=Sentences(), rate=rate)
    ratings = [row["quality"].get("rating") for row in found]
    assert ratings == [{"overall": 37}, None]


def test_results_of_a_query_become_a_line_each() -> None:
    yes = {
        "index": 1,
        "relevance_score": 0.9,
        "verdict": "yes",
        "evidence": "B.",
        "format_ok": True,
    }
    no = {"index": 0, "relevance_score": 0.1, "verdict": "no", "evidence": None}
    row = {"query": "q", "query_id": "q1", "documents": ["A.", {"doc_id": "b", "text": "B."}]}
    found, summary = measured(
        [row | {"results": [yes, no]}, row], baselines=("extractive",), extractive=Sentences()
    )
    assert [(one["query_id"], one["quality"]["verdict"]) for one in found] == [
        ("q1", "yes"), ("q1", "no"),
    ]  # fmt: skip
    assert found[0]["doc_id"] == "b"
    assert summary.counts.rejected == 1
    assert summary.figures["pairs"]["verdict yes"] == 1


def test_gold_that_speaks_of_no_row_is_refused_before_any_work() -> None:
    gold = [{"query_id": "q1", "doc_id": "other", "answers": ["x"]}]
    sentences = Sentences()
    with pytest.raises(MissingDataError, match=r"'other'.*query_id 'q1', doc_id 'd1'"):
        measured([pair()], gold=gold, baselines=("extractive",), extractive=sentences)
    assert sentences.asked == []
    assert not Path("rows.jsonl").exists()


@pytest.mark.parametrize(
    ("fields", "gold", "shown"),
    [
        ({}, {}, False),
        ({"predicted_evidence": "It cost 77 francs."}, {}, True),
        ({}, {"answerable": False}, True),
        ({}, {"answers": ["330 m"]}, True),
        ({"predicted_verdict": "no"}, {"answers": ["330 m"]}, False),
    ],
)
def test_texts_stand_where_something_looks_wrong(
    fields: dict[str, Any], gold: dict[str, Any], shown: bool
) -> None:
    marks = [{"query_id": "q1", "doc_id": "d1", "answerable": True} | gold]
    (found,), _ = measured([pair(**fields, document=DOCUMENT + " x" * 500)], gold=marks)
    assert ("texts" in found) is shown
    assert all(len(text) <= 800 for text in found.get("texts", {}).values())


@pytest.mark.parametrize(
    "evidence",
    [
        "",
        " ",
        "A b. " * 4_000,
        "天" * 20_000,
        "\x01\x02 x",
        "\u0300" * 1000,
        '"' * 9999,
        "1," * 9999,
    ],
    ids=range(8),
)
@pytest.mark.parametrize("document", ["", "天地玄黄。", DOCUMENT])
def test_hostile_texts_are_measured_like_others(evidence: str, document: str) -> None:
    gold = [{"query_id": "q1", "doc_id": "d1", "answers": ["天地"], "rationales": ["玄黄。"]}]
    (found,), _ = measured(
        [pair(document=document, predicted_evidence=evidence)], gold=gold, baselines=("lead",)
    )
    assert found["quality"]["people"]["answer_kept"] is False
    assert found["quality"]["baselines"]["lead"]["answer_kept"] is document.startswith("天")


def test_labels_and_verdicts_that_contradict_each_other_are_told_and_stay() -> None:
    rows = [pair(verdict="yes"), pair(verdict="no"), pair(predicted_verdict="no"), pair(2)]
    found, summary = measured(rows)
    assert len(found) == 4
    assert summary.figures["rows that contradict an earlier one of their pair, none left out"] == 2
    named = summary.figures["contradictory, such as"]
    assert "in.jsonl:1 (query_id 'q1', doc_id 'd1': label yes) and in.jsonl:2 " in named
    assert "in.jsonl:1 (query_id 'q1', doc_id 'd1': verdict yes) and in.jsonl:3 " in named


def test_pairs_that_are_repeated_with_the_same_verdict_are_told_nothing_of() -> None:
    assert measured([pair(), pair(), pair(verdict="no")])[1].figures.keys() == {"pairs"}


GROUNDED = {
    "evidence_origin": "repaired",
    "evidence_generated": "The tower in Paris was built in 1890.",
    "predicted_citations": [
        {"start": 0, "end": 36, "field": "document", "source_start": 0, "source_end": 36}
    ],
}


def test_a_grounded_text_is_measured_beside_the_models_own() -> None:
    gold = [
        {
            "query_id": "q1",
            "answers": ["1889"],
            "rationales": ["The tower in Paris was built in 1889."],
        }
    ]
    (row,), _ = measured([pair(**GROUNDED)], gold=gold)
    quality = row["quality"]
    assert quality["grounding"] == {"origin": "repaired", "cited": 36, "precision": 1.0}
    assert quality["people"]["answer_kept"] is True
    generated = quality["baselines"]["generated"]
    assert generated["answer_kept"] is False
    assert generated["entities"]["number"] == [0, 1]
    assert quality["evidence"]["entities"]["number"] == [1, 1]


def test_an_extracted_text_stands_for_one_that_keeps_nothing() -> None:
    extracted = GROUNDED | {"evidence_origin": "extracted", "evidence_generated": None}
    (row,), _ = measured([pair(**extracted)], gold=[{"query_id": "q1", "answers": ["1889"]}])
    assert row["quality"]["baselines"]["generated"] == {"answer_kept": False}


def test_rows_without_grounding_have_no_such_measures() -> None:
    (row,), _ = measured([pair()])
    assert "grounding" not in row["quality"]
    assert "baselines" not in row["quality"]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"evidence_origin": "invented"}, "evidence_origin"),
        ({"predicted_citations": "all"}, "predicted_citations"),
        ({"predicted_citations": [7]}, "predicted_citations"),
        ({"predicted_citations": [{"start": 0, "end": 900}]}, "predicted_citations"),
        (
            {"predicted_citations": [{"start": 0, "end": 9, "field": "body"}]},
            "predicted_citations",
        ),
        (
            {
                "predicted_citations": [
                    {"start": 0, "end": 900, "field": "title", "source_start": 0, "source_end": 1}
                ]
            },
            "predicted_citations[0].start",
        ),
        (
            {
                "predicted_citations": [
                    {"start": 0, "end": 9, "field": "title", "source_start": 0, "source_end": 1}
                ]
            },
            "predicted_citations[0].source_start",
        ),
    ],
)
def test_citations_outside_their_texts_are_rejected(fields: Row, field: str) -> None:
    rows, summary = measured([pair(**GROUNDED | fields)])
    assert not rows
    assert field in str(summary.reject_examples)


def test_texts_measured_in_other_processes_give_the_same_bytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("prism_cli.engine.shard.WINDOW_ROWS", 4)
    broken = Row(document=DOCUMENT)
    rows = [*map(pair, range(1, 4)), broken]
    results = [
        {"index": 0, "relevance_score": 0.9, "logit": 2.0, "verdict": "yes", "contribution": "c",
         "evidence": "It is 331 m high.", "format_ok": True},
    ]  # fmt: skip
    rows += [{"query_id": "docs", "query": "q", "documents": [DOCUMENT], "results": results}]
    rows += [broken, pair(8001, predicted_evidence="Le tour."), pair(8002, predicted_verdict="no")]
    plain, _ = measured(rows, baselines=("lead",))
    with closing(FigurePool(processes=1)) as pool:
        assert measured(rows, baselines=("lead",), pool=pool)[0] == plain
    with closing(CountingPool(processes=2)) as pool:
        assert measured(rows, baselines=("lead",), pool=pool)[0] == plain
        assert pool.taken == 3  # the rows of the second window; the first is not worth it
        assert pool._executor is not None
        next(iter(pool._executor._processes.values())).kill()
        assert measured(rows, baselines=("lead",), pool=pool)[0] == plain


class CountingPool(FigurePool):
    """A pool that counts the lines that were measured in other processes."""

    taken = 0

    def take(self, place: tuple[str, int]) -> list[Figures] | None:
        figures = super().take(place)
        self.taken += figures is not None
        return figures
