"""Targets written and read back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_cli.domain.targets import ParsedText, parse_text, plain_text, render_target
from prism_cli.errors import RowError
from prism_cli.rows.texts import stripped

TEXTS = st.lists(
    st.sampled_from(["<", ">", "/", "contribution", "evidence", "Löwe", "世界", "&lt;", "<b>"])
    | st.sampled_from(["<contribution>", "</contribution>", "<evidence>", "</evidence>", "\n"])
    | st.text(max_size=8)
).map("".join)


def test_yes_is_two_tagged_lines() -> None:
    assert render_target("yes", "What.", "Why.") == (
        "yes\n<contribution>What.</contribution>\n<evidence>Why.</evidence>"
    )


def test_no_has_no_text() -> None:
    assert render_target("no", "ignored", None) == "no"


@given(TEXTS, TEXTS)
def test_parsing_is_the_inverse_of_rendering(contribution: str, evidence: str) -> None:
    texts = plain_text(contribution), plain_text(evidence)
    if not all(texts):
        return
    assert parse_text(render_target("yes", contribution, evidence)) == ParsedText(*texts, True)


@given(TEXTS)
def test_only_own_tags_and_outer_whitespace_are_removed(text: str) -> None:
    if not any(
        f"<{slash}{tag}>" in text for slash in ("", "/") for tag in ("contribution", "evidence")
    ):
        assert plain_text(text) == stripped(text)


@pytest.mark.parametrize(
    ("text", "contribution", "evidence", "ok"),
    [
        ("yes\n<contribution>a</contribution>\n<evidence>b</evidence>", "a", "b", True),
        ("<contribution>a</contribution><contribution>c</contribution>", "a", None, False),
        ("<contribution>x<contribution>a</contribution><evidence>b</evidence>", "a", "b", True),
        ("<evidence>b</evidence> <contribution>a</contribution>", "a", "b", True),
        ("<contribution>a<evidence>b</evidence>", None, "b", False),
        ("<contribution> </contribution><evidence>b</evidence>", "", "b", False),
        ("<Contribution>a</Contribution>", None, None, False),
        ("<contribution>a\nb</contribution><evidence>c\n</evidence>tail", "a\nb", "c", True),
        ("", None, None, False),
    ],
    ids=[
        "plain",
        "first-pair",
        "opened-twice",
        "any-order",
        "unclosed",
        "blank",
        "case",
        "lines",
        "empty",
    ],
)
def test_first_well_formed_pair_counts(
    text: str, contribution: str | None, evidence: str | None, ok: bool
) -> None:
    assert parse_text(text) == ParsedText(contribution, evidence, ok)


@pytest.mark.parametrize(
    ("verdict", "contribution", "evidence", "field"),
    [
        ("maybe", "a", "b", "verdict"),
        ("yes", None, "b", "contribution"),
        ("yes", "a", " \n", "evidence"),
    ],
)
def test_what_cannot_be_a_target_is_refused(
    verdict: str, contribution: str | None, evidence: str | None, field: str
) -> None:
    with pytest.raises(RowError) as refused:
        render_target(verdict, contribution, evidence)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("<<evidence>> <</evidence>>", "evidence /evidence"),
        ("a </<evidence>>> b", "a /evidence> b"),
        ("<<<evidence> <//evidence>", "<<evidence <//evidence>"),
        ("<" * 50_000 + "evidence" + ">" * 50_001, "evidence>"),
        ("<" * 50_000, "<" * 50_000),
    ],
)
def test_nested_tags_lose_their_brackets_at_once(text: str, plain: str) -> None:
    assert plain_text(text) == plain
