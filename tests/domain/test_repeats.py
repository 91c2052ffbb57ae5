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


@pytest.mark.parametrize(
    ("first", "text"),
    [
        ("The dog bit the man in Paris.", "The man bit the dog in Paris."),
        ("The dog bit the man.", "The man bit the dog."),
        ("The score was 3 of 5 in the end.", "The score was 5 of 3 in the end."),
        ("Sales rose to more than 5 million.", "Sales rose to less than 5 million."),
        ("He left Rome before the long war of 1914.", "He left Rome after the long war of 1914."),
        ("Die Brücke wurde 1931 eröffnet.", "Die Brücke wurde 1931 nicht eröffnet."),
        ("Le pont est ouvert aux camions.", "Le pont n'est pas ouvert aux camions."),
        ("El puente se abrió en 1931.", "El puente no se abrió en 1931."),
        ("Il ponte è stato aperto nel 1931.", "Il ponte non è stato aperto nel 1931."),
        ("A ponte foi aberta em 1931.", "A ponte não foi aberta em 1931."),
        ("De brug werd in 1931 geopend.", "De brug werd in 1931 niet geopend."),
        ("Bron öppnades 1931.", "Bron öppnades inte 1931."),
        ("Мост был открыт в 1931 году.", "Мост не был открыт в 1931 году."),
        ("افتتح الجسر عام 1931.", "لم يفتتح الجسر عام 1931."),
        ("यह पुल 1931 में खोला गया था।", "यह पुल 1931 में नहीं खोला गया था।"),
        ("この橋は1931年に開通した。", "この橋は1931年に開通しなかった。"),
        ("이 다리는 1931년에 개통되었다.", "이 다리는 1931년에 개통되지 않았다."),
        ("สะพานเปิดในปี 1931", "สะพานไม่ได้เปิดในปี 1931"),
        ("הגשר נפתח בשנת 1931.", "הגשר לא נפתח בשנת 1931."),
    ],
)
def test_another_order_comparison_or_negation_is_new(first: str, text: str) -> None:
    assert repeats(first, first) == 0
    assert repeats(text, first) is None


@pytest.mark.parametrize(
    ("first", "text"),
    [
        ("The dog bit the man in the park.", "In the park the dog bit the man."),
        ("Die Brücke wurde 1931 eröffnet.", "1931 wurde die Brücke eröffnet."),
        ("Мост был открыт в 1931 году.", "В 1931 году мост был открыт."),
        ("이 다리는 1931년에 개통되었다.", "1931년에 이 다리는 개통되었다."),
    ],
)
def test_a_part_that_moved_is_a_repeat(first: str, text: str) -> None:
    assert repeats(text, first) == 0


def test_a_text_without_sentences_is_no_repeat() -> None:
    assert repeats("…", FIRST) is None


def test_many_documents_need_few_comparisons() -> None:
    said = SaidBefore()
    for number in range(3_000):
        text = f"Report {number} tells of village number{number} and its mill{number}."
        assert said.add(text, number) is None
    assert said.add("Village number7 and its mill7 are told of by report 7.", 3_000) == 7
