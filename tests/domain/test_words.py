"""Word counts in scripts with and without spaces."""

import pytest

from prism_cli.domain.words import count_words


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
