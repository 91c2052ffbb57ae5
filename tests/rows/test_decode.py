"""Decoding of one line to a row, or to an error message."""

import json
import re

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
    """Return the row, or the reason of the reject."""
    try:
        return decode_row(raw), ""
    except RowError as error:
        return None, error.reason


@given(st.dictionaries(st.text(), values, max_size=6))
def test_a_row_survives_a_round_trip_with_its_key_order(row: dict[str, object]) -> None:
    raw = orjson.dumps(row)
    assert orjson.dumps(decode_row(raw + b"\n")) == raw


@given(st.binary(max_size=60))
def test_any_bytes_are_a_row_or_a_row_error(raw: bytes) -> None:
    row, reason = decoded(raw)
    assert isinstance(row, dict) != bool(reason)


@given(st.integers() | st.integers(-(2**70), 2**70), st.sampled_from(["top", "dict", "list"]))
def test_an_integer_is_exact_or_rejected(number: int, where: str) -> None:
    text = {"top": '{"n":%d}', "dict": '{"a": {"n": %d}}', "list": '{"a":[[%d]]}'}[where] % number
    row, reason = decoded(f"{text}\n".encode())
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


def test_fields_are_renamed_in_place() -> None:
    names = {"document": "passage", "query": "query"}
    row = decode_row(b'{"a": 1, "passage": "p", "query": "q"}', names)
    assert list(row.items()) == [("a", 1), ("document", "p"), ("query", "q")]
    with pytest.raises(RowError, match="found together with 'passage'"):
        decode_row(b'{"document": "d", "passage": "p"}', names)


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ('{"query": "a", "query": "b", "document": "d"}', "query"),
        ('{"query":"a","document":"d","document":"d"}', "document"),
        ('{"a" :1,"a"\t:2}', "a"),
        ('{"a":1,"\\u0061":2}', "a"),
        ('{"q\\\\":1,"b":2,"b":3}', "b"),
        ('{"query":"a: b","meta":{"x":1,"x":1},"document":"c:\\":"}', "x"),
        ('{"list":[[{"":1,"":2}]]}', ""),
        ('{"teacher_scores":{"st:minilm":0.5,"st:minilm":0.5}}', "st:minilm"),
    ],
)
def test_a_repeated_key_is_named(line: str, key: str) -> None:
    with pytest.raises(RowError, match="occurs twice in one object") as caught:
        decode_row(f"{line}\n".encode())
    assert caught.value.field == key


@given(st.lists(st.tuples(st.text(':"\\ab ', max_size=3), values), max_size=5), st.booleans())
def test_rows_are_read_unless_a_key_is_repeated(
    pairs: list[tuple[str, object]], compact: bool
) -> None:
    comma, colon = (",", ":") if compact else (" , ", " : ")
    parts = [f"{json.dumps(key)}{colon}{orjson.dumps(value).decode()}" for key, value in pairs]
    row, reason = decoded(f"{{{comma.join(parts)}}}\n".encode())
    if len({key for key, _ in pairs}) == len(pairs):
        assert row == {key: orjson.loads(orjson.dumps(value)) for key, value in pairs}
    else:
        assert "occurs twice" in reason


def test_integer_ids_become_their_digits_and_nothing_else_does() -> None:
    line = b'{"query_id":7,"query":"q","doc_id":-12,"document":"d","n":7,"meta":{"doc_id":7}}'
    assert decode_row(line) == {
        "query_id": "7",
        "query": "q",
        "doc_id": "-12",
        "document": "d",
        "n": 7,
        "meta": {"doc_id": 7},
    }
    lists = b'{"query_id":1,"documents":["a",{"doc_id":2,"text":"b"}],"pos":[{"doc_id":3}]}'
    row = decode_row(lists)
    assert (row["query_id"], row["documents"][1]["doc_id"], row["pos"][0]["doc_id"]) == (
        "1",
        "2",
        "3",
    )
    assert decode_row(b'{"qid":5,"query":"q"}', {"query_id": "qid"})["query_id"] == "5"


@pytest.mark.parametrize("value", ["true", "1.0", "1e3", "null", "[1]"])
def test_no_other_value_is_taken_for_an_id(value: str) -> None:
    row = decode_row(b'{"query_id":%s,"query":"q","document":"d"}' % value.encode())
    assert row["query_id"] == json.loads(value)


@pytest.mark.parametrize("number", [2**53, -(2**53), 2**63])
def test_an_integer_id_that_tools_round_is_refused(number: int) -> None:
    for line, field in [
        ('{"doc_id":%d}', "doc_id"),
        ('{"documents":[{"doc_id":%d}]}', "documents[0].doc_id"),
    ]:
        with pytest.raises(RowError, match=r"2\^53") as caught:
            decode_row((line % number).encode())
        assert caught.value.field == field
    assert decode_row(b'{"doc_id":%d}' % (2**53 - 1)) == {"doc_id": str(2**53 - 1)}


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b'[{"query": "q"}]\n', "JSON array.*name the file .json"),
        (b"[\n", "JSON array"),
        (b"{\n", "pretty-printed"),
        (b'  "query": "a, {b}",\n', "pretty-printed"),
        (b"query,document\n", "looks like CSV: name the file .csv"),
        (b"query\tdoc,ument\n", "looks like TSV"),
        (b"12 Q0 d-7 1 3.25 bm25\n", "looks like a TREC run: .* --from trec-run"),
        (b'{"query": "q", "document\n', "^not JSON: "),
        (b"words\n", "^not JSON: "),
        (b'["a", "b"]\n', r"^expected a JSON object, found [^:]*$"),
        (b"def f(a, b):\n", "^not JSON: unexpected"),
        (b"from a import b, c\n", "^not JSON: (?!this)"),
        (b"    return max(a, b)\n", "^not JSON: unexpected"),
    ],
)
def test_a_line_of_another_format_is_reported_with_that_format(raw: bytes, message: str) -> None:
    with pytest.raises(RowError) as caught:
        decode_row(raw)
    assert re.search(message, caught.value.reason)


def test_a_repeated_key_beside_an_escaped_colon_is_found() -> None:
    with pytest.raises(RowError, match="query: occurs twice"):
        decode_row(b'{"query": "a", "query": "b", "document": "time 10\\u003a30"}')
    assert decode_row(b'{"document": "time 10\\u003a30"}') == {"document": "time 10:30"}
