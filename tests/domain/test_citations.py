from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prism_cli.domain.citations import cite

TOWER = (
    "The tower was opened in 1889. It is 330 metres high and stands in Paris. Millions of people "
    "visit the tower every year, mostly in summer."
)


def shown(text: str, document: str, **options: object) -> list[tuple[str, str]]:
    cited = cite(text, document, **options)  # type: ignore[arg-type]
    return [(text[c.start : c.end], document[c.source_start : c.source_end]) for c in cited[0]]


def loose(text: str, document: str, **options: object) -> list[str]:
    return [text[start:end] for start, end in cite(text, document, **options)[1]]  # type: ignore[arg-type]


def test_each_copied_sentence_points_at_its_own() -> None:
    text = "It is 330 metres high and stands in Paris. The tower was opened in 1889."
    first, second = text.split(". ")
    assert shown(text, TOWER) == [(f"{first}.", f"{first}."), (second, second)]
    assert loose(text, TOWER) == []


def test_runs_are_joined_over_small_edits() -> None:
    text = "It is about 330 metres high, and it stands in Paris."
    assert shown(text, TOWER) == [(text, "It is 330 metres high and stands in Paris.")]


def test_paraphrase_cites_the_whole_sentence() -> None:
    text = "Each summer the tower is visited by millions of people."
    source = "Millions of people visit the tower every year, mostly in summer."
    assert shown(text, TOWER) == [(text, source)]


def test_paraphrase_of_two_adjacent_sentences_cites_both() -> None:
    document = (
        "Bees see colours. Their antennae smell pollen and nectar. With wings they cool the hive. "
        "Ants dig."
    )
    text = "Cooling hives is done by wings, smelling nectar and pollen by antennae."
    source = "Their antennae smell pollen and nectar. With wings they cool the hive."
    assert shown(text, document) == [(text, source)]


def test_sentence_or_stretch_that_rests_on_nothing_is_unsupported() -> None:
    invented = "Dogs are never welcome on the roof."
    assert loose(f"The tower was opened in 1889. {invented}", TOWER) == [invented]
    assert shown(invented, TOWER) == []
    text = (
        "The tower was opened in 1889 although engineers feared violent hurricanes destroying it."
    )
    assert loose(text, TOWER) == ["although engineers feared violent hurricanes destroying it"]


def test_repeated_query_is_not_unsupported() -> None:
    text = "Are dogs welcome on the roof?"
    assert loose(text, TOWER) == [text]
    assert loose(text, TOWER, query="Dogs welcome on roof") == []


def test_stray_function_word_is_not_cited() -> None:
    assert shown("The zebra of Kenya sleeps standing.", TOWER) == []


@pytest.mark.parametrize("text", ["", " \n", "...", "!?"])
def test_text_without_words_cites_nothing(text: str) -> None:
    assert cite(text, TOWER) == ([], [])


@pytest.mark.parametrize("document", ["", "   ", "<p></p>!"])
def test_document_without_words_supports_nothing(document: str) -> None:
    assert cite("It is high.", document) == ([], [(0, 11)])


def test_place_next_to_the_neighbour_is_preferred() -> None:
    document = (
        "Filters run at night. Pumps of the north hall stop at noon and filters run at night. "
        "Filters run at night."
    )
    text = "Pumps of the north hall stop, filters run at night."
    ((cited, source),) = shown(text, document)
    assert cited == text
    assert source.startswith("Pumps")
    assert source.endswith("filters run at night.")


def test_nothing_is_cited_across_the_title() -> None:
    title, body = "Opening hours of the north hall", "every day from nine"
    document = f"{title} {body}"
    cited = cite(document, document, body=len(title) + 1)
    border = len(title) + 1
    assert [document[c.source_start : c.source_end] for c in cited.citations] == [title, body]
    assert all((c.source_start < border) == (c.source_end <= border) for c in cited.citations)


@pytest.mark.parametrize(
    ("text", "document", "source"),
    [
        (
            "这座塔高330米，位于巴黎。",
            "它很有名。这座塔高330米，位于巴黎市中心。",
            "这座塔高330米，位于巴黎",
        ),
        ("يبلغ ارتفاع البرج 330 مترًا.", "افتتح عام 1889. يبلغ ارتفاع البرج 330 مترًا.", None),
        ("मीनार की ऊँचाई 330 मीटर है।", "वह पेरिस में है। मीनार की ऊँचाई 330 मीटर है।", None),
        ("Cafe\u0301 Me\u0301moire ouvre a\u0300 midi.", "Le Café Mémoire ouvre à midi.", None),
        ("หอคอยสูงมาก", "ที่นี่ หอคอยสูงมาก", None),
        ("STRASSE WEITER OFFEN", "Die Straße weiter offen", "Straße weiter offen"),
    ],
    ids=["Chinese", "Arabic", "Hindi", "decomposed", "Thai", "case that changes the length"],
)
def test_any_script(text: str, document: str, source: str | None) -> None:
    ((_, found),) = shown(text, document)
    assert found == (source or document[document.index(found) :])
    assert loose(text, document) == []


def test_combining_mark_stays_with_its_letter() -> None:
    document = "Das Cafe\u0301 Mokka\u0301 schließt"
    ((_, source),) = shown("café mokká", document)
    assert source == "Cafe\u0301 Mokka\u0301"


@pytest.mark.parametrize(
    ("text", "document", "expected"),
    [
        ("เขาตูง ๓๓๐ เมตร", "หอคอยสูง ๓๓๐ เมตร", "ง ๓๓๐ เมตร"),
        ("The tower opens👍🏽", "The tower opens👍🏿 ok", "The tower opens"),
        ("👩\u200dab tower opens", "x👩\u200dab tower opens", "👩\u200dab tower opens"),
    ],
    ids=["vowel sign of another letter", "skin tone", "joiner before a word"],
)
def test_no_citation_begins_or_ends_within_a_character(
    text: str, document: str, expected: str
) -> None:
    assert [source for _, source in shown(text, document)] == [expected]


def test_evidence_longer_than_its_document() -> None:
    text = TOWER + " " + "Zebras sleep standing in warm grass. " * 30
    assert shown(text, TOWER)[0][1] == "The tower was opened in 1889."
    assert len(loose(text, TOWER)) == 30


WORDS = st.sampled_from(
    str.split(
        "the tower stands high Paris. is 1889, 中 国塔。 e\u0301 हिन्दी في البرج! <p> \u0301 a_b() ß"
    )
)
TEXTS = st.lists(WORDS, max_size=40).map(" ".join) | st.lists(WORDS, max_size=20).map("".join)


@settings(derandomize=True, max_examples=60, deadline=None)
@given(TEXTS, TEXTS, st.integers(0, 30))
def test_ranges_are_valid_and_in_order(text: str, document: str, border: int) -> None:
    check_ranges(text, document, min(border, len(document)))


def check_ranges(text: str, document: str, border: int) -> None:
    body = border if document[border - 1 : border] == " " else 0
    citations, unsupported = cite(text, document, body=body)
    for c in citations:
        assert 0 <= c.start < c.end <= len(text)
        assert 0 <= c.source_start < c.source_end <= len(document)
        assert c.source_start >= body or c.source_end <= body
    ranges = sorted([c[:2] for c in citations] + unsupported)
    assert all(end <= start for (_, end), (start, _) in pairwise(ranges))
    assert [c.start for c in citations] == sorted(c.start for c in citations)
    assert unsupported == sorted(unsupported)
    assert cite(text, document, body=body) == (citations, unsupported)
