"""Split: the rows of dev, and rows excluded from both sides."""

import pickle
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prism_cli.domain.near_duplicates import (
    Groups,
    document_shingles,
    jaccard,
    normalised,
    query_shingles,
)
from prism_cli.engine.survey import LocatedRow
from prism_cli.errors import MissingDataError
from prism_cli.ports import Routed
from prism_cli.rows.row import Dropped
from prism_cli.shards.text_groups import TextGroups
from prism_cli.stages.split import SplitStage
from prism_cli.stages.split_survey import is_positive
from tests.fakes import survey

Row = dict[str, Any]
WORDS = [
    first + second
    for first in ("bal", "cor", "dun", "fex", "gim", "hov", "jur", "kel", "lom", "niv")
    for second in ("ara", "edo", "ilu", "oth", "usk", "yne", "aft", "erb", "ist", "omp")
]


def text(lot: random.Random, count: int) -> str:
    return " ".join(lot.choices(WORDS, k=count))


def pairs(queries: int, seed: int = 0, source: str = "s", rows_each: int = 3) -> list[Row]:
    """Return queries with one positive and some negatives, all distinct."""
    lot = random.Random(f"{seed}{source}")
    return [
        {
            "query_id": f"{source}{number}",
            "query": query,
            "document": text(lot, 30),
            "source": source,
            "source_label": "1" if rank == 0 else "0",
        }
        for number in range(queries)
        for query in [text(lot, 7)]
        for rank in range(rows_each)
    ]


@dataclass
class TestSet:
    """Texts that must not be trained on."""

    __test__ = False
    query_texts: list[str] = field(default_factory=list)
    document_texts: list[str] = field(default_factory=list)
    name: str = "test-set"

    def queries(self) -> Iterator[str]:
        return iter(self.query_texts)

    def documents(self) -> Iterator[str]:
        return iter(self.document_texts)


@dataclass
class Sides:
    """Outcome of all rows."""

    train: list[Row] = field(default_factory=list)
    dev: list[Row] = field(default_factory=list)
    dropped: dict[str, list[Row]] = field(default_factory=dict)
    stage: SplitStage | None = None

    def queries(self, side: str) -> set[str]:
        return {row.get("original_query") or row["query"] for row in getattr(self, side)}

    def positives(self, side: str) -> set[str]:
        return {row["document"] for row in getattr(self, side) if is_positive(row)}


def split(rows: list[Row], **settings: Any) -> Sides:
    stage = SplitStage(**settings)
    for row in rows:
        stage.check(row)
    survey(stage, rows)
    sides = Sides(stage=stage)
    for row in rows:
        outcome = stage.work(row)
        if isinstance(outcome, Dropped):
            sides.dropped.setdefault(outcome.reason, []).append(row)
        else:
            assert isinstance(outcome, Routed)
            ((side, placed),) = outcome.rows
            assert placed is row
            getattr(sides, side).append(row)
    return sides


def test_each_source_gives_its_share_or_the_number_asked_for() -> None:
    rows = pairs(100, source="a") + pairs(30, source="b") + pairs(3, source="c")
    sides = split(rows, dev_queries=8)
    counts = {name: len({r["query"] for r in sides.dev if r["source"] == name}) for name in "abc"}
    assert counts == {"a": 8, "b": 3, "c": 1}
    assert len(sides.train) + len(sides.dev) == len(rows)
    assert len(split(pairs(100), dev_queries=250).queries("dev")) == 10
    assert split(pairs(50), dev_queries=0).dev == []


def test_the_requested_number_is_exact_or_the_reason_is_reported() -> None:
    settings: dict[str, Any] = {"dev_queries": 3, "dev_share": 0.5, "number_given": True}
    full = split(pairs(12), **settings)
    assert len(full.queries("dev")) == 3
    assert full.stage is not None
    assert "dev queries short" not in full.stage.summary()
    few = split(pairs(5), **settings)
    assert few.stage is not None
    assert few.stage.summary()["dev queries short"] == (
        "s: 2 of 3 (its 5 queries and dev_share = 0.5 allow no more)"
    )
    rows = pairs(12)
    for row in rows[6:]:
        if row["source_label"] == "1":
            row["document"] = "one answer to ten queries"
    grouped = split(rows, **settings)
    assert len(grouped.queries("dev")) == 2
    assert grouped.stage is not None
    assert "s: 2 of 3 (no other group" in str(grouped.stage.summary()["dev queries short"])


@pytest.mark.parametrize(
    ("rows", "settings", "message"),
    [
        (pairs(1), {}, "dev would have no row: each source needs two queries or more; there are 1"),
        (pairs(1, source="a") + pairs(1, source="b"), {}, "there are 2 in 2"),
        (
            pairs(2, rows_each=1),
            {
                "exclude": [
                    TestSet(document_texts=[row["document"] for row in pairs(2, rows_each=1)])
                ]
            },
            "nothing would be left",
        ),
    ],
    ids=["one query", "one query a source", "all excluded"],
)
def test_empty_sides_are_refused(rows: list[Row], settings: dict[str, Any], message: str) -> None:
    with pytest.raises(MissingDataError, match=message):
        split(rows, **settings)


def test_all_rows_of_an_original_query_are_on_one_side() -> None:
    rows = pairs(40)
    keyword = [row | {"query": "kw", "original_query": row["query"]} for row in rows]
    spellings = [
        row | {"query": f"  {row['query'].upper()}?", "query_id": f"x{row['query_id']}"}
        for row in rows
    ]
    sides = split(rows + keyword + spellings)
    assert sides.dev
    assert not {normalised(q) for q in sides.queries("train")} & {
        normalised(q) for q in sides.queries("dev")
    }


def test_styles_of_one_query_id_stay_together_without_the_original() -> None:
    rows = pairs(60, rows_each=1)
    lot = random.Random(3)
    keyword = [row | {"query": text(lot, 3), "query_style": "keyword"} for row in rows]
    sides = split(rows + keyword)
    assert len(sides.queries("dev")) > 4
    assert not {row["query_id"] for row in sides.train} & {row["query_id"] for row in sides.dev}


def test_near_duplicate_queries_stay_together_and_other_numbers_are_other_queries() -> None:
    rows = pairs(200, rows_each=1)
    twins = [
        row
        | {
            "query": f"{row['query']}s",
            "query_id": f"t{row['query_id']}",
            "document": f"other {row['query_id']}",
        }
        for row in rows
    ]
    sides = split(rows + twins)
    plain = {query.removesuffix("s") for query in sides.queries("dev")}
    assert len(sides.queries("dev")) == 2 * len(plain) == 40
    numbered = [
        row | {"query": f"{row['query']} {n}", "document": f"d{n} {i}"}
        for i, row in enumerate(rows)
        for n in (2010, 2011)
    ]
    for number, row in enumerate(numbered):
        row["query_id"] = str(number)
    apart = split(numbered).queries("dev")
    assert any(query[:-1] + ("1" if query.endswith("0") else "0") not in apart for query in apart)


def test_queries_that_share_a_positive_document_stay_together() -> None:
    rows = pairs(90)
    for number, row in enumerate(rows):
        if row["source_label"] == "1":
            row["document"] = f"{WORDS[number // 9]} is shared by three {'!' * (number % 3)}"
    sides = split(rows)
    assert len(sides.queries("dev")) == 9
    assert sides.dropped == {}
    assert not sides.positives("dev") & sides.positives("train")


def test_near_duplicate_documents_count_as_one() -> None:
    rows = pairs(60, rows_each=1)
    for first, other in zip(rows[::2], rows[1::2], strict=True):
        words = first["document"].split() * 5
        first["document"] = " ".join(words)
        other["document"] = " ".join([*words[:-1], "changed"])
    sides = split(rows)
    positives = [set(document_shingles(positive).tolist()) for positive in sides.positives("train")]
    assert sides.dev
    for document in sides.positives("dev"):
        shingles = set(document_shingles(document).tolist())
        assert all(jaccard(shingles, positive) < 0.8 for positive in positives)


def test_a_document_shared_by_all_queries_does_not_leave_dev_empty() -> None:
    rows = pairs(100)
    hub = [row | {"document": "the hub", "source_label": "1"} for row in rows[::3]]
    for number, row in enumerate(rows):
        if row["source_label"] == "1":  # a chain: each positive belongs to two queries
            row["document"] = f"link {WORDS[number // 3]}"
    chain = [rows[i] | {"document": rows[i + 3]["document"]} for i in range(0, 297, 3)]
    sides = split(rows + chain)
    assert 3 <= len(sides.queries("dev")) <= 10
    assert not sides.positives("dev") & sides.positives("train")
    lost = sides.dropped["document is positive in dev"]
    assert 0 < len(lost) <= 20  # a tenth of 199 positive pairs
    assert all(is_positive(row) for row in lost)
    with pytest.raises(MissingDataError, match=r"s: 0 of 10 \(no other group"):
        split(rows + chain + hub)  # any dev query would cost every hub row of train


def test_dev_positive_may_be_a_training_negative() -> None:
    rows = pairs(40)
    answers = [row["document"] for row in rows if row["source_label"] == "1"]
    for number, row in enumerate(rows):
        if row["source_label"] == "0":
            row["document"] = answers[(number // 3 + number % 3) % len(answers)]
    sides = split(rows)
    assert sides.dropped == {}
    assert sides.positives("dev") & {row["document"] for row in sides.train}


@pytest.mark.parametrize(
    ("row", "positive"),
    [
        ({"verdict": "yes", "teacher_score": 0.1, "source_label": "0"}, True),
        ({"verdict": "no", "teacher_score": 0.9}, False),
        ({"verdict": None, "teacher_score": 0.9}, True),
        ({"teacher_score": 0.5, "source_label": "1"}, False),
        ({"source_label": "1"}, True),
        ({"source_label": "strange"}, False),
        ({}, False),
    ],
)
def test_what_counts_as_positive(row: Row, positive: bool) -> None:
    assert is_positive(row) is positive


@settings(max_examples=12)
@given(st.integers(0, 5), st.randoms(use_true_random=False))
def test_sides_do_not_depend_on_the_order_of_rows(seed: int, lot: random.Random) -> None:
    rows = pairs(40, seed, "a") + pairs(30, seed, "b")
    rows += [
        row | {"query": f"{row['query']}s", "query_id": f"t{row['query_id']}"} for row in rows[::5]
    ]
    for row in rows[::7]:
        row["document"] = rows[0]["document"]
    shuffled = list(rows)
    lot.shuffle(shuffled)
    first, other = split(rows, seed=seed), split(shuffled, seed=seed)
    assert first.queries("dev") == other.queries("dev")
    assert len(first.train) == len(other.train)
    assert {k: len(v) for k, v in first.dropped.items()} == {
        k: len(v) for k, v in other.dropped.items()
    }


def test_another_seed_draws_other_queries() -> None:
    rows = pairs(200)
    assert split(rows, seed=1).queries("dev") != split(rows, seed=2).queries("dev")


def test_texts_of_a_test_set_are_on_neither_side() -> None:
    rows = pairs(40)
    long = random.Random(1)
    rows[12]["document"] = text(long, 200)
    tested = TestSet(
        query_texts=[rows[0]["query"].title() + "!", rows[3]["query"] + "s"],
        document_texts=[rows[7]["document"].upper(), rows[12]["document"] + " tail"],
    )
    sides = split(rows, exclude=[tested])
    assert sides.dropped == {
        "query stands in an evaluation set": rows[0:6],
        "document stands in an evaluation set": [rows[7], rows[12]],
    }
    assert len(sides.train) + len(sides.dev) == 120 - 8
    assert sides.stage is not None
    table: Any = sides.stage.summary()["sources"]
    assert table[0]["queries"] == 38


def test_a_document_with_a_title_is_kept_from_a_test_set_that_has_it_without() -> None:
    rows = pairs(40)
    for row in rows:
        row["title"] = text(random.Random(row["query"]), 20)
    known = next(row for row in rows if row["source_label"] == "0")
    near = rows[20]
    near["document"] = text(random.Random(2), 200)
    tested = TestSet(document_texts=[known["document"], near["document"] + " tail"])
    assert split(rows, exclude=[tested]).dropped == {
        "document stands in an evaluation set": [known, near]
    }


def test_a_query_without_remaining_rows_is_not_in_dev() -> None:
    rows = pairs(20, rows_each=1)
    tested = TestSet(document_texts=[row["document"] for row in rows[:18]])
    sides = split(rows, exclude=[tested])
    assert (len(sides.train), len(sides.dev)) == (1, 1)


def test_sources_are_named_and_counted() -> None:
    rows = pairs(20, source="b") + pairs(20, source="a")
    for row in rows[:60]:
        del row["source"]
    stage = split(rows).stage
    assert stage is not None
    assert stage.summary()["sources"] == [
        {"source": "-", "queries": 20, "dev queries": 2, "train rows": 54, "dev rows": 6},
        {"source": "a", "queries": 20, "dev queries": 2, "train rows": 54, "dev rows": 6},
    ]


@pytest.mark.parametrize("seed", range(4))
def test_queries_that_share_a_query_id_are_on_one_side(seed: int) -> None:
    rows = pairs(20) + [row | {"query_id": row["query_id"][:2]} for row in pairs(20, source="t")]
    sides = split(rows, dev_queries=8, dev_share=0.5, seed=seed)
    ids = [{row["query_id"] for row in side} for side in (sides.train, sides.dev)]
    assert all(ids)
    assert not ids[0] & ids[1]


@pytest.mark.parametrize("order", ["abc", "cba", "bca"])
def test_a_query_of_several_sources_counts_for_the_first_by_name(order: str) -> None:
    rows = [row | {"source": name} for name in order for row in pairs(10)]
    stage = split(rows + pairs(10, source="d"), dev_queries=1).stage
    assert stage is not None
    sources: Any = stage.summary()["sources"]
    assert [(one["source"], one["queries"]) for one in sources] == [
        ("a", 10),
        ("b", 0),
        ("c", 0),
        ("d", 10),
    ]


@pytest.mark.parametrize("exact", [True, False], ids=["queries", "documents"])
def test_near_duplicates_equal_those_of_a_plain_search(exact: bool) -> None:
    lot = random.Random(11)
    shingles = query_shingles if exact else document_shingles
    texts = []
    for _ in range(60):
        words = lot.choices(WORDS, k=16 if exact else 120)
        texts.append(" ".join(words))
        for changes in (1, 2):
            for _ in range(changes):
                words[lot.randrange(len(words))] = lot.choice(WORDS) + "x"
            texts.append(" ".join(words))
    texts = list(dict.fromkeys(texts))
    groups = TextGroups(shingles, exact=exact)
    for one in texts:
        groups.number(one)
    grouped, _ = groups.group()
    plain = [set(shingles(text).tolist()) for text in texts]
    sure, possible = Groups(len(texts)), Groups(len(texts))
    for one in range(len(texts)):
        for other in range(one):
            similarity = jaccard(plain[one], plain[other])
            if similarity >= (0.8 if exact else 0.95):
                sure.join(one, other)
            if similarity >= (0.8 if exact else 0.6):
                possible.join(one, other)
    assert len(set(sure.roots().tolist())) < len(texts) - 30
    for one in range(len(texts)):
        for other in range(one):
            if sure.find(one) == sure.find(other):
                assert grouped.find(one) == grouped.find(other)
            if grouped.find(one) == grouped.find(other):
                assert possible.find(one) == possible.find(other)


def test_a_text_near_an_excluded_one_is_marked_and_joins_no_group() -> None:
    groups = TextGroups(query_shingles, exact=True)
    base = "which river runs through the old town of lomara and the hills beyond"
    for text in (base, f"{base}?", f"{base} it", "something else altogether"):
        groups.number(text)
    assert len(groups) == 3
    grouped, marked = groups.group(excluded=1)
    assert list(marked) == [1, 1, 0]
    assert grouped.roots().tolist() == [0, 1, 2]


def test_numbers_are_exact_after_storage(monkeypatch: pytest.MonkeyPatch) -> None:
    import prism_cli.shards.text_groups as module

    monkeypatch.setattr(module, "_BUFFER", 4)
    groups = TextGroups(query_shingles, exact=True)
    numbers = [groups.number(f"{word} {word}") for word in WORDS[:50]]
    assert numbers == list(range(50))
    assert [groups.number(f" {word.upper()}  {word}") for word in WORDS[:50]] == numbers
    assert len(groups) == 50


def test_templated_texts_cost_a_bounded_number_of_comparisons() -> None:
    compared = 0

    class Counting(TextGroups):
        def _near(self, first: int, other: int) -> bool:
            nonlocal compared
            compared += 1
            return super()._near(first, other)

    groups = Counting(query_shingles, exact=True)
    for number in range(600):
        tail = f"{WORDS[number % 100]}{WORDS[number // 100]}"
        groups.number(f"which long templated question of very many like it asks about {tail}")
    groups.group()
    assert 0 < compared <= 600 * 5 * 16


def test_bad_rows_name_their_field() -> None:
    from prism_cli.errors import RowError

    for changed, name in (
        ({"query": 3}, "query"),
        ({"document": None}, "document"),
        ({"teacher_score": "x"}, "teacher_score"),
        ({"source": ["s"]}, "source"),
        ({"original_query": 1}, "original_query"),
    ):
        with pytest.raises(RowError) as caught:
            SplitStage().check(pairs(1)[0] | changed)
        assert caught.value.field == name


def test_text_groups_leave_no_file_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "spill"))
    (tmp_path / "spill").mkdir()
    split(pairs(20))
    assert list((tmp_path / "spill").iterdir()) == []


def test_a_part_is_the_same_in_another_process_and_has_no_documents() -> None:
    row = pairs(1)[0] | {"document": " ".join(WORDS * 40), "verdict": "yes"}
    rows = [LocatedRow("in.jsonl", 1, row)]
    survey_of_split = SplitStage(exclude=[TestSet(query_texts=["which"])]).survey
    part = survey_of_split.read(rows)
    assert pickle.loads(pickle.dumps(survey_of_split)).read(rows) == part
    assert len(part) < len(row["document"])
