"""Figures as SVG."""

import re
from xml.etree import ElementTree

import pytest

from prism_cli.reporting.charts import Chart, draw, page_colours, svg_file
from prism_cli.reporting.colours import DARK, LIGHT, SERIES
from prism_cli.reporting.figure_text import NARROW, WIDTH
from prism_cli.reporting.page import Bar, Bars, HeatMap, Histogram, Line, Lines
from tests.reporting.pages import HARMLESS, parts_of

NAN, INFINITE = float("nan"), float("inf")
ODD: dict[str, Chart] = {
    "no bars": Bars("t", "x", ()),
    "an empty group": Bars("t", "x", (("g", ()),)),
    "bars without values": Bars("t", "x", (("g", (Bar("a", NAN), Bar("b", INFINITE, 0, NAN))),)),
    "zeros": Bars("t", "x", (("g", (Bar("a", 0.0), Bar("b", 0.0, 0, 0))),)),
    "negative": Bars("t", "x", (("g", (Bar("a", -2.0, -3, -1), Bar("b", 1.0))),), top=1.0),
    "huge": Bars("t", "x", (("g", (Bar("a", 1e12), Bar("b", 1e-12))),)),
    "many": Bars("t", "x", (("g", (Bar("a", 0.5, 0.4, 0.6),) * 40),) * 11),
    "no lines": Lines("t", "x", "y", ()),
    "a line without points": Lines("t", "x", "y", (Line("a", ()),)),
    "one point": Lines("t", "x", "y", (Line("a", ((0.5, 0.5),)),)),
    "no numbers": Lines("t", "x", "y", (Line("a", ((NAN, 1), (1, NAN), (INFINITE, 0))),)),
    "flat": Lines("t", "x", "y", (Line("a", ((0, 0), (0, 0))),), mark=(NAN, "m")),
    "forty lines": Lines("t", "x", "y", tuple(Line(f"l{i}", ((0, 1), (1, 1))) for i in range(40))),
    "no rows": HeatMap("t", (), (), ()),
    "no values": HeatMap("t", ("a",), ("b",), ((None,),)),
    "one value": HeatMap("t", ("a",), ("b",), ((0.3,),)),
    "fifty columns": HeatMap("t", ("a",), tuple(map(str, range(50))), (tuple([0.3] * 50),)),
    "ragged": HeatMap("t", ("a", "b"), ("c",), ((NAN, 2, 3),), scale=(0, 0)),
    "no buckets": Histogram("t", "x", (), ()),
    "no counts": Histogram("t", "x", ("a", "b"), (("s", (0, 0)),)),
    "no series": Histogram("t", "x", ("a",), ()),
    "eighty buckets": Histogram("t", "x", tuple(map(str, range(80))), (("s", tuple(range(80))),)),
}  # fmt: skip


@pytest.mark.parametrize("width", [WIDTH, NARROW])
@pytest.mark.parametrize("name", ODD)
def test_odd_figures_are_drawn(name: str, width: int) -> None:
    root = ElementTree.fromstring(draw(ODD[name], "x", None, width))
    assert root.get("viewBox", "").startswith(f"0 0 {width} ")
    assert 20 < float(root.get("height", "0")) < 12_000
    assert "nan" not in ElementTree.tostring(root, encoding="unicode").lower()


@pytest.mark.parametrize("part", [part for part in parts_of(HARMLESS) if isinstance(part, Chart)])
def test_a_figure_asks_for_nothing_that_the_policy_forbids(part: Chart) -> None:
    root = ElementTree.fromstring(draw(part, "figure-7", page_colours([part])))
    tags = {element.tag for element in root.iter()}
    assert tags <= {"svg", "g", "defs", "path", "use", "text", "clipPath", "rect"}
    for element in root.iter():
        assert "style" not in element.attrib
        assert element.get("id", "figure-7-").startswith("figure-7-")
        for colour in (element.get("fill"), element.get("stroke")):
            assert colour is None or colour == "none" or colour.startswith("var(--")
    assert (root.get("role"), root.get("aria-label")) == ("img", part.title)


def test_words_stay_words() -> None:
    part = Bars("t", "nDCG@10", (("set a", (Bar("bm25", 0.431), Bar("$x^2$ <b>", 0.612))),))
    words = "".join(ElementTree.fromstring(draw(part, "x")).itertext())
    assert all(word in words for word in ("bm25", "$x^2$ <b>", "0.431", "0.612", "nDCG@10"))


def test_names_of_groups_are_whole_on_a_telephone_too() -> None:
    name = "asked whatever the others said"
    part = Bars("t", "x", ((name, (Bar("a", 1), Bar("b", 1))), ("c", (Bar("a", 1),))))
    for width in (WIDTH, NARROW):
        words = [text.text for text in ElementTree.fromstring(draw(part, "x", None, width)).iter()]
        assert name in words


def test_no_words_are_cut_at_the_edge() -> None:
    lines = Lines("t", "x", "y", (Line("a", ((0, 0), (1, 1))), Line("b", ((0, 1), (1, 0)))))
    root = ElementTree.fromstring(draw(lines, "x"))
    heights = [float(text.attrib["y"]) for text in root.iter("text")]
    assert min(heights) > 11  # an ascender of 12 pixels' size
    assert max(heights) < float(root.attrib["height"]) - 2


@pytest.mark.parametrize("part", [part for part in parts_of(HARMLESS) if isinstance(part, Chart)])
def test_same_figure_same_bytes(part: Chart) -> None:
    assert draw(part, "x") == draw(part, "x")
    assert svg_file(part) == svg_file(part)


def test_settings_of_the_user_change_nothing() -> None:
    import matplotlib as mpl

    part = ODD["negative"]
    expected = draw(part, "x")
    with mpl.rc_context({"lines.linewidth": 9, "font.size": 30, "axes.grid": True}):
        assert draw(part, "x") == expected


def test_a_file_stands_alone() -> None:
    drawn = svg_file(ODD["negative"]).decode()
    assert 'xmlns="http://www.w3.org/2000/svg"' in drawn
    assert "var(" not in drawn
    assert "style=" not in drawn
    assert LIGHT["ink"] in drawn


def test_one_name_has_one_colour_on_all_figures() -> None:
    def bars(*names: str) -> Bars:
        return Bars("t", "x", tuple((g, tuple(Bar(name, 0.1) for name in names)) for g in "ab"))

    lines = Lines("t", "x", "y", (Line("c", ((0, 0),)), Line("a", ((0, 0),))))
    colours = page_colours([bars("a", "b"), bars("b", "c"), lines])
    assert len({colours[name] for name in "abc"}) == 3
    assert page_colours([Bars("t", "x", (("", (Bar("a", 1), Bar("b", 1))),))]) == {
        "a": "plain",
        "b": "plain",
    }
    many = [f"n{number}" for number in range(12)]
    chosen = page_colours([Lines("t", "x", "y", tuple(Line(name, ()) for name in many))])
    assert set(chosen.values()) == set(SERIES)


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_colours_stand_out_from_the_paper(colours: dict[str, str]) -> None:
    def contrast(one: str, other: str) -> float:
        bright, dark = sorted((luminance(one), luminance(other)), reverse=True)
        return (bright + 0.05) / (dark + 0.05)

    def luminance(colour: str) -> float:
        parts = [int(one, 16) / 255 for one in re.findall("[0-9a-f]{2}", colour)]
        linear = [
            part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
        ]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for ground in ("paper", "raised"):
        for words in ("ink", "muted", "link"):
            assert contrast(colours[words], colours[ground]) >= 4.5, (words, ground)
    assert contrast(colours["warning"], colours["wash"]) >= 4.5
    assert contrast(colours["ink"], colours["heat"]) >= 4.5
    for name in (*SERIES, "plain"):
        assert contrast(colours[name], colours["paper"]) >= 3, name
