"""Evidence that repeats what better documents said."""

import pytest

from prism_cli.domain.repeats import SaidBefore

FIRST = "The Kestrel bridge was opened in 1931. It is 240 metres long."


def repeats(text: str, *earlier: str) -> int | None:
    said = SaidBefore()
    for owner, known in enumerate(earlier):
        assert said.add(known, owner) is None
    return said.add(text, len(earlier))


@pytest.mark.parametrize(
    "text",
    [
        FIRST,
        "The Kestrel bridge was opened in 1931.",
        "In 1931 the Kestrel bridge opened.",
    ],
)
def test_equal_or_less_is_a_repeat(text: str) -> None:
    assert repeats(text, FIRST) == 0


@pytest.mark.parametrize(
    "text",
    [
        "The Kestrel bridge was opened in 1932.",
        "The Osprey bridge was opened in 1931.",
        "The Kestrel bridge was not opened in 1931.",
        "It is 240 feet long.",
        "The Kestrel bridge was opened in 1931. A ferry went before.",
        "The Kestrel bridge was opened in 1931 by a crowd of striking weavers.",
    ],
)
def test_another_fact_word_or_negation_is_new(text: str) -> None:
    assert repeats(text, FIRST) is None


def test_a_single_other_fact_among_many_equal_words_is_new() -> None:
    text = "In summer the Kestrel ferry carries weavers, farmers, horses and carts over the river."
    assert repeats(text, text) == 0
    assert repeats(text.replace("Kestrel", "Osprey"), text) is None


def test_facts_of_two_sentences_are_never_combined() -> None:
    ann, ben = "Ann Abel was born in 1901.", "Ben Abel was born in 1905."
    assert repeats("Ann Abel was born in 1905.", ann, ben) is None


def test_sentences_may_repeat_several_documents_and_most_decide() -> None:
    first, second = (
        "Otters eat crabs and small fish.",
        "Otters sleep in holts. Otters swim at dusk.",
    )
    assert repeats("Otters sleep in holts. Otters swim at dusk.", first, second) == 1
    assert repeats("Otters eat crabs and fish. Otters swim at dusk.", first, second) == 0


def test_scripts_without_blanks() -> None:
    first = "这座桥于1931年开通，长240米。"
    assert repeats("这座桥于1931年开通。", first) == 0
    assert repeats("这座桥未于1931年开通。", first) is None
    assert repeats("这座桥于1932年开通。", first) is None


def test_a_text_without_sentences_is_no_repeat() -> None:
    assert repeats("…", FIRST) is None


def test_many_documents_need_few_comparisons() -> None:
    said = SaidBefore()
    for number in range(3_000):
        text = f"Report {number} tells of village number{number} and its mill{number}."
        assert said.add(text, number) is None
    assert said.add("Village number7 and its mill7 are told of by report 7.", 3_000) == 7
