"""One line to one row, or to words that say what is wrong with it."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_cli.errors import RowError
from prism_cli.rows.decode import decode_row
from prism_cli.rows.row import Row

numbers = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def decoded(raw: bytes) -> tuple[Row | None, str]:
    """The row, or the reason why there is none."""
    try:
        return decode_row(raw), ""
    except RowError as error:
        return None, error.reason


@given(st.dictionaries(st.text(), values, max_size=6))
def test_what_can_be_written_is_read_back_with_its_key_order(row: dict[str, object]) -> None:
    raw = orjson.dumps(row)
    assert orjson.dumps(decode_row(raw + b"\n")) == raw


@given(st.binary(max_size=60))
def test_any_bytes_are_a_row_or_a_row_error(raw: bytes) -> None:
    row, reason = decoded(raw)
    assert isinstance(row, dict) != bool(reason)


@given(st.integers() | st.integers(-(2**70), 2**70), st.sampled_from(["top", "dict", "list"]))
def test_an_integer_comes_back_as_itself_or_not_at_all(number: int, where: str) -> None:
    text = {"top": '{"n": %d}', "dict": '{"a": {"n": %d}}', "list": '{"a": [[%d]]}'}[where] % number
    row, reason = decoded(text.encode())
    if -(2**63) <= number < 2**64:
        assert orjson.dumps(row) == text.replace(" ", "").encode()
    else:
        assert "64 bits" in reason


@pytest.mark.parametrize("depth", [3, 150, 250, 300, 900])
def test_what_is_read_can_be_written_again(depth: int) -> None:
    raw = b'{"a": ' + b"[" * depth + b"]" * depth + b"}"
    row, reason = decoded(raw)
    if row is None:
        assert depth > 200
        assert "written again" in reason
    else:
        orjson.dumps(row)


def test_fields_are_renamed_where_they_stand() -> None:
    names = {"document": "passage", "query": "query"}
    row = decode_row(b'{"a": 1, "passage": "p", "query": "q"}', names)
    assert list(row.items()) == [("a", 1), ("document", "p"), ("query", "q")]
    with pytest.raises(RowError, match="stands beside 'passage'"):
        decode_row(b'{"document": "d", "passage": "p"}', names)
