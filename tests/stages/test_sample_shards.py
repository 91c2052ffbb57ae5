"""Sampling of shards by several workers: the rows of one pass, whatever the cut and the order."""

import pickle
import random
from itertools import pairwise
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from prism_cli.domain.smallest_keys import KeyColumns, SmallestKeys
from prism_cli.engine.survey import LocatedRow
from prism_cli.rows.row import Dropped
from prism_cli.stages.sample import SampleStage
from tests.factories import make_pair
from tests.fakes import survey

Row = dict[str, Any]
NUMBERS = st.lists(st.integers(0, 6), max_size=25)
"""Few different rows, so that many share a key."""


def row_of(number: int) -> Row:
    score = [0.1, 0.5, 0.52, 0.52, 0.66, 0.97, None][number]
    return make_pair(number, source=["a", "web"][number % 2], teacher_score=score)


def kept_by(stage: SampleStage, rows: list[LocatedRow]) -> list[tuple[str, int]]:
    kept = []
    for file, line, row in rows:
        stage.location = file, line
        if not isinstance(stage.work(row), Dropped):
            kept.append((file, line))
    return kept


@given(
    NUMBERS,
    st.lists(st.integers(0, 25)),
    st.one_of(st.none(), st.integers(1, 9)),
    st.randoms(use_true_random=False),
)
def test_workers_keep_the_rows_of_one_pass(
    numbers: list[int], cuts: list[int], size: int | None, lot: random.Random
) -> None:
    rows = [row_of(number) for number in numbers]
    if set(numbers) == {6}:
        return  # refused: no scores
    edges = sorted({0, len(rows), *(cut for cut in cuts if cut < len(rows))})
    shards = [
        [LocatedRow(f"{start}.jsonl", line, row) for line, row in enumerate(rows[start:end], 1)]
        for start, end in pairwise(edges)
    ]
    plain = SampleStage(size, web_sources=["web"])
    survey(plain, rows)
    whole = [LocatedRow("in.jsonl", line, row) for line, row in enumerate(rows, 1)]
    expected = [line - 1 for _, line in kept_by(plain, whole)]

    result = plain.survey.merge([plain.survey.read(shard) for shard in shards])
    kept = []
    for start, shard in lot.sample(list(zip(edges, shards, strict=False)), len(shards)):
        worker = plain.new_copy()
        worker.use_survey(result)
        kept += [start + line - 1 for _, line in kept_by(worker, shard)]
    assert sorted(kept) == expected


def test_a_part_has_only_keys_that_can_be_chosen() -> None:
    stage = pickle.loads(pickle.dumps(SampleStage(3, bins=2).survey))
    rows = [LocatedRow("in.jsonl", line, row_of(line % 6)) for line in range(1, 2000)]
    assert len(stage.read(rows)) < 1000
    assert len(SampleStage().survey.read(rows)) < 30 * len(rows)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 2)), max_size=30))
def test_the_smallest_keys_are_those_of_a_sort(triples: list[tuple[int, int, int]]) -> None:
    """Keys differ in their first bits, their last bits, or not at all."""
    raw = [bytes([16 * high]) + bytes(14) + bytes([low]) for _, high, low in triples]
    columns = KeyColumns([number for number, *_ in triples], b"".join(raw), range(len(triples)))
    columns = KeyColumns.from_bytes(columns.to_bytes())
    entries = [columns.of_set(number) for number in range(3)]
    places = np.concatenate([places for _, places in entries]).tolist()
    for count in range(len(triples) + 1):
        smallest = SmallestKeys(count)
        for keys, _ in entries:
            smallest.count_keys(keys)
        for keys, numbers in entries:
            smallest.collect(keys, numbers)
        smallest.finish()
        expected = sorted(places, key=lambda place: raw[place])[:count]
        kept = [numbers[smallest.kept(keys, numbers)] for keys, numbers in entries]
        assert sorted(np.concatenate(kept).tolist()) == sorted(expected)
    columns.only_smallest(2)
    for number in range(3):
        here = [place for place, (one, *_) in enumerate(triples) if one == number]
        expected = sorted(sorted(here, key=lambda place: raw[place])[:2])
        assert columns.of_set(number)[1].tolist() == expected
