"""Places of plain text in its source, for texts in any form of Unicode."""

from unicodedata import normalize

import pytest

from prism_cli.domain.plain_text import places, plain


def test_every_decomposed_character_has_as_many_places_as_plain_characters() -> None:
    decomposed = {
        text
        for char in map(chr, range(0x30000))
        for form in ("NFD", "NFKD")
        if len(text := normalize(form, char)) > 1
    }
    assert len(decomposed) > 10_000
    assert not [text for text in decomposed if len(plain(text)) != len(places(text)[0])]


@pytest.mark.parametrize(
    "text",
    ["a\uff9e\u0301", "ﾡￂﾤ 12", "ㄱㅏㄳ 12", "\u1112\u1161\u11ab\u11ab", "\u0cc6\u0cc2\u0cd5"],
)
def test_places_of_characters_that_compose_across_others(text: str) -> None:
    starts, ends = places(text)
    assert len(plain(text)) == len(starts) == len(ends)
    assert all(begin < end for begin, end in zip(starts, ends, strict=True))


def test_a_piece_ends_where_nothing_composes() -> None:
    assert places("ೋಕx") == ([0, 1, 2], [1, 2, 3])
    assert places("\u0cc6\u0cc2\u0cd5ಕ") == ([0, 3], [3, 4])
