"""Histograms of scores before and after, as text and as SVG."""

from typing import Any
from xml.etree import ElementTree

import pytest

from prism_cli.commands.histogram import svg, terminal_lines

pytestmark = pytest.mark.figures


def bins(before: list[int], after: list[int]) -> list[dict[str, Any]]:
    width = 1 / len(before)
    return [
        {"score": f"{index * width:.2f}-{(index + 1) * width:.2f}", "before": count, "after": other}
        for index, (count, other) in enumerate(zip(before, after, strict=True))
    ]


FIGURES = {
    "histogram": bins([4000, 1000, 0, 1], [1000, 1000, 0, 1]),
    "histograms": {
        "nq": bins([3000, 1000, 0, 0], [500, 1000, 0, 0]),
        "x & <y>": bins([1000, 0, 0, 1], [500, 0, 0, 1]),
    },
}


def test_bars_are_as_long_as_their_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "70")
    lines = terminal_lines(FIGURES, "utf-8")
    bars = [line.rpartition("  ")[2] for line in lines[2:6]]
    assert bars[0] == "█" * 10 + "░" * 30
    assert bars[1] == "█" * 10
    assert set(bars[2]) == {"0"}
    assert bars[3] == "█"
    assert "4,000" in lines[2]
    assert max(map(len, lines)) <= 70
    assert "4,000  before  █▃    1,500  after  ▂▃" in lines[7]


def test_ascii_bars_where_the_terminal_has_no_other_characters() -> None:
    for encoding in ("ascii", "latin-1", None):
        lines = "\n".join(terminal_lines(FIGURES, encoding))
        assert lines.isascii()
        assert "##." in lines
        assert "1,500  after" in lines


def test_an_empty_histogram_is_drawn() -> None:
    assert "0" in terminal_lines({"histogram": bins([0, 0], [0, 0])}, "utf-8")[2]
    assert svg({"histogram": bins([0, 0], [0, 0])})


def test_the_svg_has_text_and_is_reproducible() -> None:
    chart = svg(FIGURES)
    assert chart == svg(FIGURES)
    tree = ElementTree.fromstring(chart)
    labels = {
        "".join(element.itertext()) for element in tree.iter() if element.tag.endswith("text")
    }
    assert {
        "Scores before and after sampling", "score", "rows", "before", "after",
        "all rows: 5,001 → 2,001", "nq: 4,000 → 1,500", "x & <y>: 1,001 → 501",
    } <= labels  # fmt: skip
    # Distinguishable without colour: only the bars of `before` are hatched.
    assert b"<pattern" in chart


def test_the_svg_has_at_most_twelve_panels() -> None:
    many = {f"s{number}": bins([5, 1], [1, 1]) for number in range(20)}
    chart = svg({"histogram": bins([100, 20], [20, 20]), "histograms": many}).decode()
    assert "s10: 6 → 2" in chart
    assert "s11: 6 → 2" not in chart


@pytest.mark.filterwarnings("error")
def test_any_source_name_is_drawn_as_it_stands_whatever_the_settings_of_the_user() -> None:
    import matplotlib as mpl

    names = ["$\\frac$ x", "日本\x1b\0", "long " * 40]
    figures = FIGURES | {"histograms": {name: bins([5, 1], [1, 1]) for name in names}}
    with mpl.rc_context({"text.usetex": True, "svg.fonttype": "path", "savefig.dpi": 999}):
        chart = svg(figures)
    text = "".join(ElementTree.fromstring(chart).itertext())
    assert "$\\frac$ x: 6 → 2" in text
    assert "日本⟨U+001B U+0000⟩: 6 → 2" in text
    assert "long long…: 6 → 2" in text
    assert chart == svg(figures)
