"""The bundled corpus keeps what its SOURCE.txt says of it."""

import json
import re
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from prism_cli.adapters.datasets.beir import BeirSet
from prism_cli.adapters.datasets.beir_files import Passage
from prism_cli.domain.fidelity import entity_fidelity
from prism_cli.domain.languages import language_difference
from prism_cli.domain.near_duplicates import (
    THRESHOLD,
    document_shingles,
    jaccard,
    normalised,
    query_shingles,
)
from prism_cli.domain.scripts import word_scripts
from prism_cli.domain.sentences import sentences
from prism_cli.domain.words import count_words
from prism_cli.quickstart.steps import SAMPLES
from tests.door import prism

CORPUS = SAMPLES / "corpus"
SPLITS = ("train", "test")
FOREIGN = ("de", "es", "zh", "ar", "hi")
SCRIPTS = {"zh": "CJK", "ar": "ARABIC", "hi": "DEVANAGARI"}


@cache
def data(split: str) -> BeirSet:
    return BeirSet(CORPUS / split)


@cache
def passages(split: str) -> dict[str, Passage]:
    return {one.doc_id: one for one in data(split).corpus()}


def lines(split: str, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (CORPUS / split / name).read_text().splitlines()]


def answered(split: str) -> list[dict[str, Any]]:
    return [row for row in lines(split, "gold.jsonl") if row["answerable"]]


def topic(doc_id: str) -> str:
    return doc_id.rpartition("-")[0]


def language(doc_id: str) -> str:
    return next((one for one in FOREIGN if doc_id.startswith(f"{one}-")), "en")


def words_in(text: str, doc_id: str) -> int:
    """Two Chinese characters count as a word."""
    return len("".join(text.split())) // 2 if language(doc_id) == "zh" else count_words(text)


def test_it_has_what_it_promises() -> None:
    topics = Counter(map(topic, (*passages("train"), *passages("test"))))
    short = {
        one: count
        for one, count in topics.items()
        if not one.startswith("long-") and language(f"{one}-1") == "en"
    }
    assert len(short) >= 40
    assert min(short.values()) >= 8
    assert sum(short.values()) >= 400
    assert sum(one.startswith("long-") for one in topics) == 20
    by_language = Counter(language(one) for one in (*passages("train"), *passages("test")))
    assert all(by_language[one] == 30 for one in FOREIGN)
    assert sum(len(answered(split)) for split in SPLITS) >= 1200
    refused = [
        row for split in SPLITS for row in lines(split, "gold.jsonl") if row not in answered(split)
    ]
    assert len(refused) >= 300
    assert all(row["reason"] and row["doc_id"] for row in refused)
    size = sum(path.stat().st_size for path in CORPUS.rglob("*") if path.is_file())
    assert size < 2_000_000


def test_train_and_test_share_no_topic_passage_or_question() -> None:
    assert not {*map(topic, passages("train"))} & {*map(topic, passages("test"))}


@pytest.mark.parametrize("split", SPLITS)
def test_passages_have_the_lengths_and_languages_that_they_should(split: str) -> None:
    for doc_id, one in passages(split).items():
        low, high = (1800, 6000) if doc_id.startswith("long-") else (40, 250)
        assert low <= words_in(one.text, doc_id) <= high, doc_id
        assert one.title, doc_id
        code = language(doc_id)
        if code in SCRIPTS:
            assert (
                max(Counter(word_scripts(one.text)).items(), key=lambda pair: pair[1])[0]
                == SCRIPTS[code]
            )


@pytest.mark.parametrize("split", SPLITS)
def test_ids_fit_and_each_question_is_judged_or_marked(split: str) -> None:
    queries = dict(data(split).queries())
    qrels = data(split).qrels(split)
    gold = {row["query_id"]: row for row in lines(split, "gold.jsonl")}
    assert gold.keys() == queries.keys()
    assert qrels.keys() == {name for name, row in gold.items() if row["answerable"]}
    for name, grades in qrels.items():
        assert {*grades} <= {*passages(split)}, name
        assert grades[gold[name]["doc_id"]] == 2
        assert {*grades.values()} <= {1, 2}


@pytest.mark.parametrize("split", SPLITS)
def test_answers_and_rationales_stand_word_for_word(split: str) -> None:
    for row in answered(split):
        text = passages(split)[row["doc_id"]].text
        assert row["answers"], row["query_id"]
        assert all(answer and answer in text for answer in row["answers"]), row["query_id"]
        # Of code and tables a line is a sentence.
        whole = {part.strip() for one in sentences(text) for part in (one, *one.split("\n"))}
        assert row["rationales"], row["query_id"]
        assert {*row["rationales"]} <= whole, row["query_id"]


@pytest.mark.parametrize("split", SPLITS)
def test_written_texts_say_nothing_that_the_passage_does_not(split: str) -> None:
    missing = []
    for row in answered(split):
        one = passages(split)[row["doc_id"]]
        for name in ("contribution", "evidence"):
            found = entity_fidelity(row[name], f"{one.title}\n{one.text}").missing
            missing += [(row["query_id"], name, entity) for entity in found]
        assert len(sentences(row["contribution"])) == 1, row["query_id"]
        assert language_difference(row["evidence"], one.text) is None, row["query_id"]
    # Every noun of German looks like a name.
    assert [one for one in missing if language(one[0]) != "de"] == []


@pytest.mark.parametrize("split", SPLITS)
def test_written_texts_have_no_digits_of_their_own(split: str) -> None:
    for row in answered(split):
        one = passages(split)[row["doc_id"]]
        known = re.findall(r"\d+", f"{one.title} {one.text}")
        assert {*re.findall(r"\d+", row["contribution"] + row["evidence"])} <= {*known}, row


def test_nothing_is_there_twice() -> None:
    texts = [one.text for split in SPLITS for one in passages(split).values()]
    queries = [text for split in SPLITS for _, text in data(split).queries()]
    assert len({*map(normalised, queries)}) == len(queries)
    for given, shingles in ((texts, document_shingles), (queries, query_shingles)):
        sets = [frozenset(shingles(text).tolist()) for text in given]
        alike = [
            (given[at][:60], given[before][:60])
            for at in range(len(sets))
            for before in range(at)
            if 2 * min(len(sets[at]), len(sets[before])) >= max(len(sets[at]), len(sets[before]))
            and jaccard(sets[at], sets[before]) >= THRESHOLD
        ]
        assert alike == []


def test_words_alone_do_not_find_the_passages() -> None:
    done = prism("eval", CORPUS / "test", "--model", "none", "-o", "bm25")
    assert done.returncode == 0, done.stderr
    measured = json.loads(Path("bm25/metrics.json").read_text())
    assert 0.55 < measured["ranking"]["test"]["bm25"]["nDCG@10"] < 0.80


def test_no_question_or_passage_of_test_leaks_into_training() -> None:
    steps = (
        ["collect", CORPUS / "train", "-o", "pairs.jsonl"],
        ["distill", "pairs.jsonl", "-o", "scored.jsonl", "--teacher", "source:2"],
        ["relabel", "scored.jsonl", "-o", "labels.jsonl", "--judge", "source:2"],
        ["split", "labels.jsonl", "-o", "data", "--exclude-eval", CORPUS / "test"],
    )
    for words in steps:
        assert (done := prism(*words)).returncode == 0, done.stderr
    told = json.loads(Path("data/split.jsonl.manifest.json").read_text())
    assert told["figures"]["kept clear of"] == "test"
    assert told["counts"]["written"] == told["counts"]["rows"] > 3000
