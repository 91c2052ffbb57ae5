"""Detection of evidence texts without content."""

import pytest

from prism_cli.domain import evidence_text
from prism_cli.domain.evidence_text import shares_words
from prism_cli.domain.markup import unescaped, without_cdata

BRIDGES = "The Pont Neuf (1607) is the oldest of Paris's 37 bridges. Is it open? Yes; not closed."


@pytest.mark.parametrize(
    ("evidence", "document"),
    [
        ("Paris has many bridges.", BRIDGES),
        ("PARIS", BRIDGES),
        ("37", BRIDGES),
        ("A bridge.", BRIDGES),
        ("It was built in 1607;", BRIDGES),
        ("No bridge is older than Pont Neuf.", BRIDGES),
        ("北京有很多桥。", "北京是中国的首都。"),
        ("東京タワーは1958年に完成した。", "完成は1958年。"),
        ("กรุงเทพเป็นเมืองหลวง", "เมืองหลวงของไทยคือกรุงเทพมหานคร"),
        ("Талоssa", "талоssa"),
        ("서울은 수도이다.", "대한민국의 수도는 서울은 아니다."),
        ("Ｈ２Ｏ boils", "h2o"),
        ("서울은 수도이다.", "한국에서 서울의 인구가 가장 많다."),
        ("والكتاب مفيد.", "هذا كِتَابٌ قديم"),
        ("Le Resume", "un résumé"),
        ("cafe\u0301", "Caf\u00e9 au lait"),
    ],
)
def test_one_shared_content_word_is_enough(evidence: str, document: str) -> None:
    assert shares_words(evidence, document)


@pytest.mark.parametrize(
    "evidence",
    [
        "No;", "no", "Yes.", "yes;", "N/A", "None", "null", "-", "...", "", " ", ";",
        "Not relevant.",
        "The document is not relevant to the query.", "Nein.", "是", "不相关", "没有相关信息。",
        "いいえ", "Photosynthesis turns light into sugar.", "光合作用", "a", "\u200b", "<evidence>",
    ],
)  # fmt: skip
def test_refusals_and_unrelated_texts_are_not_evidence(evidence: str) -> None:
    document = (
        f"{BRIDGES} 没有。是的。いいえ。 A query: not relevant, none; null. - ... The document."
    )
    assert not shares_words(evidence, document)


class Counting(str):
    """A text that counts the searches in it."""

    searches = 0

    def __contains__(self, part: object) -> bool:
        Counting.searches += 1
        return str.__contains__(self, part)  # type: ignore[operator]


def test_a_repeated_entity_is_sought_once() -> None:
    Counting.searches = 0
    assert unescaped("a &amp; b " * 500, Counting("no such")) == "a & b " * 500
    assert Counting.searches < 20


def test_a_repeated_word_is_sought_once(monkeypatch: pytest.MonkeyPatch) -> None:
    Counting.searches = 0
    monkeypatch.setattr(evidence_text, "_folded", Counting)
    assert not shares_words("Zqx " * 500, "the harbour office")
    assert Counting.searches < 20


def test_cdata_sections_that_do_not_end_are_kept() -> None:
    opened = "<![CDATA[" * 3
    assert without_cdata(f"<![CDATA[a]]> {opened}", "") == f"a {opened}"
    assert without_cdata(opened, "") == opened
