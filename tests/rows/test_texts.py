"""Blank texts, and characters that are not allowed."""

import pytest

from prism_cli.rows.texts import is_blank, stripped, text_fault, titled


@pytest.mark.parametrize(
    ("text", "blank"),
    [
        ("", True),
        (" \t\r\n\u00a0\u3000\u2028", True),
        ("\u200b\u200d\ufeff\u2060\u00ad\x00\u3164\u2800\ufe0f", True),
        ("\u200b", True),
        ("\u2060", True),
        ("\u180e", True),
        ("\u3164", True),
        ("\x7f\x1b\x85", True),
        ("\u2066\U000e0041", True),
        (".", False),
        ("\x00a", False),
        (" a ", False),
        ("\u200b文", False),
        ("👍", False),
        ("\u0301", False),
    ],
)
def test_blank_means_without_visible_characters(text: str, blank: bool) -> None:
    assert is_blank(text) is blank


def test_a_blank_text_is_none() -> None:
    assert stripped(" \u200b\ufeff") == ""
    assert stripped(" a\u200b\n") == "a\u200b"
    assert [titled(title, "d") for title in ("t", "", None, " ", "\u2060\u3164")] == [
        "t d", "d", "d", "d", "d",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a\0b", "a NUL character at offset 1"),
        ("\u200b\ud83d", "half of a surrogate pair at offset 1"),
        ("\udc00", "half of a surrogate pair at offset 0"),
        ("\U0001f600 \ufffd \x01", None),
    ],
)
def test_nul_and_lone_surrogates_are_found(text: str, fault: str | None) -> None:
    assert text_fault(text) == fault
