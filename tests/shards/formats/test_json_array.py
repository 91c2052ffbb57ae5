"""JSON arrays, read element by element in memory that does not grow with the file."""

import io
import json
import tracemalloc

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_cli.errors import MissingDataError
from prism_cli.shards.formats import json_array
from prism_cli.shards.formats.json_array import array_lines, holds_array

values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def read(raw: bytes) -> list[bytes]:
    """The elements, which are numbered from 1."""
    found = list(array_lines(io.BytesIO(raw), "in.json"))
    assert [number for number, _ in found] == list(range(1, len(found) + 1))
    return [line for _, line in found]


@given(
    st.lists(st.dictionaries(st.text(), values, max_size=4), max_size=4),
    st.sampled_from([None, 0, 2]),
    st.integers(1, 9),
)
def test_each_element_is_a_line(rows: list[object], indent: int | None, chunk: int) -> None:
    raw = b"\xef\xbb\xbf \n" + json.dumps(rows, indent=indent, ensure_ascii=False).encode() + b"\n"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_array, "_CHUNK_BYTES", chunk)
        lines = read(raw)
    assert all(line.count(b"\n") == 1 and line.endswith(b"\n") for line in lines)
    assert list(map(orjson.loads, lines)) == rows


def test_numbers_and_escapes_stay_as_they_are_written() -> None:
    assert read(b'[{"a": 1.50, "b":\r\n "\\u00e4"}]') == [b'{"a": 1.50, "b":   "\\u00e4"}\n']


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b'[{"a": 1}, {"a": ', "element 2 of the array"),
        (b'[{"a": 1}', "element 1 of the array"),
        (b'[{"a": 1} {"a": 2}]', "behind element 1"),
        (b'[{"a": 1}, oops]', "element 2 of the array"),
        (b'[{"a": 1}] trailing', "text after the array"),
        (b'[{"a": "\xe4"}]', "not UTF-8"),
        (b"[" * 5000, "element 1 of the array"),
    ],
)
def test_a_broken_array_is_refused_as_a_whole(raw: bytes, told: str) -> None:
    with pytest.raises(MissingDataError, match=r"in\.json") as caught:
        read(raw)
    assert told in str(caught.value)


def test_memory_does_not_grow_with_the_file() -> None:
    row = json.dumps({"query": "q", "document": "x" * 2000})
    raw = f"[{', '.join([row] * 10_000)}]".encode()
    file = io.BytesIO(raw)
    tracemalloc.start()
    count = sum(1 for _ in array_lines(file, "in.json"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 10_000
    assert peak < len(raw) / 2


@pytest.mark.parametrize(
    ("raw", "array"),
    [(b" \n [1]", True), (b"\xef\xbb\xbf[", True), (b'{"a": 1}', False), (b"", False)],
)
def test_an_array_is_told_by_its_first_character(raw: bytes, array: bool) -> None:
    assert holds_array(io.BytesIO(raw)) is array
