"""Entities of a text in its document: real text, one change at a time."""

import re
from collections import Counter

import pytest

from prism_cli.domain.facts import CHARACTERS
from prism_cli.domain.fidelity import CLASSES, FidelityFigures, entity_fidelity
from prism_cli.domain.sentences import sentences
from tests.domain.passages import LANGUAGES, marks, passages, texts

DOCUMENT = (
    "Marie Curie was born in Warsaw on 7 November 1867. In 1903 she shared the Nobel Prize in "
    "Physics with Henri Becquerel. Between 5 and 10 tonnes of ore gave 0.1 g of radium. NASA's "
    'archive calls it "a discovery of rare beauty"; the U.S. President gave her 1 gram, worth '
    "$100,000. See https://example.org/curie?id=5. The Société française was founded in 1873, "
    "and the Poles were proud of her."
)


@pytest.mark.parametrize("language", LANGUAGES)
def test_own_sentences_are_faithful_and_other_documents_are_not(language: str) -> None:
    documents = texts(language)
    figures, other = FidelityFigures(), FidelityFigures()
    for number, document in enumerate(documents):
        evidence = " ".join(sentences(document)[:3])
        fidelity = entity_fidelity(evidence, document)
        assert fidelity.missing == ()
        figures.add(fidelity)
        other.add(entity_fidelity(evidence, documents[number - len(documents) // 2]))
    assert figures.total == figures.found
    assert sum(figures.total[kind] for kind in CLASSES) > 2 * len(documents)
    strange = sum(other.found[kind] for kind in CLASSES) / sum(
        figures.total[kind] for kind in CLASSES
    )
    assert strange < 0.2
    assert other.found[CHARACTERS] <= 0.2 * other.total[CHARACTERS]


@pytest.mark.parametrize("language", LANGUAGES)
def test_answers_of_people_are_faithful(language: str) -> None:
    for row in marks(language):
        for answer in row["answers"]:
            document = passages(language)[row["doc_id"]]["text"]
            assert entity_fidelity(answer, document).missing == ()


@pytest.mark.parametrize("language", [code for code in LANGUAGES if code != "de"])
def test_most_entities_of_paraphrased_evidence_are_found_in_the_passage(language: str) -> None:
    """Human paraphrases: most names occur in the passage, a few in another spelling."""
    own_figures, other = FidelityFigures(), FidelityFigures()
    rows = marks(language)
    for number, row in enumerate(rows):
        for figures, at in ((own_figures, number), (other, number - len(rows) // 2)):
            passage = passages(language)[rows[at]["doc_id"]]
            document = f"{passage['title']}\n{passage['text']}"
            figures.add(entity_fidelity(row["evidence"], document))
    total, matched, strange = (
        sum(counted[kind] for kind in CLASSES)
        for counted in (own_figures.total, own_figures.found, other.found)
    )
    assert total > 30
    assert matched / total > 0.85
    assert strange / total < 0.4


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_changed_number_is_noticed(language: str) -> None:
    changed = 0
    for document in texts(language):
        for sentence in sentences(document):
            for number in re.findall(r"(?<![A-Za-z\d.,:/-])\d{2,4}(?![A-Za-z\d.,:/-])", sentence):
                made_up = sentence.replace(number, "7531")
                assert any("7531" in item for item in entity_fidelity(made_up, document).missing)
                changed += 1
    assert changed > 5


@pytest.mark.parametrize(
    "evidence",
    [
        "Marie Curie shared the prize with Henri Becquerel in 1903.",
        "On November 7, 1867, Curie was born in Warsaw.",
        "She was born in November 1867.",
        "5 tonnes of ore gave 0.1 grams of radium, and 10 tonnes more.",
        "The US President gave her a gram worth 100,000 dollars.",
        "NASA calls it “a discovery of rare beauty”.",
        "According to https://example.org/curie?id=5, she won the Nobel Prize.",
        "Founded in 1873, the Société Française honoured the Pole.",
        "radium was discovered",
    ],
)
def test_paraphrased_entities_are_found(evidence: str) -> None:
    assert entity_fidelity(evidence, DOCUMENT).missing == ()


@pytest.mark.parametrize(
    ("evidence", "kind", "missing"),
    [
        ("She was born in 1868.", "number", "1868"),
        ("They gave 0.1 kg of radium.", "number", "0.1 kg"),
        ("They paid $10,000.", "number", "$10,000"),
        ("She was born on 8 November 1867.", "date", "8 November 1867"),
        ("It was in December 1867.", "date", "December 1867"),
        ("She worked with Pierre Curie there.", "name", "Pierre Curie"),
        ("He came from Paris.", "name", "Paris"),
        ("Pierre Curie was there.", "name", "Pierre Curie"),
        ("The archive of the ESA has it.", "acronym", "ESA"),
        ('They call it "a rare discovery".', "quotation", '"a rare discovery"'),
        ("See https://example.org/curie?id=6.", "url", "https://example.org/curie?id=6"),
    ],
)
def test_invented_entities_are_reported_by_class(evidence: str, kind: str, missing: str) -> None:
    fidelity = entity_fidelity(evidence, DOCUMENT)
    assert fidelity.missing == (missing,)
    assert fidelity.total[kind] - fidelity.found[kind] == 1


def test_chinese_names_titles_and_numbers() -> None:
    document = "《物种起源》由查尔斯·达尔文于1859年11月24日出版，首印1250册，当天售罄。"
    good = entity_fidelity("查尔斯·达尔文的《物种起源》1859年11月出版，首印 1250 册。", document)
    assert good.missing == ()
    assert good.total.keys() >= {"name", "quotation", "date", "number", CHARACTERS}
    bad = entity_fidelity("约翰·史密斯的《人类起源》1860年11月出版，首印 1300 册。", document)
    assert bad.share == 0
    assert (good.total[CHARACTERS], good.found[CHARACTERS]) == (10, 9)  # 文的


def test_japanese_katakana_names() -> None:
    document = "アルベルト・アインシュタインはドイツで生まれた。"
    assert entity_fidelity("アインシュタインはドイツの人。", document).missing == ()
    assert entity_fidelity("ニュートンはドイツの人。", document).missing == ("ニュートン",)


def test_dates_with_a_common_ending_leave_no_digits() -> None:
    text = "Full on 3 March; quarters on 13 March and 23 March."
    assert entity_fidelity(text, text).missing == ()
    assert entity_fidelity(text, text).total == Counter(date=3)


def test_word_at_the_beginning_of_a_sentence_is_no_name() -> None:
    for evidence in ("Discovered by chance.", '"Located there," it says.', "- Founded\n- Built"):
        assert entity_fidelity(evidence, DOCUMENT).total["name"] == 0


def test_each_entity_counts_once() -> None:
    fidelity = entity_fidelity("In 1903 and 1903 again, 1903.", DOCUMENT)
    assert fidelity.total == Counter(number=1)


def test_without_entities_there_is_no_share() -> None:
    fidelity = entity_fidelity("nothing of note", DOCUMENT)
    assert (fidelity.share, fidelity.total) == (None, Counter())


def test_figures_are_summed_over_texts_without_character_pairs() -> None:
    figures = FidelityFigures()
    figures.add(entity_fidelity("In 1903 she met Paul.", DOCUMENT))
    figures.add(entity_fidelity("In 1903 she met Henri at 水星.", DOCUMENT))
    assert [tuple(row.values()) for row in figures.rows()] == [
        ("number", 2, 2, 1.0),
        ("name", 2, 1, 0.5),
        ("all", 4, 3, 0.75),
        (CHARACTERS, 1, 0, 0.0),
    ]
    assert FidelityFigures().rows() == [
        {"entities": "all", "in texts": 0, "found": 0, "share": None}
    ]


def test_long_texts_take_linear_time() -> None:
    evidence = " ".join(texts("en")[:20])
    fidelity = entity_fidelity(evidence * 3, evidence * 3)
    assert fidelity.missing == ()
