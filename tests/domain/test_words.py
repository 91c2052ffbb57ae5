"""Word counts in scripts with and without spaces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_cli.domain.words import count_words, is_between_characters


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("Eiffel Tower height", 3),
        ("Größe – Höhe", 2),
        ("上海 地铁 末班车 时间", 5),
        ("糖尿病患者 早餐 食谱", 5),
        ("Python列表", 2),
        ("コーヒー 健康効果", 3),
        ("ร้านอาหาร กรุงเทพ", 4),
        ("한국의 수도", 2),
    ],
)
def test_words_are_counted_in_every_script(text: str, count: int) -> None:
    assert count_words(text) == count


SIGNS = "🇩🇪👍🏽\u200d\ufe0fके्षำ\u1112\u1161\u11ab\u0600\r\n"


@given(st.text(st.characters() | st.sampled_from(SIGNS)))
def test_places_between_characters_are_boundaries_of_unicode_too(text: str) -> None:
    regex = pytest.importorskip("regex", reason="pip install regex")
    ends = {match.end() for match in regex.finditer(r"\X", text)} | {0}
    assert {at for at in range(len(text)) if is_between_characters(text, at)} <= ends
