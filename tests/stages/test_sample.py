"""Sampling of rows."""

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_cli.domain.disagreement import disagreement
from prism_cli.domain.length_caps import EstimateCutter, LengthCaps
from prism_cli.domain.sampling import bin_of, equal_shares, paper_shares
from prism_cli.errors import MissingDataError, RowError
from prism_cli.rows.row import Dropped, doc_id
from prism_cli.stages.sample import MAX_SOURCE_HISTOGRAMS, SampleStage
from tests.factories import make_pair
from tests.fakes import survey

Row = dict[str, Any]


def scored(count: int, seed: int = 0, **more: Any) -> list[Row]:
    lot = random.Random(seed)
    rows = []
    for number in range(count):
        score = round(lot.betavariate(0.6, 1.2), 4)
        rows.append(make_pair(number, teacher_score=score, teacher_scores={"t": score}) | more)
    return rows


def sampled(rows: list[Row], *settings: Any, **more: Any) -> tuple[list[Row], Counter[str]]:
    stage = SampleStage(*settings, **more)
    for row in rows:
        stage.check(row)
    survey(stage, rows)
    selected, dropped = [], Counter[str]()
    for line, row in enumerate(rows, 1):
        stage.location = "in.jsonl", line
        outcome = stage.work(row)
        if isinstance(outcome, Dropped):
            dropped[outcome.reason] += 1
        else:
            assert outcome is row
            selected.append(row)
    return selected, dropped


def over(words: int) -> LengthCaps:
    return LengthCaps(EstimateCutter(), document_words=words)


def by_bin(rows: list[Row], bins: int) -> list[int]:
    counts = Counter(bin_of(row["teacher_score"], bins) for row in rows)
    return [counts[index] for index in range(bins)]


def names(rows: list[Row]) -> set[str]:
    return {row["doc_id"] for row in rows}


def test_the_size_is_distributed_over_bins_and_the_output_keeps_its_order() -> None:
    rows = scored(600)
    selected, dropped = sampled(rows, 100)
    assert len(selected) == 100
    assert by_bin(selected, 10) == equal_shares(by_bin(rows, 10), 100)
    assert [row["doc_id"] for row in selected] == sorted(
        names(selected), key=lambda doc_id: int(doc_id[1:])
    )
    assert dropped == {"enough rows of its score": 500}


def test_the_paper_rule_applies_to_each_source_separately() -> None:
    rows = scored(400, 1, source="a") + [
        row | {"doc_id": "b" + row["doc_id"]} for row in scored(90, 2, source="b")
    ]
    selected, _ = sampled(rows)
    for source in "ab":
        there, stay = (
            [row for row in some if row["source"] == source] for some in (rows, selected)
        )
        assert by_bin(stay, 20) == paper_shares(by_bin(there, 20))


def test_the_paper_rule_uses_the_raw_mean_not_the_calibrated_score() -> None:
    rows = scored(300)
    raw, _ = sampled(rows)
    calibrated = [row | {"teacher_score": row["teacher_score"] ** 1.609} for row in rows]
    assert names(sampled(calibrated)[0]) == names(raw)
    without = [{k: v for k, v in row.items() if k != "teacher_scores"} for row in rows]
    assert by_bin(sampled(without)[0], 20) == paper_shares(by_bin(rows, 20))


def test_labelled_and_web_rows_are_two_to_three() -> None:
    rows = scored(300, 3, source="nq")
    web = [row | {"doc_id": "w" + row["doc_id"], "source": "web:exa"} for row in scored(200, 4)]
    stage_rows = rows + web
    selected, dropped = sampled(stage_rows, web_sources=["web:exa"])
    labelled = sum(row["source"] == "nq" for row in selected)
    assert abs(3 * labelled - 2 * (len(selected) - labelled)) < 3
    assert dropped["enough rows of its side of labelled : web = 2 : 3"] > 0
    # The draw is independent: rows of truncated buckets are not preferred.
    poorest = [row for row in rows if row["teacher_score"] < 0.2]
    share = len(names(selected) & names(poorest)) / len(poorest)
    everything, _ = sampled(rows)
    assert abs(share - labelled / len(everything)) < 0.1


@given(st.integers(0, 9), st.integers(1, 60), st.randoms(use_true_random=False))
def test_a_sample_does_not_depend_on_row_order(seed: int, size: int, lot: random.Random) -> None:
    rows = scored(80, seed)
    shuffled = list(rows)
    lot.shuffle(shuffled)
    first, other = sampled(rows, size, seed=seed)[0], sampled(shuffled, size, seed=seed)[0]
    assert names(first) == names(other)
    assert len(first) == min(size, 80)
    assert all(row in rows for row in first)


def test_another_seed_draws_other_rows() -> None:
    rows = scored(300)
    assert names(sampled(rows, 50, seed=1)[0]) != names(sampled(rows, 50, seed=2)[0])


def test_a_larger_sample_includes_the_smaller_one() -> None:
    rows = scored(300)
    assert names(sampled(rows, 50)[0]) <= names(sampled(rows, 120)[0])


def test_equal_rows_count_separately() -> None:
    rows = [make_pair(0, teacher_score=0.5) for _ in range(20)]
    assert len(sampled(rows, 7)[0]) == 7
    styles = [make_pair(0, teacher_score=0.5, query_style=style) for style in ("a", "b")]
    assert len(sampled(styles, 1)[0]) == 1
    assert sampled(styles, 1)[0] == sampled(styles[::-1], 1)[0]


def test_long_documents_are_dropped_before_counting() -> None:
    rows = scored(100)
    for row in rows[:50]:
        row["document"] = "word " * 21
    selected, dropped = sampled(rows, 100, lengths=over(20))
    assert names(selected) == names(rows[50:])
    assert dropped == {"document over 20 words": 50}
    chinese = [make_pair(0, teacher_score=0.1, document="文" * 21)]
    assert sampled(chinese, 1, lengths=over(20))[0] == []
    assert len(sampled(chinese, 1, lengths=over(21))[0]) == 1


def test_title_counts_among_the_words() -> None:
    row = make_pair(0, teacher_score=0.1, title="one two", document="three four")
    assert sampled([row], 1, lengths=over(3))[0] == []
    assert len(sampled([row], 1, lengths=over(4))[0]) == 1


@pytest.mark.parametrize("size", [200, None], ids=["size", "paper"])
def test_documents_are_truncated_and_long_pairs_dropped_before_counting(
    size: int | None,
) -> None:
    rows = scored(200)
    for row in rows[:40]:
        row["query"] = "what about it " * 40
    for row in rows[40:80]:
        row["document"] = "word " * 500
        del row["doc_id"]
    ids = [doc_id(row) for row in rows]
    texts = [row["document"] for row in rows]
    stage = SampleStage(size, lengths=LengthCaps(EstimateCutter(), 50, 100))
    survey(stage, rows)
    assert [row["document"] for row in rows] == texts
    outcomes = [stage.work(row) for row in rows]
    dropped = Counter(outcome.reason for outcome in outcomes if isinstance(outcome, Dropped))
    assert dropped["pair over 100 tokens"] == 40
    selected = [
        (outcome, old)
        for outcome, old in zip(outcomes, ids, strict=True)
        if isinstance(outcome, dict)
    ]
    assert (
        len(selected) == 160
        if size
        else by_bin([row for row, _ in selected], 20) == paper_shares(by_bin(rows[40:], 20))
    )
    assert all(doc_id(row) == old for row, old in selected)
    cut = [row for row, _ in selected if row["document"].startswith("word")]
    assert cut
    assert all(row["document"] == ("word " * 50).rstrip() for row in cut)
    assert stage.summary()["documents cut"] == len(cut)


def test_each_source_has_a_histogram() -> None:
    rows = scored(90, source="a") + scored(30, 1, source="b") + scored(20, 2)
    stage = SampleStage(60, bins=4)
    survey(stage, rows)
    selected = [row for row in rows if not isinstance(stage.work(row), Dropped)]
    histograms: Any = stage.summary()["histograms"]
    assert list(histograms) == ["a", "b", "-"]
    for name, bins in histograms.items():
        there, stay = (
            [row for row in some if row.get("source", "-") == name] for some in (rows, selected)
        )
        assert [line["before"] for line in bins] == by_bin(there, 4)
        assert [line["after"] for line in bins] == by_bin(stay, 4)
    alone = SampleStage(60)
    survey(alone, scored(90, source="a"))
    assert "histograms" not in alone.summary()


def test_only_the_largest_of_many_sources_are_listed() -> None:
    rows = [make_pair(n, teacher_score=0.5, source=f"s{n % 30}") for n in range(200)]
    stage = SampleStage(60)
    survey(stage, rows)
    histograms: Any = stage.summary()["histograms"]
    assert list(histograms) == [f"s{n}" for n in range(MAX_SOURCE_HISTOGRAMS)]


def test_rows_without_a_score_are_dropped_unless_no_row_has_one() -> None:
    rows = [*scored(10), make_pair(50), make_pair(51) | {"teacher_score": None}]
    _, dropped = sampled(rows, 100)
    assert dropped == {"no teacher_score": 2}
    with pytest.raises(MissingDataError, match="none of 3 rows has a teacher_score"):
        survey(SampleStage(5), [make_pair(n) for n in range(3)])
    survey(SampleStage(5), [])


def test_histogram_counts_before_and_after() -> None:
    rows = scored(200)
    stage = SampleStage(40, bins=4)
    survey(stage, rows)
    selected = [row for row in rows if not isinstance(stage.work(row), Dropped)]
    histogram: Any = stage.summary()["histogram"]
    assert [line["before"] for line in histogram] == by_bin(rows, 4)
    assert [line["after"] for line in histogram] == by_bin(selected, 4)
    assert histogram[0]["score"] == "0.00-0.25"


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"teacher_score": "0.5"}, "teacher_score"),
        ({"teacher_score": 1.5}, "teacher_score"),
        ({"teacher_score": True}, "teacher_score"),
        ({"teacher_scores": [0.5]}, "teacher_scores"),
        ({"teacher_scores": {"t": -1}}, "teacher_scores.t"),
        ({"source": 3}, "source"),
        ({"document": None}, "document"),
    ],
)
def test_bad_row_names_its_field(changed: dict[str, Any], field: str) -> None:
    with pytest.raises(RowError) as caught:
        SampleStage(5).check(make_pair(0) | changed)
    assert caught.value.field == field


def warned(rows: list[Row], *settings: Any, **more: Any) -> Any:
    stage = SampleStage(*settings, **more)
    survey(stage, rows)
    for row in rows:
        stage.work(row)
    return stage.summary().get("warning")


def graded(*groups: tuple[int, float, str]) -> list[Row]:
    rows: list[Row] = []
    for count, score, verdict in groups:
        rows += [
            make_pair(len(rows) + n, teacher_score=score, verdict=verdict) for n in range(count)
        ]
    return rows


def test_a_small_bin_that_removes_most_of_one_verdict_is_warned_about() -> None:
    rows = graded((48, 0.05, "no"), (1, 0.87, "yes"), (10, 0.92, "yes"), (1, 0.97, "yes"))
    warning = warned(rows)
    assert "1 of 12 yes rows left" in warning
    assert "48 of 48 no rows left" in warning
    assert "0.85-0.90 (1 before), 0.90-0.95 (10 before)" in warning
    assert "the bin with the fewest rows, 0.85-0.90 with 1" in warning
    assert "--size N" in warning
    assert warned(rows, 30) is None


def test_a_removed_verdict_is_warned_about_without_empty_bins() -> None:
    rows = graded((40, 0.05, "no"), (2, 0.67, "yes"), (30, 0.92, "yes"))
    assert warned(rows).startswith("40 of 40 no rows left; 2 of 32 yes rows left: the paper's rule")


def test_a_size_that_empties_a_bin_is_named_as_the_cause() -> None:
    rows = graded((20, 0.05, "no"), (20, 0.55, "no"), (20, 0.95, "yes"))
    assert "0.90-1.00 (20 before): the cap is --size 2 over 10 bins" in warned(rows, 2)


def test_the_ratio_is_named_if_it_removes_a_verdict() -> None:
    rows = graded((4, 0.05, "no"), (40, 0.05, "yes"))
    for row in rows:
        row["source"] = "web:exa" if row["verdict"] == "yes" else "a"
    warning = warned(rows, web_sources=["web:exa"])
    assert warning.startswith(
        "4 of 4 no rows left; 6 of 40 yes rows left: the cap is labelled : web"
    )


def test_a_sample_with_balanced_verdicts_has_no_warning() -> None:
    assert warned(graded((30, 0.05, "no"), (30, 0.97, "yes"))) is None


def test_contradictory_rows_are_kept_counted_and_named() -> None:
    rows = scored(5)
    rows += [rows[1] | {"verdict": "no"}, rows[1] | {"verdict": "yes"}, rows[1] | {"verdict": "no"}]
    rows[1]["verdict"] = "yes"
    stage = SampleStage(100)
    survey(stage, rows)
    for number, row in enumerate(rows, 1):
        stage.location = ("in.jsonl", number)
        assert stage.work(row) is row
    figures = stage.summary()
    assert figures["rows that contradict an earlier one of their pair, none left out"] == 2
    assert str(figures["contradictory, such as"]).startswith(
        "in.jsonl:2 (query_id 'q1', doc_id 'd1': yes) and in.jsonl:6 (query_id 'q1', doc_id 'd1': "
        "no); in.jsonl:2"
    )


def test_a_contradiction_is_found_over_shards_and_counted_once() -> None:
    stage = SampleStage(100)
    for verdict in ("yes", "no"):
        stage.begin_shard()
        stage.work(make_pair(1, teacher_score=0.5, verdict=verdict))
    stage.end_shards()
    figures = stage.summary()
    assert figures["rows that contradict an earlier one of their pair, none left out"] == 1


def opinionated(count: int, seed: int = 0) -> list[Row]:
    """Rows with votes, a teacher's and a student's score, or some of them."""
    lot = random.Random(seed)
    rows = []
    for number in range(count):
        row = make_pair(number, teacher_score=round(lot.random(), 3), score=round(lot.random(), 3))
        row["votes"] = {"p/cheap": lot.choice(["yes", "no", None])}
        for name in ("teacher_score", "score", "votes"):
            if lot.random() < 0.2:
                del row[name]
        rows.append(row)
    return rows


def test_the_rows_that_differ_most_are_kept() -> None:
    rows = opinionated(400)
    before = {row["doc_id"]: disagreement(row) for row in rows}
    selected, dropped = sampled(rows, 60, by_disagreement=True)
    assert len(selected) == 60
    known = sorted((value for value in before.values() if value is not None), reverse=True)
    assert dropped == {
        "fewer than two of votes, teacher_score and score": 400 - len(known),
        "others differ more": len(known) - 60,
    }
    assert min(row["disagreement"] for row in selected) >= known[60] - 1e-4
    assert all(abs(row["disagreement"] - before[row["doc_id"]]) < 1e-4 for row in selected)
    shuffled = opinionated(400)
    random.Random(1).shuffle(shuffled)
    assert names(sampled(shuffled, 60, by_disagreement=True)[0]) == names(selected)


def test_equal_disagreements_are_drawn_by_hash() -> None:
    rows = [make_pair(n, teacher_score=0.9, votes={"p/j": "no"}) for n in range(100)]
    selected, _ = sampled(rows, 30, by_disagreement=True)
    assert len(selected) == 30
    assert names(selected) != names(rows[:30])
    other, _ = sampled([row | {} for row in rows], 30, by_disagreement=True, seed=1)
    assert names(other) != names(selected)


def test_without_two_sides_nothing_can_be_compared() -> None:
    with pytest.raises(MissingDataError, match="none of 5 rows has two of votes, teacher_score"):
        sampled(scored(5), 3, by_disagreement=True)
    with pytest.raises(RowError, match="votes"):
        sampled([make_pair(votes=["yes"])], 3, by_disagreement=True)
