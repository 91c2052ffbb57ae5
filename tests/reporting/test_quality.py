"""The report of quality, from metrics.json alone."""

from typing import Any

import pytest

from prism_cli.domain.significance import wilson_interval
from prism_cli.evaluation.quality.figures import QualityFigures
from prism_cli.reporting.html import render_page
from prism_cli.reporting.page import Bars, Excerpts, Histogram, Note, Table
from prism_cli.reporting.quality import page
from tests.evaluation.quality.test_figures import EVIDENCE, line

GOLD = {"rows": 4, "repeated": 0, "contradictory": 0, "unreadable": 0, "unread": ""}


def metrics(*lines: dict[str, Any]) -> dict[str, Any]:
    measured = QualityFigures(0, 4)
    for one in lines:
        measured.add(one)
    content = measured.content()
    content["gold"] = GOLD | content["gold"]
    return content | {
        "input_rows": {"rows": 5, "rejected": 1, "pending": 0},
        "provenance": {"command": ["prism", "eval", "quality", "rows.jsonl"]},
    }


def whole() -> dict[str, Any]:
    kept = {"answer_kept": False, "recall": 0.5, "precision": 1.0, "f1": 2 / 3}
    return metrics(
        line("q1", evidence=EVIDENCE, people=kept, label="yes", score=0.9,
             baselines={"lead": EVIDENCE | kept, "document": {"answer_kept": True}}),
        line("q2", evidence=EVIDENCE, score=0.7, label="no",
             gold={"rows": [2], "answerable": False, "in_document": None}),
        line("q3", verdict="no", format_ok=None, label="no", score=0.2, predicted=False),
    )  # fmt: skip


def test_headline_and_sections_tell_what_was_found() -> None:
    found = page(whole())
    assert found.headline.startswith(
        "The evidence keeps the answer that people gave in 0.0% of 1 row ("
    )
    assert "100.0% for the whole document" in found.headline
    titles = [one.title for one in found.sections]
    assert titles[:4] == [
        "Evidence against people's marks",
        "Verdicts against labels",
        "Faithfulness and form",
        "Length and copying",
    ]
    assert titles[-2:] == ["Example rows", "Counts"]
    people = found.sections[0].parts[0]
    assert isinstance(people, Bars)
    group, bars = people.groups[0]
    assert group == "answer retention"
    assert [(bar.name, bar.value) for bar in bars] == [
        ("evidence", 0), ("first sentences", 0), ("whole document", 1),
    ]  # fmt: skip
    assert (bars[0].low, bars[0].high) == wilson_interval(0, 1)
    parts = [part for section in found.sections for part in section.parts]
    assert {Histogram, Table, Excerpts, Note} <= {type(part) for part in parts}
    excerpts = next(part for part in parts if isinstance(part, Excerpts))
    assert excerpts.excerpts[0].heading == "q2?"
    assert any(isinstance(part, Note) and part.warning for part in parts)


def test_it_renders_and_holds_no_markup_of_a_row() -> None:
    content = whole()
    hostile = "<script>alert(1)</script>\u202e"
    for one in content["examples"]["wrong_yes"]:
        one |= {"query": hostile, "evidence": hostile, "doc_id": hostile}
    drawn = render_page(page(content)).decode()
    assert "<script" not in drawn
    assert "\u202e" not in drawn
    assert drawn == render_page(page(content)).decode()


def test_figures_without_an_interval_stand_alone() -> None:
    found = page(metrics(line(label="yes"), line(doc="e", label="no")))
    assert ("Verdict accuracy", "0.500", "predicted as labelled") in found.highlights
    (section,) = [one for one in found.sections if one.title == "Verdicts against labels"]
    assert section.words.endswith("in 50.0% of the rows that have both.")


@pytest.mark.parametrize("lines", [[], [line(asked=False, format_ok=None)]], ids=["none", "bare"])
def test_little_to_show_makes_a_page_all_the_same(lines: list[dict[str, Any]]) -> None:
    found = page(metrics(*lines))
    assert found.headline == "No row has a yes with a text to measure."
    assert [one.title for one in found.sections] == ["Counts"]
    assert b"Counts" in render_page(found)


def test_grounding_has_a_section_where_rows_were_grounded() -> None:
    grounding = {"origin": "repaired", "cited": 40}
    grounded = page(
        metrics(
            line("q1", evidence=EVIDENCE, grounding=grounding, baselines={"generated": EVIDENCE})
        )
    )
    (section,) = [one for one in grounded.sections if one.title == "Grounding"]
    shares, classes = section.parts
    assert isinstance(shares, Bars)
    assert isinstance(classes, Bars)
    assert [bar.name for bar in shares.groups[0][1]] == [
        "repaired",
        "extracted",
        "citation coverage",
    ]
    assert [bar.name for bar in classes.groups[0][1]] == ["evidence", "model's own text"]
    assert b"Grounding" in render_page(grounded)
    assert all(one.title != "Grounding" for one in page(whole()).sections)
