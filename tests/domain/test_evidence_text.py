"""What can be evidence, and what is blank."""

import pytest

from prism_cli.domain.evidence_text import tells_of
from prism_cli.domain.words import is_blank

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
        ("cafe\u0301", "Caf\u00e9 au lait"),
    ],
)
def test_one_word_with_meaning_in_common_is_enough(evidence: str, document: str) -> None:
    assert tells_of(evidence, document)


@pytest.mark.parametrize(
    "evidence",
    [
        "No;", "no", "Yes.", "yes;", "N/A", "None", "null", "-", "...", "", " ", ";",
        "Not relevant.",
        "The document is not relevant to the query.", "Nein.", "是", "不相关", "没有相关信息。",
        "いいえ", "Photosynthesis turns light into sugar.", "光合作用", "a", "\u200b", "<evidence>",
    ],
)  # fmt: skip
def test_answers_refusals_and_other_subjects_are_no_evidence(evidence: str) -> None:
    document = (
        f"{BRIDGES} 没有。是的。いいえ。 A query: not relevant, none; null. - ... The document."
    )
    assert not tells_of(evidence, document)


@pytest.mark.parametrize(
    ("text", "blank"),
    [
        ("", True),
        (" \t\r\n\u00a0\u3000\u2028", True),
        ("\u200b\u200d\ufeff\u2060\u00ad\x00\u3164\u2800\ufe0f", True),
        (".", False),
        (" a ", False),
        ("\u200b文", False),
        ("👍", False),
        ("\u0301", False),
    ],
)
def test_blank_is_what_cannot_be_seen(text: str, blank: bool) -> None:
    assert is_blank(text) is blank
