"""Odd documents in windows, with a real tokenizer and a scripted reranker."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from transformers import PreTrainedTokenizerBase

from prism_cli import Reranker
from prism_cli.adapters.runtimes.windowed import WindowedReranker
from prism_cli.domain.fidelity import entity_fidelity
from prism_cli.domain.model_defaults import NO_DEFAULTS
from prism_cli.domain.prompting import PRISM_NO_THINK
from prism_cli.domain.token_estimate import estimate_tokens
from prism_cli.modeling.encode import PromptEncoder
from prism_cli.ports import Reply, RerankTask, Usage

QUERY = "Who opened the tower in 1889?"
NEEDLE = "The Alder Tower was opened by Marta Quill in 1889."
HAY = "Nothing of note is said here, and no one is named. "
LIE = "The tower was opened by Bernard Falk in 1904."
FORM = "yes\n<contribution>Names who opened it.</contribution>\n<evidence>{}</evidence>"
Row = dict[str, Any]


class Scripted:
    """Reranker that says yes to what names Marta Quill, and writes one text about it."""

    spec = fingerprint = "fake"
    defaults = NO_DEFAULTS

    def __init__(self, tokenizer: PreTrainedTokenizerBase, evidence: str) -> None:
        self.encoder = PromptEncoder(tokenizer, PRISM_NO_THINK, 260)
        self.evidence = evidence
        self.documents: list[str] = []
        self.figures: Mapping[str, object] = {}

    def plan(self, payloads: Sequence[RerankTask]) -> list[list[int]]:
        return [list(range(len(payloads)))] if payloads else []

    def answer(self, payloads: Sequence[RerankTask]) -> list[Reply]:
        self.documents += [task.document for task in payloads]
        return [self._one(task) for task in payloads]

    def _one(self, task: RerankTask) -> Reply:
        logit = 3.0 if "Marta Quill" in task.document else -3.0
        if not task.max_new_tokens or logit <= task.write_above:
            return Reply({"logit": logit, "truncated": False})
        text = FORM.format(self.evidence)
        return Reply({"logit": logit, "truncated": False, "text": text}, usage=Usage(5, 10))

    def logits(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        raise AssertionError

    def forget(self) -> None:
        pass


def ranked(
    tokenizer: PreTrainedTokenizerBase, document: Any, evidence: str = NEEDLE, **options: Any
) -> tuple[Row, Scripted]:
    """Return the result of one document, whose texts are grounded, and what the model was asked."""
    inner = Scripted(tokenizer, evidence)
    (result,) = Reranker(WindowedReranker(inner)).rank(QUERY, [document], **options)
    return dict(result), inner


def check_faithful(result: Row, document: str) -> None:
    assert result["verdict"] == "yes"
    assert result["evidence"]
    assert entity_fidelity(result["evidence"], f"{document}\n{QUERY}").missing == ()
    for one in result["citations"]:
        cited = document[one["source_start"] : one["source_end"]]
        assert cited == result["evidence"][one["start"] : one["end"]]


@pytest.mark.parametrize("evidence", [NEEDLE, LIE], ids=["copied", "invented"])
@pytest.mark.parametrize("place", [0, 2_000, 3_900])
def test_a_line_of_200_kb_is_cited_where_the_sentence_is(
    tokenizer: PreTrainedTokenizerBase, place: int, evidence: str
) -> None:
    sentences = [HAY] * 3_900
    sentences.insert(place, NEEDLE + " ")
    document = "".join(sentences)
    assert len(document) > 195_000
    result, _ = ranked(tokenizer, document, evidence)
    check_faithful(result, document)
    assert result["evidence"] == NEEDLE
    assert result["evidence_origin"] == ("generated" if evidence is NEEDLE else "repaired")
    assert not result["truncated"]
    start, end = result["best_window"]
    at = document.index(NEEDLE)
    assert start <= at < at + len(NEEDLE) <= end
    (citation,) = result["citations"]
    assert (citation["source_start"], citation["source_end"]) == (at, at + len(NEEDLE))


def test_a_line_without_spaces_has_a_window_and_faithful_evidence(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    document = "x1" * 2_000 + NEEDLE.replace(" ", "\u00a0") + "y2" * 2_000 + " Marta Quill"
    result, _ = ranked(tokenizer, document, LIE)
    assert result["windows"] > 10
    check_faithful(result, document)


def test_a_title_that_holds_the_answer_is_read_with_each_window(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    document = {"title": "Opened by Marta Quill in 1889", "text": HAY * 100}
    result, inner = ranked(tokenizer, document, "It was opened by Marta Quill in 1889.")
    scored = inner.documents[: result["windows"]]
    assert len(scored) > 5
    assert all(one.startswith(f"{document['title']} Nothing") for one in scored)
    assert result["best_window"][0] == 0
    fields = {citation["field"] for citation in result["citations"]}
    assert "title" in fields
    assert result["evidence_origin"] == "generated"


@pytest.mark.parametrize("blank", ["\n" * 50_000, " \u200b" * 5_000, ""])
def test_a_long_blank_document_is_no_request(
    tokenizer: PreTrainedTokenizerBase, blank: str
) -> None:
    result, inner = ranked(tokenizer, blank)
    assert (result["logit"], result["verdict"], result["evidence"]) == (None, "no", None)
    assert "windows" not in result
    assert inner.documents == []


def test_a_long_document_of_tags_has_its_own_text_as_evidence(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    document = "<p><b>Marta Quill</b></p>" * 400
    result, _ = ranked(tokenizer, document, "</evidence><evidence>")
    check_faithful(result, document)
    assert result["evidence_origin"] == "extracted"
    assert result["windows"] > 1


def test_evidence_longer_than_its_document_is_grounded(tokenizer: PreTrainedTokenizerBase) -> None:
    document = HAY * 40 + NEEDLE
    result, _ = ranked(tokenizer, document, " ".join([LIE, NEEDLE] * 60))
    check_faithful(result, document)
    assert result["evidence_origin"] == "repaired"
    assert set(result["evidence"].split(". ")) == {NEEDLE, NEEDLE.rstrip(".")}


def test_the_query_may_hold_the_number(tokenizer: PreTrainedTokenizerBase) -> None:
    document = HAY * 40 + "The Alder Tower was opened by Marta Quill."
    result, _ = ranked(tokenizer, document, "In 1889 the Alder Tower was opened by Marta Quill.")
    assert result["evidence_origin"] == "generated"
    assert "1889" in result["evidence"]


def test_three_thousand_documents_compete_for_a_budget_in_windows(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    inner = Scripted(tokenizer, LIE)
    documents = [
        f"{number}. {NEEDLE} {HAY * (0 if number % 50 else 40)}" for number in range(3_000)
    ]
    results = Reranker(WindowedReranker(inner)).rank(QUERY, documents, evidence_top=4)
    assert len(results) == 3_000
    assert [one["evidence_origin"] for one in results[:5]] == ["repaired"] * 4 + [None]
    assert sum("windows" in one for one in results) == 60
    assert not any(one["truncated"] for one in results)


def test_a_budget_of_tokens_counts_repaired_texts_as_they_are_given(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    inner = Scripted(tokenizer, LIE)
    documents = [f"{number}. {HAY * 20} {NEEDLE}" for number in range(4)]
    reranker = Reranker(WindowedReranker(inner))
    first = reranker.rank(QUERY, documents, evidence_top=1)[0]
    given = estimate_tokens(first["contribution"] or "") + estimate_tokens(first["evidence"] or "")
    results = reranker.rank(QUERY, documents, max_evidence_tokens=2 * given)
    origins = [(one["evidence_origin"], one["evidence_omitted"]) for one in results]
    assert origins == [("repaired", None)] * 2 + [(None, "max_evidence_tokens")] * 2
    for result in results[2:]:
        assert result["evidence"] is result["citations"] is result["unsupported"] is None
