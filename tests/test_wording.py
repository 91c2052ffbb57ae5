"""Formatting for people: counts, labels, lines."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from prism_cli.commands.tables import fitted, show_table
from prism_cli.engine.counts import Counts
from prism_cli.engine.report import summary_lines
from prism_cli.engine.summary import RunSummary
from prism_cli.wording import counted, expected, label, listed, value, wrapped


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_one_is_singular() -> None:
    assert [counted(count, "row") for count in (0, 1, 2, 1200)] == [
        "0 rows",
        "1 row",
        "2 rows",
        "1,200 rows",
    ]
    assert counted(1, "query", "queries") == "1 query"


def test_a_field_without_a_label_loses_its_underscores() -> None:
    assert label("some_new_figure") == "some new figure"
    assert label("format_broken") == "unusable texts of the model"


def test_messages_of_pydantic_and_typer_are_told_in_our_words() -> None:
    assert expected("Input should be less than 3") == "expected a number less than 3"
    assert expected("'--x': Value error, 'a' is not one of 'b'.") == "'--x': 'a' is not one of 'b'."


def test_values_are_formatted_for_people() -> None:
    assert [value(item) for item in (True, False, None, 2048, 0.123456, "x")] == [
        "yes",
        "no",
        "-",
        "2,048",
        "0.1235",
        "x",
    ]


def test_counts_precede_their_nouns() -> None:
    line = listed({"given": 1, "omitted_threshold": 2, "tokens_written": 1, "ok": True})
    assert line == "1 given, 2 without, by their scores, 1 token written, passed yes"
    grounded = listed({"omitted_repeats": 1, "repaired": 1, "extracted": 2, "unsupported_facts": 3})
    assert grounded == (
        "1 left out as a repeat, 1 repaired with its document's sentences, "
        "2 taken from their documents, 3 facts of the model that their documents lack"
    )


def test_a_summary_has_plural_forms_and_no_identifiers() -> None:
    figures = {
        "canary": {"relevant": 0.7, "irrelevant": 0.1, "ok": True},
        "truncated": 0,
        "evidence": {"given": 1, "omitted_threshold": 2},
    }
    summary = RunSummary("rerank", counts=Counts(rows=1, done=1, written=1), figures=figures)
    lines = summary_lines(summary)
    assert lines[0].startswith("rerank: 1 row in, 1 row out, in ")
    assert "check on a known pair: relevant 0.7, irrelevant 0.1, passed yes" in lines
    assert "cut to fit the model: 0" in lines
    assert not [line for line in lines if "_" in line or "True" in line]


def test_lines_are_wrapped_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    line = "  " + " ".join(f"word{number}" for number in range(20)) + f" /a/{'long' * 20}"
    assert wrapped(line, io.StringIO()) == line
    lines = wrapped(line, Terminal()).split("\n")
    assert " ".join(" ".join(lines).split()) == line.strip()
    assert max(len(part) for part in lines[:-1]) <= 40
    assert all(part.startswith("    ") for part in lines[1:])
    command = f"  prism shard {line.strip()}"  # is to be copied
    assert wrapped(command, Terminal()) == command


ROWS = [
    {"system": "a-system-with-a-long-name", "nDCG@10": 0.5, "95 % interval": "0.412 to 0.612"},
    {"system": "bm25 and more words", "nDCG@10": 0.25, "95 % interval": "0.112 to 0.212"},
]


@pytest.mark.parametrize("ruled", [True, False])
@pytest.mark.parametrize("width", [30, 45, 60, 200])
def test_no_word_of_a_table_is_broken_at_any_width(width: int, ruled: bool) -> None:
    stream = io.StringIO()
    console = Console(file=stream, width=width, markup=False)
    show_table(console, ROWS, title="Ranking", ruled=ruled)
    output = stream.getvalue()
    assert max(map(len, output.splitlines())) <= width
    words = {word for row in ROWS for cell in row.values() for word in str(cell).split()} - {"0.5"}
    assert words - {"0.25"} <= set(
        output.replace("│", " ").replace(":", "").replace(",", "").split()
    )


def test_cells_are_not_markup() -> None:
    stream = io.StringIO()
    show_table(Console(file=stream, width=80), [{"[red]a": "[/foo] [bold]b[/bold]"}])
    assert "[/foo] [bold]b[/bold]" in stream.getvalue()


def test_the_widest_column_shrinks_first_down_to_its_longest_word() -> None:
    columns = [[[4], [5, 5, 5]], [[3], [3, 3]], [[2, 2, 2], [1]]]
    assert fitted(columns, 32) == [17, 7, 8]
    assert fitted(columns, 26) == [17, 7, 2], "heads are broken first"
    assert fitted(columns, 22) == [13, 7, 2]
    assert fitted(columns, 10) == [5, 3, 2]
    assert fitted(columns, 9) is None


def test_summary_lines_use_the_helper_for_plurals() -> None:
    """Counts of rows are printed through `counted`."""
    code = Path(__file__).parent.parent / "prism_cli" / "engine" / "report.py"
    assert ":,} rows" not in code.read_text()
