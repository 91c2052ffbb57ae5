"""Grounding and citations of reranked rows, with a scripted reranker that invents."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from prism_cli.domain.evidence_budget import RankOptions
from prism_cli.domain.fidelity import entity_fidelity
from prism_cli.errors import ArgumentError
from prism_cli.ports import Reply, RerankTask, Usage
from prism_cli.reranker import Reranker
from prism_cli.rows.contract import check_contract
from prism_cli.rows.groundings import read_grounding
from tests.factories import make_pair
from tests.stages.test_rerank import ScriptedReranker, rerank

DOCUMENT = "The Alder Tower was opened by Marta Quill in 1889. It is 330 metres high."
FAITHFUL = "The Alder Tower was opened by Marta Quill in 1889."
LIE = "The Alder Tower was opened by Bernard Falk in 1904."
QUERY = "Who opened the tower?"
Row = dict[str, Any]


class Liar(ScriptedReranker):
    """Reranker that writes one text about every document."""

    def __init__(self, evidence: str, contribution: str = "Names who opened it.") -> None:
        super().__init__()
        self.text = (
            f"yes\n<contribution>{contribution}</contribution>\n<evidence>{evidence}</evidence>"
        )

    def forget(self) -> None:
        pass

    def _one(self, task: RerankTask) -> Reply:
        text = {"text": self.text} if task.max_new_tokens else {}
        return Reply({"logit": 2.0, "truncated": False, **text}, usage=Usage(5, 10))


def ranked(evidence: str, document: Any = DOCUMENT, **options: Any) -> Row:
    backend = Liar(evidence)
    return dict(Reranker(backend).rank(QUERY, [document], **options)[0])


def cited(result: Row, document: Row) -> list[tuple[str, str]]:
    return [
        (
            result["evidence"][one["start"] : one["end"]],
            document[one["field"].replace("document", "text")][
                one["source_start"] : one["source_end"]
            ],
        )
        for one in result["citations"]
    ]


def test_faithful_text_stays_and_is_cited() -> None:
    result = ranked(FAITHFUL)
    assert cited(result, {"text": DOCUMENT}) == [(FAITHFUL, FAITHFUL)]
    assert result["evidence_origin"] == "generated"
    assert result["unsupported"] == []
    assert not {"evidence_generated", "contribution_generated"} & result.keys()
    assert result["format_ok"]


def test_invented_facts_are_replaced() -> None:
    result = ranked(LIE)
    assert result["evidence"] == FAITHFUL
    assert result["evidence_generated"] == LIE
    assert result["evidence_origin"] == "repaired"
    assert result["format_ok"]


def test_report_keeps_the_text_and_lists_what_is_unsupported() -> None:
    result = ranked(LIE, grounding="report")
    assert result["evidence"] == LIE
    assert [LIE[slice(*part)] for part in result["unsupported"]] == ["Bernard Falk", "1904"]
    assert result["evidence_origin"] == "generated"
    assert "evidence_generated" not in result


def test_off_has_no_new_fields() -> None:
    result = ranked(LIE, grounding="off")
    assert list(result) == [
        "index", "doc_id", "relevance_score", "logit", "verdict", "contribution", "evidence",
        "format_ok", "truncated",
    ]  # fmt: skip
    assert result["evidence"] == LIE


@pytest.mark.parametrize("evidence", ["No;", "", "<evidence>"])
def test_yes_never_comes_without_evidence(evidence: str) -> None:
    result = ranked(evidence)
    assert result["evidence"].startswith(FAITHFUL)
    assert result["evidence_origin"] == "extracted"
    assert result["format_ok"] is False
    assert result["evidence_generated"] != result["evidence"]


def test_broken_tags_have_no_text_of_the_model() -> None:
    backend = Liar("")
    backend.text = "yes <contribution>Names"
    (result,) = Reranker(backend).rank(QUERY, [DOCUMENT])
    assert result["evidence"]
    assert result["evidence_generated"] is result["contribution_generated"] is None
    assert result["contribution"] == "The passage states that the " + FAITHFUL[4:]


def test_citations_name_the_title() -> None:
    document = {"title": "Tower opened by Marta Quill", "text": "It is 330 metres high."}
    result = ranked("Tower opened by Marta Quill. It is 330 metres high.", document)
    assert [one["field"] for one in result["citations"]] == ["title", "document"]
    assert cited(result, document) == [
        ("Tower opened by Marta Quill", "Tower opened by Marta Quill"),
        ("It is 330 metres high.", "It is 330 metres high."),
    ]


def test_query_may_hold_the_number() -> None:
    backend = Liar("In 1904 the Alder Tower was opened by Marta Quill.")
    (result,) = Reranker(backend).rank("Who opened it in 1904?", [DOCUMENT])
    assert result["evidence_origin"] == "generated"


@pytest.mark.parametrize(
    "document",
    ["<p></p>", "!!!", "x", "word " * 40_000, "1889", "Short."],
    ids=["tags", "signs", "letter", "200 kB line", "number", "shorter than the evidence"],
)
def test_odd_documents_have_faithful_evidence(document: str) -> None:
    result = ranked(f"{LIE} " * 3, document)
    assert result["evidence"]
    assert result["evidence_origin"] == "extracted"
    assert entity_fidelity(result["evidence"], f"{document}\n{QUERY}").missing == ()
    assert all(document[c["source_start"] : c["source_end"]] for c in result["citations"])


def test_blank_documents_have_no_text_and_no_citations() -> None:
    result = ranked(FAITHFUL, "  ")
    assert result["verdict"] == "no"
    names = ("evidence", "citations", "contribution_citations", "unsupported", "evidence_origin")
    assert [result[name] for name in names] == [None] * 5


def test_many_documents_of_one_query() -> None:
    documents = [f"{DOCUMENT} Hall {number}." for number in range(3000)]
    results = Reranker(Liar(LIE)).rank(QUERY, documents, evidence_top=5)
    assert len(results) == 3000
    assert [one["evidence_origin"] for one in results[:6]] == ["repaired"] * 5 + [None]


def test_extractive_evidence_is_written_without_generating() -> None:
    backend = Liar(LIE)
    (result,) = Reranker(backend).rank(QUERY, [DOCUMENT], evidence_from="extractive")
    assert backend.asked
    assert not any(task.max_new_tokens for task in backend.asked)
    assert result["evidence"].startswith(FAITHFUL)
    assert result["contribution"].startswith("The passage states that the Alder Tower")
    assert result["evidence_origin"] == "extracted"
    assert result["format_ok"] is None
    assert not {"evidence_generated", "contribution_generated"} & result.keys()


def test_extractive_evidence_obeys_the_budget() -> None:
    documents = [f"{DOCUMENT} {number}" for number in range(4)]
    results = Reranker(Liar(LIE)).rank(
        QUERY, documents, evidence_from="extractive", max_evidence_tokens=100
    )
    origins = [one["evidence_origin"] for one in results]
    assert origins == sorted(origins, key=lambda origin: origin is None)
    assert 0 < origins.count("extracted") < 4
    assert results[-1]["evidence_omitted"] == "max_evidence_tokens"


@pytest.mark.parametrize("option", ["grounding", "evidence_from"])
def test_unknown_mode_is_refused(option: str) -> None:
    with pytest.raises(ArgumentError, match=f"{option}: expected .*found 'maybe'"):
        RankOptions(**{option: "maybe"})


def test_pair_rows_have_the_fields_of_the_contract(tmp_path: Path) -> None:
    rows = [make_pair(1, document="7 what and why", title="Why"), make_pair(2, document="-1 no")]
    (yes, no), summary, _ = rerank(tmp_path, rows, grounding="repair")
    assert yes["evidence_origin"] in ("generated", "repaired", "extracted")
    assert yes["predicted_citations"]
    for row in (yes, no):
        check_contract(row)
    grounding = read_grounding(yes)
    assert grounding is not None
    assert grounding.cited > 0
    assert no["predicted_citations"] is no["unsupported"] is no["evidence_origin"] is None
    assert read_grounding(no) is None
    assert summary.figures["evidence"]["given"] == 1


def test_summary_counts_changed_texts(tmp_path: Path) -> None:
    rows = [make_pair(number, document=f"{number} broken text") for number in (1, 2)]
    _, summary, _ = rerank(tmp_path, rows, grounding="repair")
    assert summary.figures["evidence"]["extracted"] == 2


def test_same_bytes_twice(tmp_path: Path) -> None:
    rows = [make_pair(number, document=f"{number} {DOCUMENT}") for number in (1, 2)]
    first, second = tmp_path / "a", tmp_path / "b"
    for folder in (first, second):
        folder.mkdir()
        rerank(folder, rows, grounding="repair")
    read = [(folder / "out.jsonl").read_bytes() for folder in (first, second)]
    assert read[0] == read[1]
    assert orjson.loads(read[0].splitlines()[0])["predicted_evidence"]


def test_selected_evidence_is_the_text_before_grounding() -> None:
    row = make_pair() | {"predicted_evidence": "The tower.", "evidence_origin": "selected"}
    grounding = read_grounding(row)
    assert grounding is not None
    assert grounding.generated == "The tower."
