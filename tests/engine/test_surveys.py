"""Surveys over all shards: parts, their cache, and equality with a single part."""

import os
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_cli.engine import surveys
from prism_cli.engine.run_options import RunOptions
from prism_cli.engine.runner import run_rows
from prism_cli.engine.survey import LocatedRow, Survey
from prism_cli.errors import ChangedInputError, PrismError
from prism_cli.evaluation.answers.survey import AnswersSurvey
from prism_cli.evaluation.quality.gold_rows import GoldRows
from prism_cli.evaluation.quality.stage import GoldSurvey
from prism_cli.shards.text_tables import Arrays, packed
from prism_cli.stages import split_survey
from prism_cli.stages.sample import SampleStage
from prism_cli.stages.split import SplitStage
from tests.factories import make_pair, make_pairs, read_jsonl, write_jsonl
from tests.fakes import CountSurvey, EchoStage, RoutedStage


class SpiedSurvey(CountSurvey):
    """Counts the rows, and records the size of each part read."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def read(self, rows: Iterable[LocatedRow]) -> bytes:
        part = super().read(rows)
        if rows != ():  # the layout, which is part of the cache's key
            self.sizes.append(int(part))
        return part


def counted(inputs: list[Path], out: Path, **more: Any) -> tuple[list[int], int]:
    """Run a stage with a survey; return the sizes of the parts read, and the number found."""
    stage = RoutedStage()
    stage.survey = spied = SpiedSurvey()
    options = RunOptions(output=out, quiet=True, overwrite=True, **more)
    run_rows(stage, [str(path) for path in inputs], options)
    numbers = {row["of"] for name in ("even", "odd") for row in read_jsonl(out / f"{name}.jsonl")}
    assert len(numbers) == 1
    return spied.sizes, numbers.pop()


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    rows = make_pairs(50)
    return [
        write_jsonl(tmp_path / "a.jsonl", rows[:30]),
        write_jsonl(tmp_path / "b.jsonl", rows[30:]),
    ]


def test_a_shard_is_read_in_parts_of_bounded_size(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(surveys, "PART_ROWS", 15)
    assert counted(files, tmp_path / "out") == ([15, 15, 0, 15, 5], 50)
    assert counted(files, tmp_path / "out", limit=20) == ([15, 5], 20)


def test_rows_that_come_after_the_survey_are_not_processed(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    survey = CountSurvey.merge

    def merge_and_append(self: CountSurvey, parts: Any) -> bytes:
        with files[1].open("ab") as file:
            file.write(files[0].read_bytes())
        return survey(self, parts)

    with monkeypatch.context() as patch:
        patch.setattr(CountSurvey, "merge", merge_and_append)
        with pytest.raises(
            ChangedInputError, match=r"b\.jsonl: had .* looked at all .* when its writer is done"
        ):
            counted(files, tmp_path / "out")
    assert not list((tmp_path / "out").glob("*.jsonl"))
    assert counted(files, tmp_path / "out")[1] == 80


def test_only_a_changed_shard_is_read_again(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(surveys, "_CACHED_BYTES", 1)
    assert counted(files, tmp_path / "out") == ([30, 20], 50)
    assert counted(files, tmp_path / "out") == ([], 50)
    os.utime(files[1], ns=(-1, -1))
    assert counted(files, tmp_path / "out") == ([20], 50)
    files[1].write_bytes(files[1].read_bytes().replace(b"text", b"TEXT", 1))
    os.utime(files[1], ns=(-1, -1))
    assert counted(files, tmp_path / "out") == ([20], 50)
    write_jsonl(files[0], make_pairs(10))
    assert counted(files, tmp_path / "out") == ([10], 30)
    assert counted(files, tmp_path / "out", fields={"title": "heading"}) == ([10, 20], 30)
    assert counted(files, tmp_path / "out", limit=25) == ([25], 25)


def test_cached_parts_that_lack_a_column_are_made_again(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(surveys, "_CACHED_BYTES", 1)
    inputs, options = [str(path) for path in files], RunOptions(output=tmp_path / "o", quiet=True)

    def without_body(arrays: Arrays) -> bytes:
        return packed({name: column for name, column in arrays.items() if name != "body"})

    with monkeypatch.context() as patch:
        patch.setattr(split_survey, "packed", without_body)
        with pytest.raises(KeyError, match="body"):
            run_rows(SplitStage(), inputs, options)
    assert run_rows(SplitStage(), inputs, options).counts.rows == 50


def test_a_survey_that_has_seen_enough_is_given_no_more_rows(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(surveys, "PART_ROWS", 15)

    class First(CountSurvey):
        def read(self, rows: Iterable[LocatedRow]) -> bytes:
            return str(next(iter(rows)).line).encode()

    stage = RoutedStage()
    stage.survey = First()
    run_rows(stage, [str(path) for path in files], RunOptions(output=tmp_path / "out", quiet=True))
    assert stage.row_count == 2


def outcome(survey: Survey, parts: list[list[LocatedRow]]) -> object:
    """Return the result, or the error's text."""
    try:
        return survey.merge([survey.read(part) for part in parts])
    except PrismError as error:
        return str(error)


TEXTS = st.sampled_from(["who built it", "Who built it?", "when was it made", "how tall is it"])
ROWS = st.builds(
    lambda number, query, **more: make_pair(number, query=query, evidence="e", **more),
    st.integers(0, 8),
    TEXTS,
    source=st.sampled_from(["a", "b", "web"]),
    teacher_score=st.sampled_from([None, 0.1, 0.5, 0.9]),
    verdict=st.sampled_from(["yes", "no"]),
)


@pytest.fixture(scope="module")
def gold(tmp_path_factory: pytest.TempPathFactory) -> GoldRows:
    marks = [{"query_id": "q1", "doc_id": "d1", "answers": ["1889"]}]
    return GoldRows([str(write_jsonl(tmp_path_factory.mktemp("gold") / "gold.jsonl", marks))])


@pytest.mark.parametrize("name", ["sample", "paper", "split", "quality", "answers"])
@given(st.lists(ROWS, max_size=30), st.lists(st.integers(0, 30)))
def test_the_result_is_the_same_for_any_cut_into_parts(
    gold: GoldRows, name: str, rows: list[Any], cuts: list[int]
) -> None:
    all_surveys: dict[str, Survey] = {
        "sample": SampleStage(5).survey,
        "paper": SampleStage(web_sources=["web"]).survey,
        "split": SplitStage(dev_queries=1, dev_share=0.5).survey,
        "quality": GoldSurvey(gold),
        "answers": AnswersSurvey(gold, ("evidence",), "auto"),
    }
    located = [LocatedRow("in.jsonl", line, row) for line, row in enumerate(rows, 1)]
    edges = sorted({0, len(rows), *(cut for cut in cuts if cut < len(rows))})
    parts = [located[start:end] for start, end in pairwise(edges)]
    survey = all_surveys[name]
    assert outcome(survey, parts) == outcome(survey, [located] if located else [])


def test_processes_that_share_a_run_read_each_shard_once_from_different_ones_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(surveys, "_CACHED_BYTES", 1)
    monkeypatch.setattr(surveys, "rotated", lambda jobs: [*jobs[1:], *jobs[:1]])
    given = [str(write_jsonl(tmp_path / f"{n}.jsonl", make_pairs(n))) for n in (1, 2, 3)]
    for expected in ([2, 3, 1], []):
        stage = EchoStage()
        stage.survey = spied = SpiedSurvey()
        results: list[bytes] = []
        stage.use_survey = results.append  # type: ignore[method-assign]
        options = RunOptions(tmp_path / "out", quiet=True, overwrite=True, shared=True)
        run_rows(stage, given, options)
        assert spied.sizes == expected
        assert results == [b"6"]
