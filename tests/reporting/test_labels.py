"""The report on labels, from figures of rows."""

import re
from typing import Any

from prism_cli.evaluation.labels.figures import LabelFigures
from prism_cli.reporting.labels import page, sections
from prism_cli.reporting.page import Bars, Excerpts, HeatMap, Note, Page, Table
from tests.factories import make_pair


def page_of(rows: list[dict[str, Any]]) -> Page:
    found = LabelFigures(0, 0)
    for row in rows:
        found.add(row)
    return page(found.content() | {"provenance": {"command": ["prism"]}})


def labelled(number: int, *votes: str, **more: Any) -> dict[str, Any]:
    judges = ("deepseek/deepseek-chat", "lab/b", "other/b")
    cast = dict(zip(judges, votes, strict=False))
    verdict = "yes" if votes.count("yes") > 1 else "no"
    return make_pair(number, votes=cast, verdict=verdict, teacher_score=0.1 * (number % 9), **more)


def parts_of(found: Page, kind: type) -> list[Any]:
    return [part for section in found.sections for part in section.parts if isinstance(part, kind)]


def test_every_part_is_there_with_its_basis() -> None:
    words = ("yes", "no")
    rows = [
        labelled(
            number, words[number % 2], words[number % 3 > 0], words[number % 5 > 1], audit=True
        )
        for number in range(90)
    ]
    found = page_of(rows)
    assert [section.title for section in found.sections] == [
        "How far the judges agree",
        "Votes of each judge",
        "Teacher and panel",
        "Where teacher and panel disagree most",
    ]
    assert "Krippendorff's alpha is" in found.headline
    assert [name for name, _, _ in found.highlights] == [
        "Krippendorff's alpha", "Verdict yes", "Not unanimous", "Teacher as the panel",
    ]  # fmt: skip
    kappa, scores = parts_of(found, HeatMap)
    assert kappa.rows == ("deepseek-chat", "lab/b", "other/b")  # two are called b
    assert kappa.values[0][1] == kappa.values[1][0] is not None
    assert kappa.values[1][1] is None
    assert scores.columns == ("yes", "no", "undecided")
    assert sum(sum(line) for line in scores.values) == 90
    assert parts_of(found, Note) == []
    (bars,) = parts_of(found, Bars)
    assert [name for name, _ in bars.groups] == [
        "asked regardless of the other votes",
        "all votes cast",
    ]
    others = next(
        one for one in parts_of(found, Table) if one.title.startswith("How often a judge")
    )
    assert others.columns[-1] == "published"
    assert [row[-1] for row in others.rows] == [0.64, None, None]
    assert [len(one.excerpts) for one in parts_of(found, Excerpts)] == [10, 10]


def test_a_minus_is_a_minus_and_one_row_no_plural() -> None:
    rows = [labelled(number, "yes", "no", audit=True, source_label=1) for number in range(40)]
    rows += [labelled(40, "no", "yes", audit=True, source_label=1)]
    found = page_of(rows)
    said = " ".join([found.headline, *map(str, found.highlights), *map(str, found.sections)])
    assert "−" in said
    assert not re.search(r"(?<!\d)-\d\.\d+ to|to -\d", said)
    assert "1 row, 1 with votes of 2 judges." in page_of(rows[:1]).headline


def test_undefined_agreement_is_a_warning_not_a_figure() -> None:
    rows = [labelled(0, "yes", "yes"), labelled(1, "no", "yes", "no"), labelled(2, "no", "no")]
    found = page_of(rows)
    assert "These rows do not determine the agreement" in found.headline
    (note,) = parts_of(found, Note)
    assert note.warning
    assert "other/b did not vote on all of the rows" in note.text
    kappa = parts_of(found, HeatMap)[0]
    assert "Cohen's kappa measures how far two judges agree" in found.sections[0].words
    assert kappa.values[0][2] is None
    assert "not unanimous" not in [name for name, _, _ in found.highlights]


def test_nothing_labelled_has_no_figures() -> None:
    found = page_of([])
    assert found.highlights == ()
    assert parts_of(found, HeatMap) == parts_of(found, Bars) == []
    assert sections(LabelFigures(0, 0).content())[0].parts[0] == Note(
        "No row holds votes, so nothing can be said of the judges; `prism relabel` asks them.",
        warning=True,
    )


def test_a_stopped_panel_has_no_words_of_kappa_and_its_shares_are_named() -> None:
    rows = [labelled(0, "yes", "yes"), labelled(1, "no", "no"), labelled(2, "yes")]
    rows[2]["votes"] = {"other/b": "yes"}
    found = page_of(rows)
    assert found.sections[0].words == ""
    (bars,) = parts_of(found, Bars)
    assert bars.title == "Share of yes by judge: all votes cast"


def test_agreement_of_few_rows_that_all_agree_has_no_interval() -> None:
    found = page_of([labelled(n, *(("yes", "no")[n % 2],) * 3, audit=True) for n in range(3)])
    assert "alpha is 1.000 (no interval) on 3 rows" in found.headline
