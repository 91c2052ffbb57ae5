"""Cleaning and filtering of web pages."""

import pytest

from prism_cli.domain.web_pages import clean_text, scripts, sift, url_key


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("a\r\nb\rc\u2028d", "a\nb\nc\nd"),
        ("a\n\n\n \n\nb", "a\n\nb"),
        ("  a \t\u00a0 b  ", "a b"),
        ("a\x00b\x1b[1mc\ufeff\u202e\ud800d", "ab[1mcd"),
        ("Accept all cookies\nText.\nSkip to main content", "Text."),
        ("This website uses cookies to ensure the best experience.\nText.", "Text."),
        ("We use cookies to sweeten dough: " + "flour " * 40, None),
        ("Cookie policy makers met in Rome.", None),
        ("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", None),
        ("", ""),
    ],
)
def test_cleaned(text: str, cleaned: str | None) -> None:
    assert clean_text(text) == (text.strip() if cleaned is None else cleaned)


@pytest.mark.parametrize(
    "other",
    [
        "http://Example.org/a",
        "https://example.org/a/",
        "https://example.org:443/a#part",
        "https://example.org/a?utm_source=x&gclid=1&fbclid=",
    ],
)
def test_addresses_of_one_page(other: str) -> None:
    assert url_key(other) == url_key("https://example.org/a")


@pytest.mark.parametrize(
    "other",
    [
        "https://example.org/a?id=1",
        "https://example.org/A",
        "https://www.example.org/a",
        "https://example.org:8443/a",
        "https://example.org/",
    ],
)
def test_addresses_of_other_pages(other: str) -> None:
    assert url_key(other) != url_key("https://example.org/a")


@pytest.mark.parametrize(
    "text", ["", "javascript:x", "mailto:a@b.c", "https://", "http://[::1", "http://a:b/"]
)
def test_no_addresses(text: str) -> None:
    assert url_key(text) is None


def test_scripts_of_one_language_are_one() -> None:
    assert scripts("日々のデータ") == {"CJK": 6}
    assert scripts("ＡＢ 12 Ж!") == {"LATIN": 2, "CYRILLIC": 1}


def reasons(query: str, *texts: str, least: int = 5) -> list[str]:
    pages = [{"url": f"http://a/{n}", "title": "", "text": text} for n, text in enumerate(texts)]
    return [reason for _, reason in sift(query, pages, least)]


@pytest.mark.parametrize(
    ("query", "text", "expected"),
    [
        ("what is it", "это другой текст", False),
        ("pytorch 怎么安装", "先下载安装包再运行", True),
        ("pytorch 怎么安装", "install it with pip", True),
        ("怎么安装", "install it with pip", False),
        ("1 + 1 = ?", "это другой текст", True),
        ("what is it", "12345 67890", False),
        ("12 34", "12345 67890", True),
    ],
)
def test_script(query: str, text: str, expected: bool) -> None:
    assert (reasons(query, text) == [""]) is expected


def test_the_first_of_near_duplicate_texts_is_kept() -> None:
    text = " ".join(f"word{n}" for n in range(60))
    results = reasons("q", text, text.upper() + "!", text + " and more", text[: len(text) // 2])
    assert results == ["", "nearly the same text", "nearly the same text", ""]


def test_dropped_pages_do_not_count_as_duplicates() -> None:
    good = {"url": "http://a/", "title": "", "text": "long enough"}
    results = [reason for _, reason in sift("q", [good | {"text": "no"}, good], 5)]
    assert results == ["too short", ""]


def test_an_empty_text_is_always_too_short() -> None:
    assert reasons("q", "", " \n ", least=0) == ["too short"] * 2
