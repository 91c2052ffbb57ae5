"""The extractive generator on real text: verbatim evidence with the sentence that answers."""

import json
from typing import Any

import pytest

from prism_cli.adapters.generators.extractive import (
    NO_SENTENCE,
    ExtractiveGenerator,
    load_extractive,
)
from prism_cli.domain.sentences import sentences
from prism_cli.ports import BatchBackend
from tests.mini import MINI

FOX = (
    "Bread is baked in ovens. Foxes live in dens near the river. The moon is bright. "
    "A den of foxes has several entrances. Cars are parked outside."
)


def asked(query: str, document: str) -> Any:
    return (query, "", document), 0


@pytest.fixture(scope="module")
def generator() -> ExtractiveGenerator:
    return load_extractive(2, "cpu")


def test_evidence_is_the_sentences_about_the_query(generator: ExtractiveGenerator) -> None:
    assert isinstance(generator, BatchBackend)
    (reply,) = generator.answer([asked("Where do foxes live?", FOX)])
    assert reply.value == {
        "contribution": "The passage states that foxes live in dens near the river.",
        "evidence": "Foxes live in dens near the river. A den of foxes has several entrances.",
    }


def test_number_of_sentences_is_bounded() -> None:
    generator = load_extractive(1, "cpu")
    (reply,) = generator.answer([asked("Where do foxes live?", FOX)])
    assert reply.value["evidence"] == "Foxes live in dens near the river."
    assert generator.fingerprint != load_extractive(2, "cpu").fingerprint


def test_a_document_without_sentences_is_refused_and_the_others_are_answered(
    generator: ExtractiveGenerator,
) -> None:
    replies = generator.answer(
        [asked("q", ""), asked("Where do foxes live?", FOX), asked("q", "--- ...")]
    )
    assert [reply.refusal for reply in replies] == [NO_SENTENCE, None, NO_SENTENCE]
    assert generator.answer([asked("q", "")])[0].refusal == NO_SENTENCE


def test_chinese_documents_get_chinese_evidence(generator: ExtractiveGenerator) -> None:
    (reply,) = generator.answer(
        [asked("狐狸住在哪里？", "面包很好吃。狐狸住在河边的洞里。月亮很亮。")]
    )
    assert "狐狸住在河边的洞里。" in reply.value["evidence"]
    assert reply.value["contribution"] in reply.value["evidence"]


def test_real_paragraphs_give_verbatim_evidence_that_mostly_holds_the_answer(
    generator: ExtractiveGenerator,
) -> None:
    def lines(name: str) -> list[dict[str, str]]:
        return [json.loads(line) for line in (MINI / name).read_text("utf-8").splitlines()]

    documents = {row["_id"]: row["text"] for row in lines("corpus.jsonl")}
    queries = {row["_id"]: row["text"] for row in lines("queries.jsonl")}
    answers = {row["_id"]: row["answers"] for row in lines("answers.jsonl")}
    judged = (MINI / "qrels" / "train.tsv").read_text().splitlines()[1:]
    pairs = [line.split("\t")[:2] for line in judged]
    payloads = [asked(queries[query], documents[document]) for query, document in pairs]
    replies = generator.answer(payloads)
    held = first = 0
    for (query_id, document_id), reply in zip(pairs, replies, strict=True):
        document, evidence = documents[document_id], reply.value["evidence"]
        evidence_sentences = [sentence for sentence in sentences(document) if sentence in evidence]
        assert 1 <= len(evidence_sentences) <= 2
        assert " ".join(evidence_sentences) == evidence or "".join(evidence_sentences) == evidence
        assert "\n" not in reply.value["contribution"]
        held += any(answer in evidence for answer in answers[query_id])
        beginning = " ".join(sentences(document)[:2])
        first += any(answer in beginning for answer in answers[query_id])
    assert held > first
    assert held / len(pairs) > 0.55
    alone = [generator.answer([payload])[0].value for payload in payloads[:5]]
    assert alone == [reply.value for reply in replies[:5]]
