"""The page: closed to whatever its texts hold, and complete."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from prism_cli.reporting.html import render_page
from prism_cli.reporting.page import (
    Bar,
    Bars,
    Excerpt,
    Excerpts,
    Line,
    Lines,
    Note,
    Page,
    Section,
    Table,
)
from tests.reporting.pages import HARMLESS, HOSTILE, page_of, ranking_page


class Read(HTMLParser):
    """Elements in order, attributes, and the words of the page."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, tuple[str, ...]]] = []
        self.attributes: list[tuple[str, str]] = []
        self.words = ""
        self.style = ""
        self._inside: list[str] = []
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if (tag, attrs) == ("small", [("class", "hidden")]):
            return
        names = tuple(name for name, _ in attrs if name not in ("class", "transform"))
        self.elements.append((tag, names))
        self.attributes += [(name, value or "") for name, value in attrs]
        self._inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        self._inside.append("")

    def handle_data(self, data: str) -> None:
        if self._inside and self._inside[-1] == "style":
            self.style += data
        else:
            self.words += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")

    def unknown_decl(self, data: str) -> None:
        raise AssertionError(f"a declaration: {data}")


@pytest.fixture(scope="module")
def harmless() -> Read:
    return Read(render_page(page_of(HARMLESS)))


@pytest.mark.parametrize("name", [name for name in HOSTILE if name != "empty"])
def test_no_text_yields_an_element_of_its_own(name: str, harmless: Read) -> None:
    page = render_page(page_of(HOSTILE[name]))
    found = Read(page)
    assert found.elements == harmless.elements
    assert b"<script" not in page
    assert_drawings_are_xml(page)
    assert {name for name, _ in found.attributes} == {name for name, _ in harmless.attributes}
    for attribute, value in found.attributes:
        assert attribute != "style"
        assert not attribute.startswith("on")
        if attribute in ("href", "src", "xlink:href"):
            assert value.startswith("#") or value == "data:,"
        if attribute in ("fill", "stroke", "clip-path"):
            assert "http" not in value


def test_an_empty_text_renders() -> None:
    page = render_page(page_of(""))
    assert b"<main>" in page
    assert_drawings_are_xml(page)
    assert b"Provenance" in render_page(Page("", "", ()))


def test_what_cannot_be_seen_is_spelled() -> None:
    text = "a\u202eb\u2066\x00\ud800c\U000e0041"
    page = render_page(Page("t", "h", (Section("s", "", (Note(text),)),))).decode()
    mark = '<small class="hidden">{}</small>'.format
    assert f"a{mark('U+202E')}b{mark('U+2066 U+0000 U+D800')}c{mark('U+E0041')}" in page
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x00\ud800-\udfff\U000e0000-\U000e007f]", page)


def test_the_policy_allows_the_style_and_nothing_else(harmless: Read) -> None:
    policy = next(value for name, value in harmless.attributes if "default-src" in value)
    digest = base64.b64encode(hashlib.sha256(harmless.style.encode()).digest()).decode()
    assert policy.split("; ") == [
        "default-src 'none'",
        f"style-src 'sha256-{digest}'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    assert len(harmless.style) > 1000
    assert "url(" not in harmless.style
    assert "@import" not in harmless.style


def test_ids_are_met_once_and_all_references_lead_somewhere(harmless: Read) -> None:
    ids = [value for name, value in harmless.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    used = [value[1:] for name, value in harmless.attributes if name == "href" and value[:1] == "#"]
    for _, value in harmless.attributes:
        used += re.findall(r"url\(#([^)]+)\)", value)
    assert used
    assert set(used) <= set(ids)


def test_same_page_same_bytes() -> None:
    assert render_page(page_of(HARMLESS)) == render_page(page_of(HARMLESS))


def test_every_figure_has_its_numbers_and_headings_are_in_order(harmless: Read) -> None:
    tags = [tag for tag, _ in harmless.elements]
    assert tags.count("figure") == 4
    assert tags.count("table") == 6
    levels = [int(tag[1]) for tag in tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_one_bar_is_a_table_and_no_figure() -> None:
    bars = Bars("Share of it", "share", (("", (Bar("alone", 0.25, 0.125, 0.5),)),))
    found = Read(render_page(Page("t", "h", (Section("s", "", (bars,)),))))
    tags = [tag for tag, _ in found.elements]
    assert (tags.count("figure"), tags.count("svg"), tags.count("table")) == (0, 0, 1)
    assert all(word in found.words for word in ("Share of it", "alone", "0.250", "0.125 to 0.500"))


def test_numbers_are_written_for_people() -> None:
    table = Table(("a", "b", "c", "d"), (("x", -1234.56789, 0.00001, None), ("y", 2.0, 0, 7)), "T")
    words = Read(render_page(Page("t", "h", (Section("s", "", (table,)),)))).words
    assert all(word in words for word in ("−1,234.5679", "<0.0001", "–", "2.0000"))


def test_long_texts_are_cut_and_say_so() -> None:
    excerpt = Excerpt("h", (), (("text", "x\u202e" * 500_000),))
    page = render_page(Page("t", "h", (Section("s", "", (Excerpts("e", (excerpt,)),)),)))
    assert b"980,000 more characters" in page
    assert len(page) < 1_000_000


def test_the_command_is_one_that_a_shell_reads() -> None:
    page = Page("t", "h", (), (), {"command": ["prism", "eval", "a b", "c'd"]})
    assert "prism eval 'a b' 'c'\"'\"'d'" in Read(render_page(page)).words


def test_nine_sets_and_four_systems_are_a_small_file() -> None:
    assert len(render_page(ranking_page(9, 4))) < 150_000


def test_a_curve_of_one_point_is_words_and_no_dot() -> None:
    curve, once = Line("many", ((0.0, 0.1), (1.0, 0.9))), Line("one", ((0.5, 0.25),))
    both = Lines("Curves", "share", "value", (curve, once))
    text = render_page(page_with(both)).decode()
    assert "Curves; one: 0.250 at share 0.5, the only point" in text
    assert text.count("<svg") == 2  # wide and narrow
    alone = render_page(page_with(Lines("Curves", "share", "value", (once,)))).decode()
    assert "<svg" not in alone
    assert "0.250" in alone


def test_points_are_drawn_and_listed_by_name() -> None:
    lines = (Line("documents", ((1234.5, 0.75),)), Line("evidence", ((90.0, 0.5),)))
    page = page_with(Lines("F1 against tokens", "tokens", "F1", lines, scatter=True))
    text = render_page(page).decode()
    assert text.count("<svg") == 2  # wide and narrow
    assert "the only point" not in text
    words = Read(text.encode()).words
    assert all(word in words for word in ("documents", "1,234.5", "0.750", "90", "0.500"))


def test_a_table_that_goes_on_has_shadows_and_no_script() -> None:
    text = render_page(page_with(Table(("a",), (("b",),)))).decode()
    assert "no-repeat local" in text
    assert "<script" not in text


def assert_drawings_are_xml(page: bytes) -> None:
    drawings = re.findall("<svg.*?</svg>", page.decode(), re.DOTALL)
    assert len(drawings) > 5
    for drawing in drawings:
        ElementTree.fromstring(drawing)


def page_with(part: Lines | Table) -> Page:
    return Page("Title", "Headline", (Section("Section", "", (part,)),))
