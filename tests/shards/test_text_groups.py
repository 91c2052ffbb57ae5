"""Groups of near-duplicates from tables of parts, and with keys in several ranges."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_cli.domain.near_duplicates import document_shingles, query_shingles
from prism_cli.errors import StorageError
from prism_cli.shards import text_groups, text_tables
from prism_cli.shards.spill import SpilledObjects
from prism_cli.shards.text_groups import TextGroups
from prism_cli.shards.text_tables import TextTable, packed, unpacked

BASE = "which river runs through the old town of lomara and the hills {} beyond"
TEXTS = [
    form.format(word)
    for word in ("", "north", "3", "4", "5 miles", "")
    for form in (BASE, BASE.upper() + "?", f"{BASE} it", "{}", "a {} thing of another kind")
]


def outcome(groups: TextGroups, excluded: int = 0) -> tuple[list[int], list[int]]:
    found, marks = groups.group(excluded)
    return found.roots().tolist(), list(marks)


@given(
    st.lists(st.sampled_from(TEXTS), max_size=40),
    st.lists(st.integers(0, 40)),
    st.booleans(),
    st.integers(1, 30),
)
def test_tables_of_parts_give_the_groups_of_single_texts(
    texts: list[str], cuts: list[int], exact: bool, texts_at_once: int
) -> None:
    shingles = query_shingles if exact else document_shingles
    single, merged = (TextGroups(shingles, exact=exact) for _ in range(2))
    expected = [single.number(text) for text in texts]
    rows, tables, start = [], [], 0
    for first, end in pairwise(sorted({0, len(texts), *(cut for cut in cuts if cut < len(texts))})):
        table = TextTable(shingles, exact=exact)
        rows += [start + table.number(text) for text in texts[first:end]]
        tables.append(packed(table.arrays()))
        assert packed(table.arrays()) == tables[-1]
        start += len(unpacked(tables[-1])["keys"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_tables, "_SLICE", texts_at_once)
        numbers = merged.add_tables(lambda: map(unpacked, tables))[rows].tolist()
    assert numbers == expected
    assert merged.hashes == single.hashes
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_groups, "_SLICE", texts_at_once)
        excluded = min(2, len(single))
        assert outcome(merged, excluded) == outcome(single, excluded)


@given(
    st.lists(st.lists(st.integers(0, 8), max_size=6), max_size=5),
    st.integers(1, 9),
)
def test_each_key_gets_the_place_of_its_first_equal(parts: list[list[int]], at_once: int) -> None:
    """Keys differ in either half."""
    arrays = [
        np.array([[key % 3] * 8 + [key // 3] * 8 for key in part], np.uint8).reshape(-1, 16)
        for part in parts
    ]
    keys = [key for part in parts for key in part]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_tables, "_SLICE", at_once)
        first = text_tables.first_of_equal(SpilledObjects(arrays)).tolist()
    assert first == [keys.index(key) for key in keys]


def test_keys_in_several_ranges_give_each_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    groups = TextGroups(document_shingles, exact=False)
    for number in range(60):
        words = [f"w{number * place % 997}" for place in range(200)]
        for end in ("here", "there", "elsewhere"):
            groups.number(" ".join([*words, end]))
    whole = outcome(groups)
    assert len(set(whole[0])) < 70
    monkeypatch.setattr(text_groups, "_SLICE", 50)
    assert outcome(groups) == whole


def test_a_part_holds_no_texts_of_documents() -> None:
    table = TextTable(document_shingles, exact=False)
    for number in range(100):
        table.number(" ".join(f"w{number * place % 997}" for place in range(500)))
    assert len(packed(table.arrays())) < 300 * 100


def test_a_full_disk_says_which_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    groups = TextGroups(document_shingles, exact=False)
    for number in range(3):
        groups.number(f"text {number}")
    monkeypatch.setattr("os.pwrite", full)
    with pytest.raises(StorageError, match="No space left"):
        groups.group()
    assert np.array(groups.hashes).size == 3
