"""--field: both names are checked before any work."""

from pathlib import Path

import pytest

from prism_cli.commands.field_names import parsed_fields
from prism_cli.errors import UsageError
from tests.door import prism


@pytest.mark.parametrize(
    ("items", "message"),
    [
        (["qurey=question"], "did you mean query=question?"),
        (["question=query"], "did you mean --field query=question?"),
        (["qqq=question"], "'qqq' is no field of a row. Expected FIELD=NAME"),
        (["query=a", "query=b"], "query is a already"),
        (["query"], "expected NAME=NAME"),
    ],
)
def test_the_left_name_is_a_field_of_a_row(items: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parsed_fields(items)
    assert message in str(caught.value)


COMMANDS = [
    ("convert", "rows.jsonl", "-o", "out.jsonl"),
    ("convert", "rows.jsonl", "-o", "out.jsonl", "--sort-queries"),
    ("rerank", "rows.jsonl", "-o", "out.jsonl", "--model", "hf:none"),
    ("relabel", "rows.jsonl", "-o", "out.jsonl", "--judge", "source"),
    ("distill", "rows.jsonl", "-o", "out.jsonl", "--generator", "extractive", "--dry-run"),
    ("split", "rows.jsonl", "-o", "out"),
    ("eval", "labels", "rows.jsonl", "-o", "out"),
    ("train", "rows.jsonl", "-o", "out", "--size", "tiny"),
]


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: "-".join(words[:2]))
def test_a_name_that_no_row_has_is_refused_before_any_work(words: tuple[str, ...]) -> None:
    Path("rows.jsonl").write_text('not JSON\n{"query": "q", "passage": "d", "head": "t"}\n' * 3)
    done = prism(*words, "--field", "document=passage", "--field", "title=headd")
    assert done.returncode == 2, done.stderr
    assert (
        "--field title=headd: no row has a field 'headd'; did you mean title=head?" in done.stderr
    )
    assert "The first row of rows.jsonl has: query, passage, head" in done.stderr
    assert not Path("out.jsonl").exists()
    assert not Path("out").exists()


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: "-".join(words[:2]))
def test_one_field_of_a_row_is_one_field_of_prism(words: tuple[str, ...]) -> None:
    Path("rows.jsonl").write_text('{"passage": "d"}\n')
    done = prism(*words, "--field", "query=passage", "--field", "document=passage")
    assert done.returncode == 2, done.stderr
    assert "'passage' is query already" in done.stderr


def test_one_row_that_has_the_name_is_enough_and_the_field_itself_is_not() -> None:
    Path("rows.csv").write_text("query,document\nq,d\n")
    Path("more.jsonl").write_text('{"query": "q", "document": "d"}\n{"query": "q", "text": "d"}\n')
    done = prism("convert", "rows.csv", "more.jsonl", "-o", "out.jsonl", "--field", "document=text")
    assert done.returncode == 0, done.stderr
    done = prism("convert", "rows.csv", "-o", "two.jsonl", "--field", "document=passage")
    assert done.returncode == 2
    assert "no row has a field 'passage'" in done.stderr


def test_the_columns_of_a_table_are_listed(tmp_path: Path) -> None:
    Path("rows.csv").write_text("question,document\nq,d\n")
    done = prism("convert", "rows.csv", "-o", "out.jsonl", "--field", "query=qestion")
    assert done.returncode == 2
    assert "did you mean query=question? The first row of rows.csv has: question, document" in (
        done.stderr
    )
