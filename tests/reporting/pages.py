"""Pages with every kind of part."""

from prism_cli.reporting.page import (
    Bar,
    Bars,
    Excerpt,
    Excerpts,
    HeatMap,
    Histogram,
    Line,
    Lines,
    Note,
    Page,
    Part,
    Section,
    Table,
)

HOSTILE = {
    "script": "<script>document.title='ran'</script> and words that follow",
    "end of style": "</style></svg></text></pre><h1>free</h1> and words",
    "end of CDATA": "]]> <![CDATA[ --> <!-- <!doctype html> and more words",
    "out of an attribute": "\"'> onload=\"document.title='ran'\" x=' <img src=x onerror=1>",
    "address": "javascript:document.title='ran' <a href=//e.example>x</a>",
    "template": "{{ 7 * 7 }} {% raw %} ${7*7} &lt;b&gt; &#60;i&#62; and words",
    "formula": r"$\frac{1}{0}$ $x^{ $$ \begin{a} %s %(a)s {} {0} \N{DASH} and words",
    "bidi": "abc \u202edcba\u202c \u2066x\u2069 \u200f\u200e\u061c and words that follow",
    "unseen": "a\u200bb\ufeffc\u2060d \U000e0041\U000e0042 \u00ad \ufe0f\ufe01\ufe02",
    "controls": "a\x00b\x1b[31m \x07\x08 \x7f\x85 \r x\u2028y\u2029z and some words to follow",
    "surrogates": "\ud800 \udfff \udc00\ud800 \uffff \ufdd0 and some more words to follow",
    "scripts": "中文系统名称 😀 👨\u200d👩\u200d👧 عربي नमस्ते Z͑ͫ̓ͪ̂ͫ and some more words",
    "long": "W" * 300,
    "empty": "",
}
HARMLESS = "some words that are as harmless as words can be, and more"


def parts_of(text: str) -> tuple[Part, ...]:
    """Every kind, with `text` wherever there can be one."""
    two = (text, text + "2")
    return (
        Bars(text, text, ((text, (Bar(two[0], 0.4, 0.3, 0.5), Bar(two[1], -0.1))), (two[1], ()))),
        Bars(text, text, ((text, (Bar(text, 0.4),)),), top=1.0),
        Lines(
            text,
            text,
            text,
            (Line(two[0], ((0, 0), (1, 0.7)), (3, 9)), Line(two[1], ((0.5, 0.5),))),
            diagonal=True,
            mark=(0.4, text),
        ),
        HeatMap(text, two, two, ((0.1, None), (1, -1)), text, text),
        Histogram(text, text, two, ((two[0], (1, 2)), (two[1], (2, 1)))),
        Table((text, text), ((text, 0.5), (None, -2)), text),
        Note(text),
        Note(text, warning=True),
        Excerpts(text, (Excerpt(text, ((text, text),), ((text, text),)),)),
    )


def page_of(text: str) -> Page:
    """A page of all parts."""
    return Page(
        text,
        text,
        (Section(text, text, parts_of(text)),),
        ((text, text, text),),
        {
            "command": ["prism", "eval", text],
            "versions": {text: text},
            "files": {text: text},
            "models": {text: text},
            "config": {text: [text]},
        },
    )


def ranking_page(sets: int, systems: int) -> Page:
    """A page as a ranking has it."""
    groups = tuple(
        (
            f"set-{one}",
            tuple(Bar(f"system-{two}", 0.4 + 0.01 * two, 0.3, 0.6) for two in range(systems)),
        )
        for one in range(sets)
    )
    return Page("Ranking", "One line.", (Section("Result", "", (Bars("nDCG@10", "x", groups),)),))
