"""Language comparison: high precision of reported mismatches."""

import pytest

from prism_cli.domain.language_odds import LanguageOdds
from prism_cli.domain.languages import (
    language_difference,
    language_name,
    latin_language,
    other_language,
)
from prism_cli.domain.sentences import sentences
from tests.domain.passages import LANGUAGES, texts

TEXTS = {
    "English": "The tower was built in 1889 and is one of the sights of the city, which was then "
    "the largest of the country.",
    "German": "Der Turm wurde 1889 gebaut und ist eine der Sehenswürdigkeiten der Stadt, die "
    "damals die größte des Landes war.",
    "French": "La tour a été construite en 1889 et elle est une des curiosités de la ville, qui "
    "était alors la plus grande du pays.",
    "Spanish": "La torre fue construida en 1889 y es una de las atracciones de la ciudad, que era "
    "entonces la más grande del país.",
    "Italian": "La torre è stata costruita nel 1889 ed è una delle attrazioni della città, che "
    "era allora la più grande del paese.",
    "Portuguese": "A torre foi construída em 1889 e é uma das atrações da cidade, que era então a "
    "maior do país, mas não a mais antiga.",
    "Dutch": "De toren werd in 1889 gebouwd en is een van de bezienswaardigheden van de stad, die "
    "toen de grootste van het land was.",
}
SENTENCES = {
    "English": [
        "The ferry leaves at seven, except on Sundays.",
        "Nobody had repaired the roof, so the rain came in.",
    ],
    "German": [
        "Die Fähre fährt um sieben ab, außer an Sonntagen.",
        "Niemand hatte das Dach repariert, also regnete es herein.",
    ],
    "French": [
        "Le bac part à sept heures, sauf le dimanche.",
        "Personne n'avait réparé le toit, et la pluie entrait.",
    ],
    "Spanish": [
        "El transbordador sale a las siete, excepto los domingos.",
        "Nadie había arreglado el tejado, y entraba la lluvia.",
    ],
    "Italian": [
        "Il traghetto parte alle sette, tranne la domenica.",
        "Nessuno aveva riparato il tetto, perciò entrava la pioggia.",
    ],
    "Portuguese": [
        "A balsa parte às sete horas, exceto aos domingos.",
        "Ninguém tinha consertado o telhado, e a chuva entrava.",
    ],
    "Dutch": [
        "De veerboot vertrekt om zeven uur, behalve op zondag.",
        "Niemand had het dak gerepareerd, dus regende het binnen.",
    ],
    "Polish": [
        "Prom odpływa o siódmej, z wyjątkiem niedziel.",
        "Nikt nie naprawił dachu, więc deszcz padał do środka.",
    ],
    "Swedish": [
        "Färjan avgår klockan sju, utom på söndagar.",
        "Ingen hade lagat taket, så det regnade in.",
    ],
    "Danish or Norwegian": [
        "Færgen sejler klokken syv, undtagen om søndagen.",
        "Ingen hadde reparert taket, så det regnet inn.",
    ],
    "Turkish": [
        "Vapur saat yedide kalkıyor, pazar günleri hariç.",
        "Kimse çatıyı onarmamıştı, bu yüzden içeri yağmur giriyordu.",
    ],
    "Vietnamese": [
        "Phà rời bến lúc bảy giờ, trừ ngày chủ nhật.",
        "Không ai sửa mái nhà, nên nước mưa chảy vào.",
    ],
    "Indonesian or Malay": [
        "Kapal feri berangkat pukul tujuh, kecuali hari Minggu.",
        "Tidak ada yang memperbaiki atap, sehingga air hujan masuk.",
    ],
    "Czech": [
        "Přívoz odjíždí v sedm hodin, kromě neděle.",
        "Nikdo neopravil střechu, a tak dovnitř pršelo.",
    ],
    "Finnish": [
        "Lautta lähtee kello seitsemän, paitsi sunnuntaisin.",
        "Kukaan ei ollut korjannut kattoa, joten sade tuli sisään.",
    ],
    "Hungarian": [
        "A komp hétkor indul, kivéve vasárnaponként.",
        "Senki sem javította meg a tetőt, ezért beesett az eső.",
    ],
    "Romanian": [
        "Bacul pleacă la ora șapte, cu excepția duminicilor.",
        "Nimeni nu reparase acoperișul, așa că ploaia intra înăuntru.",
    ],
}
RUSSIAN = "Башня была построена в 1889 году и является одной из достопримечательностей города."
CHINESE = "这座塔建于一八八九年，是这座城市的名胜之一，当时是全国最大的城市。"
JAPANESE = "この塔は千八百八十九年に建てられ、当時国内最大だったこの都市の名所の一つです。"


@pytest.mark.parametrize("language", TEXTS)
def test_a_text_is_in_its_language(language: str) -> None:
    assert latin_language(TEXTS[language]) == language


@pytest.mark.parametrize("language", [*TEXTS, "Russian", "Chinese", "Japanese"])
def test_any_two_languages_differ(language: str) -> None:
    texts = TEXTS | {"Russian": RUSSIAN, "Chinese": CHINESE, "Japanese": JAPANESE}
    for other, text in texts.items():
        difference = language_difference(texts[language], text)
        assert (difference is None) == (language == other), (language, other, difference)


def test_a_difference_of_language_is_reported() -> None:
    assert language_difference(TEXTS["German"], TEXTS["English"]) == "German, the document English"
    assert language_difference(RUSSIAN, CHINESE) == (
        "Cyrillic script, the document Chinese or Japanese"
    )
    assert language_difference(CHINESE, JAPANESE) == "Chinese, the document Japanese"


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_sentence_of_a_real_document_is_in_another_language(language: str) -> None:
    differences = [
        (sentence, difference)
        for document in texts(language)
        for sentence in sentences(document)
        if (difference := language_difference(sentence, document))
    ]
    assert differences == []


def test_passages_of_two_languages_differ() -> None:
    for language in LANGUAGES:
        for other in LANGUAGES:
            pairs = list(zip(texts(language), texts(other), strict=False))
            mismatches = sum(
                language_difference(text, document) is not None for text, document in pairs
            )
            assert mismatches == 0 if language == other else mismatches > 0.8 * len(pairs), (
                language,
                other,
            )


def test_code_in_the_document_is_not_another_language() -> None:
    code = "for n in nums: if n % 2 == 0: nums.remove(n)"
    document = f"{CHINESE}{CHINESE} {code} {CHINESE}"
    assert language_difference(code, document) is None
    assert language_difference(TEXTS["English"], document) is not None
    assert language_difference("a loop that takes even ones out of nums", document) is not None


def test_a_table_has_no_language() -> None:
    table = "Phantom | no | no | no\nDirty read | no | no | possible"
    assert latin_language(table) is None
    assert language_difference(table, f"{TEXTS['English']}\n{table}") is None


@pytest.mark.parametrize(
    "text", ["", "1889", "print(x)", "Tour Eiffel, Paris", "Sky Movies HD 4K", "— … —"]
)
def test_short_texts_never_differ(text: str) -> None:
    assert language_difference(text, TEXTS["German"]) is None


def test_a_document_in_two_languages_matches_both() -> None:
    both = f"{TEXTS['English']} {CHINESE}"
    assert language_difference(TEXTS["English"], both) is None
    assert language_difference(CHINESE, both) is None
    assert language_difference(RUSSIAN, both) is not None
    quoted = f"{TEXTS['English'] * 5} The Chinese name is 塔."
    assert language_difference(CHINESE, quoted) is not None


def test_a_document_in_two_latin_languages_matches_both() -> None:
    both = f"{TEXTS['English']} {TEXTS['German']}"
    assert language_difference(TEXTS["English"], both) is None
    assert language_difference(TEXTS["German"], both) is None
    assert language_difference(TEXTS["French"], both) is not None


def test_a_quotation_of_the_document_is_not_another_language() -> None:
    quoted = f"{TEXTS['Spanish']} {TEXTS['English']} {TEXTS['Spanish']}"
    assert language_difference(TEXTS["English"], quoted) is None
    assert language_difference(TEXTS["English"], TEXTS["Spanish"] * 2) is not None


@pytest.mark.parametrize("language", SENTENCES)
def test_sentences_are_never_in_another_language(language: str) -> None:
    document = " ".join(SENTENCES[language])
    assert latin_language(document) == language
    for text in [*SENTENCES[language], *(text.split(",")[0] for text in SENTENCES[language])]:
        assert latin_language(text) in (language, None)
        assert language_difference(text, document) is None
        assert not any(other_language(text, name) for name in language.split(" or "))


@pytest.mark.parametrize("language", SENTENCES)
def test_a_document_in_another_language_is_reported(language: str) -> None:
    document = " ".join(SENTENCES[language])
    for other in SENTENCES:
        difference = language_difference(" ".join(SENTENCES[other]), document)
        assert (difference is None) == (language == other), (other, difference)


@pytest.mark.parametrize(
    "text",
    [
        "Mto huu unapita katika bonde kubwa, na wakazi wake hulima mahindi na maharage.",
        "El riu travessa la vall, i els pagesos hi conreen blat i ametllers des de fa segles.",
        "Rijeka teče kroz dolinu, a seljaci na njezinim obalama uzgajaju pšenicu i kukuruz.",
        "Jõgi voolab läbi oru ning talupojad kasvatavad selle kallastel nisu ja kartuleid.",
    ],
)  # fmt: skip
def test_other_latin_languages_have_no_name(text: str) -> None:
    assert latin_language(text) is None
    assert other_language(text, "English") is None


@pytest.mark.parametrize(
    ("name_given", "name"),
    [
        ("zh", "Chinese"), ("zh-CN", "Chinese"), ("pt_BR", "Portuguese"), ("EN", "English"),
        ("german", "German"), (" Russian ", "Russian"), ("Klingon", "Klingon"), ("", ""),
        ("simplified Chinese", "simplified Chinese"),
    ],
)  # fmt: skip
def test_a_language_is_named_by_code_or_name(name_given: str, name: str) -> None:
    assert language_name(name_given) == name


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize(
    "expected", ["English", "German", "Czech", "Chinese", "Russian", "Klingon"]
)
def test_a_text_in_a_named_language(name: str, expected: str) -> None:
    different = expected not in (name, "Klingon")
    assert bool(other_language(TEXTS[name], expected)) == different


def test_names_in_another_script_do_not_count() -> None:
    assert other_language("iPhone 15 Pro", "Chinese") is None
    assert other_language("2 + 2", "Chinese") is None
    assert other_language("how to clean wounds", "Chinese") == "Latin script, expected Chinese"
    assert other_language("Det er ikke en by, og det var en av de", "Danish") is None
    japanese = "これは傷口をきれいにする方法です"
    assert other_language(japanese, "Japanese") is None
    assert other_language(japanese, "Chinese") == "Japanese, expected Chinese"


def test_odds_are_those_of_py3langid() -> None:
    from py3langid.langid import rank

    texts = (
        "The lighthouse was built of stone. " * 40, "Der Turm wurde aus Stein gebaut.", "été",
        "NFD: u\u0308ber allem", "ALL IN CAPITALS", "Маяк построен из камня.",
        "灯塔是用石头建造的。", "x", "12 %", "", "Ignored lone surrogate \ud800",
    )  # fmt: skip
    odds = LanguageOdds(lambda code: code)
    for text in texts:
        (first, most), (_, next_most), *_ = rank(text)
        expected = (first, most - next_most) if most > next_most else (None, 0.0)
        assert odds.best(text) == expected, text
