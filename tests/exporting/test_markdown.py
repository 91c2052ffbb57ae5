"""Names from anywhere stay text."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_cli.exporting.markdown import block, code, plain


@given(st.text())
def test_a_cell_stays_one_cell(text: str) -> None:
    for cell in (plain(text), code(text)):
        assert len(cell.splitlines()) <= 1
        assert not re.findall(r"(?<!\\)\|", cell.replace("\\\\", ""))


@pytest.mark.parametrize(
    "text", ["<b>", "# x", "[a](b)", "![x](y)", "a\n# b", "`x`", "\\<b>", "&lt;", "\x1b[31m"]
)
def test_no_mark_up_survives(text: str) -> None:
    shown = plain(text)
    assert "\n" not in shown
    assert "\x1b" not in shown
    assert not re.search(r"(?<!\\)[<`#\[&!]", shown.replace("\\\\", ""))


def test_fences_are_longer_than_what_they_hold() -> None:
    assert code("a ``b`` c") == "``` a ``b`` c ```"
    assert block("```\nx", "sh") == "````sh\n```\nx\n````"
