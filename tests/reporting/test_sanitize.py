"""Foreign text, made safe to show."""

import pytest

from prism_cli.reporting.sanitize import escape_invisible, one_line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\tb\nc", "a\tb\nc"),
        ("a\r\nb", "a\nb"),
        ("a\rb", "a⟨U+000D⟩b"),
        ("\u200b" * 7, "⟨U+200B U+200B U+200B U+200B … 3 more⟩"),
        ("👨\u200d👩", "👨\u200d👩"),  # a joiner where it belongs
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("a\u200db", "a⟨U+200D⟩b"),
        ("❤\ufe0f", "❤\ufe0f"),
        ("❤\ufe0f\ufe01\ufe02", "❤\ufe0f⟨U+FE01 U+FE02⟩"),
        ("\ud83d", "⟨U+D83D⟩"),
        ("é עברית नमस्ते", "é עברית नमस्ते"),
    ],
)
def test_invisible_characters_become_their_code_points(text: str, shown: str) -> None:
    assert escape_invisible(text) == shown


def test_one_line_is_cut_with_an_ellipsis() -> None:
    assert one_line("a\n b\tc", 9) == "a b c"
    assert one_line("abcdef", 4) == "abc…"
    assert one_line("abcd", 4) == "abcd"
    assert len(one_line("\x00" * 10**6, 20)) == 20
