"""A model that invents: its texts are grounded in the document, in every class of facts."""

from collections import Counter
from unicodedata import normalize

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prism_cli.domain.fidelity import entity_fidelity
from prism_cli.domain.grounded_texts import grounded_texts
from prism_cli.domain.grounding import GroundedDocument

DOCUMENTS = {
    "English": (
        "Who opened the tower?",
        "The Alder Tower was opened by Marta Quill on 3 May 1889. It is 330 metres high and cost "
        '$7,800. NASA calls it "a sign of the age" (see https://example.org/alder). Run '
        "`tower --light` or call open_gate() at dusk. Many people visit it in summer.",
    ),
    "German": (
        "Wie hoch ist der Turm?",
        "Der Erlenturm wurde am 12. Juli 1889 von Marta Quill eröffnet. Er ist 330 m hoch und "
        "kostete 7.800 €. Die UNESCO nennt ihn „ein Zeichen der Zeit“. Viele Menschen besuchen ihn "
        "im Sommer.",
    ),
    "Chinese": (
        "这座塔有多高？",
        "阿尔德塔于1889年5月3日开放。这座塔高330米，耗资7800元。人们称它为「时代的标志」。每年夏天有许多人来参观。",
    ),
    "Arabic": (
        "ما ارتفاع البرج؟",
        "افتُتح برج الوادي عام 1889 على يد مرتا. يبلغ ارتفاع البرج 330 مترًا وكلف 7800 دينار. "
        "يسميه الناس «علامة العصر». يزوره كثيرون في الصيف.",
    ),
    "Hindi": (
        "मीनार कितनी ऊँची है?",
        "मीनार 1889 में खुली। इसकी ऊँचाई 330 मीटर है और इस पर 7800 रुपये "
        "खर्च हुए। लोग इसे «युग की निशानी» कहते हैं। "
        "गर्मियों में बहुत लोग आते हैं।",
    ),
}
LIES = {
    "number": "It is 475 metres high.",
    "unit": "It is 330 kilometres high and cost $7,800.",
    "date": "The tower was opened on 9 June 1891.",
    "name": "The tower was opened by Bernard Falk.",
    "acronym": "The CNES calls it a sign.",
    "quotation": 'NASA calls it "the pride of the coast".',
    "url": "See https://example.com/falk for the tower.",
    "code": "Run `tower --dark` or call close_gate() at dusk.",
    "glued words": "Thisheatedly implied that thesechannels wouldoffera range.",
}


@pytest.mark.parametrize("language", DOCUMENTS)
@pytest.mark.parametrize("lie", LIES)
def test_no_invented_fact_is_left(language: str, lie: str) -> None:
    query, document = DOCUMENTS[language]
    for evidence in (LIES[lie], f"{LIES[lie]} {document}", f"{document} {LIES[lie]}"):
        grounds = GroundedDocument(document, 0, query)
        faults = grounds.faults(evidence)
        if lie != "glued words" or language == "English":
            assert faults
        if faults:
            assert grounds.faults(LIES[lie])
            result = grounds.grounded(LIES[lie], evidence)
            assert result.origin in ("repaired", "extracted")
            assert result.faults >= 2
            for text in result[:2]:
                assert text
                assert grounds.faults(text) == []
                assert entity_fidelity(text, f"{document}\n{query}").missing == ()


@pytest.mark.parametrize(
    ("document", "lie"),
    [
        ("Der Turm wurde am 3. Mai 1889 eröffnet.", "Der Turm wurde am 3. Juni 1889 eröffnet."),
        ("La tour fut inaugurée le 3 mai 1889.", "La tour fut inaugurée le 3 juin 1889."),
        ("La torre abrió el 3 de mayo de 1889.", "La torre abrió el 3 de junio de 1889."),
        ("Башню открыли 3 мая 1889 года.", "Башню открыли 3 июня 1889 года."),
        ("افتتح البرج في 3 مايو 1889.", "افتتح البرج في 3 يونيو 1889."),
        ("मीनार 3 मई 1889 को खुली।", "मीनार 3 जून 1889 को खुली।"),
        ("La tour mesure 330 mètres.", "La tour mesure 330 kilomètres."),
        ("La torre costó 7,8 millones.", "La torre costó 7,8 mil millones."),
        ("Высота башни 330 метров.", "Высота башни 330 километров."),
        ("يبلغ ارتفاع البرج 330 مترا.", "يبلغ ارتفاع البرج 330 كيلومترا."),
        ("मीनार 330 मीटर ऊँची है।", "मीनार 330 किलोमीटर ऊँची है।"),
        ("这座塔高330米。", "这座塔高330公里。"),
        ("这座塔耗资7800万元。", "这座塔耗资7800元。"),
        ("탑의 비용은 7800만 원이다.", "탑의 비용은 7800억 원이다."),
    ],
)
def test_month_or_unit_of_another_language_is_compared(document: str, lie: str) -> None:
    grounds = GroundedDocument(document, 0, "")
    assert grounds.faults(document) == []
    assert grounds.faults(lie)
    assert grounds.grounded(lie, lie).evidence == document


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ("يبلغ ارتفاع البرج ٣٣٠ مترا.", "يبلغ ارتفاع البرج 330 مترا."),
        ("نسبة الإشغال ٤٥٪ والسعر ٣٫٥", "نسبة الإشغال 45% والسعر 3.5"),
        ("मीनार ३३० मीटर ऊँची है।", "मीनार 330 मीटर ऊँची है।"),
        ("La tour fut inaugurée le 3 mai 1889.", "It was inaugurated on 3 May 1889."),
    ],
    ids=["Arabic digits", "Arabic signs", "Hindi digits", "month in two languages"],
)
def test_same_fact_in_other_digits_or_names_stays(document: str, text: str) -> None:
    grounds = GroundedDocument(document, 0, "")
    assert grounds.faults(text) == []


def test_sentence_is_replaced_by_the_one_it_rests_on() -> None:
    query, document = DOCUMENTS["English"]
    evidence = "The tower cost $7,800. The Alder Tower was opened by Marta Quill on 4 May 1889."
    result = GroundedDocument(document, 0, query).grounded("Says who opened it.", evidence)
    first = document.split(". ")[0] + "."
    assert result == (f"The tower cost $7,800. {first}", "Says who opened it.", "repaired", 1)


def test_no_sentence_is_repeated() -> None:
    query, document = DOCUMENTS["English"]
    first = document.split(". ")[0] + "."
    lie = "The Alder Tower was opened by Marta Quill on 4 May 1889."
    grounds = GroundedDocument(document, 0, query)
    assert grounds.grounded("Opened.", f"{first} {lie}").evidence == first
    assert grounds.grounded("Opened.", f"{lie} {lie}").evidence == first


def test_sentence_that_rests_on_nothing_is_left_out() -> None:
    query, document = DOCUMENTS["English"]
    evidence = "Many people visit it in summer. Zebras weigh 475 kg."
    result = GroundedDocument(document, 0, query).grounded("Opened.", evidence)
    assert result[::2] == ("Many people visit it in summer.", "repaired")


def test_sentence_without_any_fact_that_rests_on_nothing_is_left_out() -> None:
    query, document = DOCUMENTS["English"]
    grounds = GroundedDocument(document, 0, query)
    visit, echo = "Many people visit it in summer.", "Zebras sleep standing beneath acacias."
    assert grounds.grounded("Opened.", f"{echo} {visit}")[::2] == (visit, "repaired")
    assert grounds.grounded("Opened.", f"No. {visit}")[::2] == (f"No. {visit}", "generated")
    first = DOCUMENTS["English"][1].split(". ")[0] + "."
    assert grounds.grounded("Opened.", query)[::2] == (first, "repaired")


def test_translation_shares_no_words_and_stays() -> None:
    query, document = DOCUMENTS["English"]
    text = "Cette tour mesure 330 m de haut et beaucoup de gens la visitent pendant les vacances."
    assert GroundedDocument(document, 0, query).grounded("Opened.", text)[::2] == (
        text,
        "generated",
    )


@pytest.mark.parametrize("evidence", [None, "", "No;", "N/A", "Zebras sleep standing."])
def test_unusable_evidence_becomes_the_closest_sentences(evidence: str | None) -> None:
    query, document = DOCUMENTS["English"]
    result = GroundedDocument(document, 0, query).grounded(None, evidence)
    assert result.origin == "extracted"
    assert result.evidence.startswith("The Alder Tower was opened by Marta Quill on 3 May 1889.")
    assert result.contribution == (
        "The passage states that the Alder Tower was opened by Marta Quill on 3 May 1889."
    )


def test_text_without_a_fault_stays_as_it_is() -> None:
    query, document = DOCUMENTS["English"]
    texts = ("Says  who\nopened it.", "Marta Quill opened  it\non 3 May 1889.\n\nIt is high.")
    result = GroundedDocument(document, 0, query).grounded(*texts)
    assert result == (texts[1], texts[0], "generated", 0)


@pytest.mark.parametrize(
    ("query", "contribution", "stays"),
    [
        ("Who opened the tower?", "The tower was opened.", False),
        ("Who opened the tower?", "Marta Quill opened the tower.", True),
        ("Who opened the tower?", "It names who opened the tower.", True),
        ("tower height", "The height of the tower.", False),
        ("When was the tower opened?", "The tower was opened in 1889.", True),
        ("Who may not enter the tower?", "The tower may not be entered.", False),
        ("Who opened the tower?", "The tower was not opened.", True),
        ("Who opened tower B?", "The tower was opened.", False),
        ("Which tower was opened?", "Tower B was opened.", True),
        ("Was the tower opened?", "The tower was opened.", True),
        ("Is the tower open or closed?", "The tower is open.", True),
    ],
)
def test_a_contribution_that_says_what_the_query_says_is_made_of_the_document(
    query: str, contribution: str, stays: bool
) -> None:
    document = DOCUMENTS["English"][1]
    evidence = "The Alder Tower was opened by Marta Quill on 3 May 1889."
    result = GroundedDocument(document, 0, query).grounded(contribution, evidence)
    assert (result.contribution == contribution) == stays
    assert stays or result.contribution == (
        "The passage states that the Alder Tower was opened by Marta Quill on 3 May 1889."
    )


def test_the_query_may_hold_the_number() -> None:
    grounds = GroundedDocument("The tower is high.", 0, "Is the tower 330 metres high?")
    assert grounds.faults("The tower is 330 metres high.") == []


def test_title_is_evidence_only_where_the_text_has_no_sentence() -> None:
    titled = "Opened in 1889 by Marta Quill"
    grounds = GroundedDocument(f"{titled} It stands in a park.", len(titled) + 1, "Who opened it?")
    assert grounds.extract() == "It stands in a park."
    assert GroundedDocument(f"{titled} ---", len(titled) + 1, "Who?").extract().startswith(titled)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ("<p></p>", "<p></p>"),
        (" !!! … ", "!!! …"),
        ("?" * 5000, "?" * 600),
        ("1889", "1889"),
    ],
)
def test_document_without_sentences_still_gives_evidence(document: str, expected: str) -> None:
    result = GroundedDocument(document, 0, "Why?").grounded(None, None)
    assert result.evidence == expected
    assert result.contribution
    assert result.origin == "extracted"


def test_places_of_faults_are_those_of_the_text_as_it_is() -> None:
    grounds = GroundedDocument("The tower stands.", 0, "How high?")
    text = "ﬁne ﬃ “４７５ kg” e\u0301 ½ of 99 %"
    assert [text[start:end] for start, end in grounds.faults(text)] == [
        "“４７５ kg”",
        "４７５ kg",
        "½",
        "99 %",
    ]


def test_joins_fit_the_script() -> None:
    query, document = DOCUMENTS["Chinese"]
    evidence = "这座塔高475米，耗资7800元。阿尔德塔于1890年5月3日开放。"
    first, second = document.split("。")[:2]
    result = GroundedDocument(document, 0, query).grounded("塔高330米。", evidence)
    assert result[::2] == (f"{second}。{first}。", "repaired")


PIECES = st.sampled_from(
    str.split(
        'The tower Marta Quill 330 metres 1889. It is 7,800 3 May NASA “age” " `x_y` f() --go 米。 '
        "「塔」高 e\u0301 ½ 12% में। http://a.b/c thesechannels • \u0301 <p> $ - S.A. Nov. ≥5 kg MiX "
        "€5 -5 −7 °C minus seven million sieben 三十万 三个 'age' ‘it is’ « tower » Москва США "
        "a@b.org v2.3.1 +1 (555) 123-4567 3:2 #tag ./a/b.py 5m 10.1000/x years Jahre "
    )
)
TEXTS = st.one_of(
    st.lists(PIECES, min_size=1, max_size=30).map(" ".join),
    st.lists(PIECES, min_size=1, max_size=12).map("".join),
    st.lists(PIECES, min_size=1, max_size=12).map("\n".join),
)


@settings(
    derandomize=True, max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
@given(TEXTS, TEXTS, TEXTS, st.sampled_from(["{0}", "{1} {0}", "{0} {1}", ""]))
def test_grounded_texts_have_no_missing_entity(
    text: str, document: str, query: str, form: str
) -> None:
    check_grounding(form.format(text, document) or None, document, query)


def check_grounding(evidence: str | None, document: str, query: str) -> str:
    result = GroundedDocument(document, 0, query).grounded(None, evidence)
    assert result.evidence
    assert entity_fidelity(result.evidence, f"{document}\n{query}").missing == ()
    assert result.origin != "generated" or result.evidence == evidence
    assert GroundedDocument(document, 0, query).grounded(None, evidence) == result
    return result.origin


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_ranges_of_decomposed_text_are_those_of_its_own_characters(form: str) -> None:
    document = "한강은 서울을 흐르는 강이다. 길이는 494km이다."
    text = normalize(form, "한강은 서울을 흐르는 강이다. 길이는 999km이다.")  # type: ignore[arg-type]
    fields = grounded_texts("한강 길이", document, 0, text, text, mode="report", counts=Counter())
    assert [text[start:end] for start, end in fields["unsupported"]] == ["999"]
