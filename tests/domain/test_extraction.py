"""Extraction: evidence is verbatim; the contribution is one short sentence."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_cli.domain.extraction import (
    MAX_CANDIDATES,
    MAX_CONTRIBUTION_CHARS,
    MAX_CONTRIBUTION_WORDS,
    best_statement,
    candidate_spans,
    candidate_statements,
    chosen_indices,
    closest_within,
    contribution_of,
    joined_evidence,
    joined_spans,
)
from prism_cli.domain.languages import latin_language
from prism_cli.domain.sentences import sentence_spans, sentences
from tests.domain.passages import LANGUAGES, texts

ENGLISH = "The quick brown fox is the friend of the lazy dog and they live by the river. "


def english(sentence: str) -> str:
    return contribution_of(sentence, ENGLISH + sentence)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=30), st.integers(1, 5))
def test_the_closest_sentences_are_chosen_in_document_order(
    closeness: list[float], most: int
) -> None:
    chosen = chosen_indices(closeness, most)
    assert 1 <= len(chosen) <= most
    assert chosen == sorted(set(chosen))
    assert closeness.index(max(closeness)) in chosen
    left = [value for at, value in enumerate(closeness) if at not in chosen]
    assert not left or min(closeness[at] for at in chosen) >= max(left) or len(chosen) < most


def test_a_distant_sentence_is_omitted() -> None:
    assert chosen_indices([0.1, 0.8, 0.5, 0.2], 3) == [1, 2]
    assert chosen_indices([-0.3, -0.1], 2) == [1]


@given(st.text(alphabet="ab .。\n你", max_size=200), st.data())
def test_evidence_is_the_chosen_sentences_and_nothing_else(text: str, data: st.DataObject) -> None:
    spans = sentence_spans(text)
    chosen = [span for span in spans if data.draw(st.booleans())]
    joined = joined_evidence(text, chosen)
    pieces = [text[start:end] for start, end in chosen]
    assert all(piece in joined for piece in pieces)
    assert joined.replace(" ", "") == "".join(pieces).replace(" ", "")


def test_sentences_are_joined_by_spaces_if_the_script_uses_them() -> None:
    def all_of(text: str) -> str:
        return joined_evidence(text, sentence_spans(text))

    assert all_of("One.\n\nTwo.   Three.") == "One. Two. Three."
    assert all_of("一。二。三。") == "一。二。三。"


CONTRIBUTIONS = {
    "plain": (
        "The fox lives by the river.",
        "The passage states that the fox lives by the river.",
    ),
    "name": ("Paris is in France.", "The passage states that Paris is in France."),
    "bang": ("It won!", "The passage states that it won."),
    "wrapped": ("In 1990\n  he won.", "The passage states that in 1990 he won."),
    "question": ("What is the fox?", "What is the fox?"),
    "clause": (
        "It is a fox " + "of the old wood " * 4 + ", which is a word " + "or more " * 10 + ".",
        "The passage states that it is a fox " + "of the old wood " * 3 + "of the old wood.",
    ),
}


@pytest.mark.parametrize(
    ("sentence", "contribution"), CONTRIBUTIONS.values(), ids=CONTRIBUTIONS.keys()
)
def test_an_english_contribution_is_phrased_as_a_statement_of_the_passage(
    sentence: str, contribution: str
) -> None:
    assert english(sentence) == contribution


@pytest.mark.parametrize(
    ("sentence", "rest", "beginning"),
    [
        ("Visitors may enter.", "All visitors pay.", "visitors may"),
        ("Visitors may enter.", "Each visitor pays.", "visitors may"),
        ("Glass is thick.", "It is made of glass.", "glass is"),
        ("Visitors may enter.", "", "Visitors may"),
        ("A fox is red.", "", "a fox"),
        ("Across the lake is a hut.", "", "across the"),
        ("NASA owns the hut.", "The word nasa is there.", "NASA owns"),
        ("McDonald owns the hut.", "Here is mcdonald too.", "McDonald owns"),
        ("Paris is large.", "The river of Paris.", "Paris is"),
        ("May is warm.", "It may rain.", "May is"),
        ("Tower Bridge is old.", "The tower is red.", "Tower Bridge"),
        ("Water 3 is the name of it.", "The water is cold.", "Water 3"),
        ("Tower is a name.", "The Tower and a Tower and the tower.", "Tower is"),
        ("I am the fox.", "Part i of it.", "I am"),
    ],
)
def test_only_a_word_that_is_no_name_loses_its_capital(
    sentence: str, rest: str, beginning: str
) -> None:
    contribution = contribution_of(sentence, f"{ENGLISH * 3}{rest} {sentence}")
    assert contribution.startswith(f"The passage states that {beginning}")


def test_truncation_leaves_no_open_quotation() -> None:
    sentence = 'He said that it is, "a fox of the wood, or ' + "a dog, " * 12 + 'so".'
    contribution = english(sentence)
    assert contribution.startswith('The passage states that he said that it is, "a fox of the wood')
    assert contribution.endswith("…")  # no clause within the limit closes the quotation
    balanced = 'He said that it is "a fox" of the big old wood, or ' + "a dog, " * 12 + "so."
    assert english(balanced).endswith("a dog.")


def test_other_languages_keep_their_own_sentence() -> None:
    for text in (
        "Der Fuchs wohnt am Fluss und ist der Freund des Hundes.",
        "Le renard vit au bord de la rivière et il est content.",
        "狐狸住在河边。",
    ):
        assert contribution_of(text, text) == text


def test_long_chinese_is_cut_at_a_clause() -> None:
    text = "今天天气很好，" * 30 + "再见。"
    contribution = contribution_of(text, text)
    assert len(contribution) <= MAX_CONTRIBUTION_CHARS + 1
    assert contribution.endswith("很好。")
    assert contribution[:-1] in text


@given(st.text(max_size=600), st.booleans())
def test_contribution_is_one_line_of_bounded_length(text: str, is_english_text: bool) -> None:
    for sentence in sentences(text):
        contribution = contribution_of(sentence, ENGLISH * 20 if is_english_text else sentence)
        assert contribution.strip()
        assert "\n" not in contribution
        assert len(contribution.split()) <= MAX_CONTRIBUTION_WORDS + 4


def test_statements_are_preferred_to_questions() -> None:
    texts = ["What is a fox?", "A fox is red.", "Dogs bark."]
    assert best_statement([0.9, 0.8, 0.1], [0, 1], texts) == 1
    assert best_statement([0.9, 0.8, 0.1], [0], texts) == 0


def test_only_sentences_sharing_words_with_the_query_are_compared_if_there_are_many() -> None:
    others = [f"Nothing is {number}. " for number in range(800)]
    document = "".join([*others[:400], "The zebra is striped. ", *others[400:]])
    spans = candidate_spans("Is a ZEBRA striped?", document)
    assert len(spans) == MAX_CANDIDATES
    assert spans == sorted(spans)
    assert "The zebra is striped." in [document[start:end] for start, end in spans]


def test_a_sentence_that_is_repeated_is_compared_once() -> None:
    document = "Foxes are red. Dogs bark. Foxes are red."
    assert candidate_spans("Are foxes red?", document) == [(0, 14), (15, 25)]


def test_candidates_of_a_window_are_its_own_whatever_the_others_share() -> None:
    document = "Is the zebra here? " * 400 + "Its coat is striped. " * 2
    window = (document.index("Its"), len(document))
    (span,) = candidate_statements("Is the zebra striped?", document, [window])
    assert document[slice(*span)] == "Its coat is striped."


def test_parts_of_one_long_sentence_are_joined_as_they_are() -> None:
    document = "1586006,1594"
    assert joined_evidence(document, [(0, 4), (4, 12)]) == document
    assert joined_spans("One. Two.", [(0, 4), (5, 9)]) == [(0, 4), (5, 9)]


def test_real_english_text_is_english() -> None:
    english_ones = [text for text in texts("en") if latin_language(text) == "English"]
    assert len(english_ones) > 0.8 * len(texts("en")) > 30  # the others are tables
    others = [text for language in LANGUAGES[1:] for text in texts(language)]
    assert "English" not in map(latin_language, others)
    assert latin_language("") is None
    assert (
        latin_language("Die Stadt ist in Deutschland bekannt für das Bier und was sie an hat.")
        != "English"
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_contribution_of_a_real_sentence_is_short_and_in_its_words(language: str) -> None:
    for text in texts(language):
        for sentence in sentences(text)[:3]:
            contribution = contribution_of(sentence, text)
            assert contribution.startswith("The passage states that ") <= (language == "en")
            contribution = contribution.removeprefix("The passage states that ").rstrip(".。…")
            assert len(contribution.split()) <= MAX_CONTRIBUTION_WORDS
            assert contribution[1:] in " ".join(sentence.split())


def test_closest_sentences_fit_into_a_length_with_the_closest_always() -> None:
    spans = [(0, 10), (11, 41), (42, 52), (53, 60)]
    closeness = [0.2, 0.9, 0.5, 0.4]
    assert closest_within(closeness, spans, 5) == [1]
    assert closest_within(closeness, spans, 41) == [1, 2]
    assert closest_within(closeness, spans, 40) == [1, 3]  # the second does not fit with a blank
    assert closest_within(closeness, spans, 100) == [0, 1, 2, 3]
