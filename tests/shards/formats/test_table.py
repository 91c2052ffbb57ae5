"""CSV and TSV: every cell is the text that it is, and every bad record is named by its line."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_cli.errors import MissingDataError, RowError
from prism_cli.rows.decode import decode_row
from prism_cli.rows.row import Row
from prism_cli.shards.formats.table import _header, table_lines
from tests.shards.formats.compared_text import ComparedText


def read(
    text: str | bytes, *, tabs: bool = False, **fields: str
) -> tuple[dict[int, Row], dict[int, tuple[str, str]]]:
    """Rows, and (field, reason) of what is set aside, by line."""
    raw = text.encode() if isinstance(text, str) else text
    rows: dict[int, Row] = {}
    refused: dict[int, tuple[str, str]] = {}
    for number, line in table_lines(io.BytesIO(raw), "in.csv", fields, tabs=tabs):
        try:
            rows[number] = decode_row(line, fields)
        except RowError as error:
            refused[number] = error.field, error.reason
    return rows, refused


def test_no_type_is_guessed() -> None:
    rows, _ = read(
        "query_id,query,doc_id,title,document,source_label\n"
        "0012,1e5,007,NA,None,1\n"
        "null,TRUE,1.0,NaN,-,\n"
    )
    assert rows[2] == {
        "query_id": "0012", "query": "1e5", "doc_id": "007", "title": "NA", "document": "None",
        "source_label": "1",
    }  # fmt: skip
    assert rows[3] == {
        "query_id": "null", "query": "TRUE", "doc_id": "1.0", "title": "NaN", "document": "-",
    }  # fmt: skip


def test_fields_of_the_contract_that_are_no_texts_are_parsed() -> None:
    rows, refused = read(
        "query,document,teacher_score,rank,audit,teacher_scores,votes,objectives\n"
        'q,d,0.50,3.0,True,"{""a/b"": 0.5}","{""j"": ""yes""}","[""sft""]"\n'
    )
    assert refused == {}
    assert rows[2] == {
        "query": "q", "document": "d", "teacher_score": 0.5, "rank": 3, "audit": True,
        "teacher_scores": {"a/b": 0.5}, "votes": {"j": "yes"}, "objectives": ["sft"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ("teacher_score", "0,5"),
        ("teacher_score", "nan"),
        ("teacher_score", "1_0"),
        ("teacher_score", "0.１"),
        ("score", "nan"),
        ("score", "-Infinity"),
        ("score", "1e999"),
        ("score", "0x1"),
        ("rank", "１２"),
        ("source_rank", "٣"),
        ("rank", "1.5"),
        ("audit", "maybe"),
        ("votes", "yes"),
        ("teacher_scores", "0.5"),
        ("pos", "[1"),
    ],
)
def test_a_cell_that_is_no_such_value_is_named(column: str, cell: str) -> None:
    rows, refused = read(f'query,document,{column}\nq,d,"{cell}"\nq,d,\n')
    assert list(rows) == [3]
    assert refused[2][0] == column
    assert "in this cell" in refused[2][1]
    assert cell in refused[2][1]


def test_a_mapped_column_has_the_type_of_its_field() -> None:
    rows, refused = read(
        "question,passage,s\nq,d,0.5\nq,d,high\n", query="question", document="passage",
        teacher_score="s",
    )  # fmt: skip
    assert rows == {2: {"query": "q", "document": "d", "teacher_score": 0.5}}
    assert refused[3][0] == "teacher_score"


def test_a_record_is_named_by_its_first_line() -> None:
    rows, refused = read('\ufeffquery,document\r\nq,"two\r\nlines"\r\n\r\nq\r\nq,d,x\r\nq,d\r\n')
    assert rows == {
        2: {"query": "q", "document": "two\r\nlines"},
        7: {"query": "q", "document": "d"},
    }
    assert refused == {
        5: ("", "expected 2 cells, as the header has, found 1"),
        6: ("", "expected 2 cells, as the header has, found 3"),
    }


def test_a_header_of_many_columns_is_read_in_linear_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ComparedText, "compared", 0)
    names = [ComparedText(f"column{place}") for place in range(2000)]
    assert _header(iter([names]), "f") == names
    assert ComparedText.compared < 10_000


def test_json_lines_named_as_tsv_are_told_their_name() -> None:
    with pytest.raises(MissingDataError, match=r"Name the file \.jsonl"):
        list(table_lines(io.BytesIO(b'{"query":"q","document":"d"}\n'), "f", {}, tabs=True))


def test_bad_quotes_and_bytes_set_one_record_aside() -> None:
    rows, refused = read(b'query,document\n"a"b,d\nq,K\xe4se\nq,d\n')
    assert list(rows) == [4]
    assert "not CSV" in refused[2][1]
    assert refused[3] == ("", "not UTF-8; a spreadsheet saves it as “CSV UTF-8”")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"", "is empty"),
        (b"query,query\n", "'query' twice"),
        (b"\xff\xfeq\x00,\x00d\x00\n\x00", "UTF-16"),
        (b"qu\xe4ry,d\n", "in UTF-8"),
        (b'query,document\nq,d\nq,"open\nq,d\n', "in.csv:3: a quoted cell"),
    ],
)
def test_a_file_that_is_no_table_is_refused_as_a_whole(text: bytes, told: str) -> None:
    with pytest.raises(MissingDataError, match=r"in\.csv") as caught:
        read(text)
    assert told in str(caught.value)


def test_tabs_and_semicolons() -> None:
    assert read("query\tdocument\nq, r\td\n", tabs=True)[0] == {
        2: {"query": "q, r", "document": "d"}
    }
    assert read("query;document\nq, r;d\n")[0] == {2: {"query": "q, r", "document": "d"}}
    assert read("query\nwhat; now\n")[0] == {2: {"query": "what; now"}}


def test_a_column_without_a_name_travels_by_its_number() -> None:
    rows, _ = read(",query,document,\n0,q,d,\n")
    assert rows[2] == {"column_1": "0", "query": "q", "document": "d"}


def test_a_cell_may_be_long() -> None:
    rows, _ = read(f"query,document\nq,{'x' * 300_000}\n")
    assert len(rows[2]["document"]) == 300_000


def test_an_unclosed_quote_refuses_the_file_and_names_the_lines() -> None:
    rows = [f"{number},query,document" for number in range(3, 300)]
    text = "\n".join(["id,query,document", '2,"open,document', *rows, '300,"a, b",document', ""])
    with pytest.raises(MissingDataError, match=r"in\.csv:2: a quoted cell goes on to line 300"):
        read(text)


def test_lines_that_a_quote_joins_to_a_record_of_other_cells_are_counted() -> None:
    _, refused = read('id,query,document\n1,"open,d\n2,q,d\n3,"\n4,q,d\n')
    assert refused[2][1].endswith("found 2 in 3 lines (a quote that is not closed?)")


@pytest.mark.parametrize(
    ("first", "last"),
    [
        ('"cat food', "q"),  # nothing closes the quote
        ('"cat food', 'a "word"'),  # a quote that closes nothing
        ('"best" cat food', "q"),
        ('a screen of 15"', '"cat'),
    ],
)
def test_tsv_without_quoting_keeps_its_quotes(first: str, last: str) -> None:
    queries = [first, *["q"] * 50, last, "q"]
    text = "".join(f"{number}\t{query}\td\n" for number, query in enumerate(queries))
    rows, refused = read("id\tquery\tdocument\n" + text, tabs=True)
    assert not refused
    assert [row["query"] for row in rows.values()] == queries


def test_lines_of_tsv_that_may_be_one_record_or_several_are_set_aside() -> None:
    text = 'id\tdocument\n1\t"Prices:\napples\t3"\n2\tlast\n'
    rows, refused = read(text, tabs=True)
    assert rows == {4: {"id": "2", "document": "last"}}
    assert refused[2][1].startswith("2 lines from one quote to another, each with all cells")
    stray = 'id\tdocument\n0\ta "word"\n1\t"cat\n2\ta screen of 15"\n'
    assert read(stray.replace('a "word"', '"a" word'), tabs=True)[0].keys() == {2, 3, 4}


def test_a_quote_across_cells_of_one_line_is_text_in_tsv() -> None:
    rows, _ = read('query\tdocument\n"q\td"\n', tabs=True)
    assert rows == {2: {"query": '"q', "document": 'd"'}}


@pytest.mark.parametrize("query", ["q", 'two\nlines "of" a\ttable\n', "\n"])
@pytest.mark.parametrize("document", ["d", 'two\n\nlines, "quoted"', '"\n"', "a\r\nb\r\n"])
def test_quoted_cells_of_several_lines_are_read_in_tsv(query: str, document: str) -> None:
    out = io.StringIO(newline="")
    records = [("q", "d"), (query, document), ("q", "d")]
    csv.writer(out, delimiter="\t", lineterminator="\n").writerows(
        [("query", "document"), *records]
    )
    rows, refused = read(out.getvalue(), tabs=True)
    assert not refused
    assert [(row["query"], row["document"]) for row in rows.values()] == records


@pytest.mark.parametrize(
    ("record", "refused"),
    [
        ('q\t"one\ntwo" stray\n', {2, 3}),
        ('q\t"one\n\ntwo" stray\n', {2, 4}),
        ('q\t"one\ntwo"\td\tx\n', {2, 3}),
        ('q\t"one\ntwo\n', {2, 3}),
        ('"one\ntwo" stray\tq\n', {2, 3}),
    ],
    ids=["stray quote", "blank line", "too many cells", "unclosed", "last line with all cells"],
)
def test_no_part_of_a_record_of_several_lines_is_a_row_in_tsv(
    record: str, refused: set[int]
) -> None:
    rest = 'r\t"good\nrow"\nr\t"plain"\n'
    rows, found = read("query\tdocument\n" + record + rest, tabs=True)
    assert [row["document"] for row in rows.values()] == ["good\nrow", "plain"]
    assert found.keys() == refused


def test_one_bad_record_does_not_make_several_of_a_quoted_record_in_tsv() -> None:
    text = 'id\tdocument\n1\t"one\ntwo" stray\n2\t"Prices:\napples\t3"\n'
    rows, refused = read(text, tabs=True)
    assert (rows, refused.keys()) == ({}, {2, 3, 4})


@pytest.mark.parametrize("between", ["", "3", "3\tq\td\tx"], ids=["blank", "short", "long"])
def test_lines_after_a_stray_quote_are_not_joined_in_tsv(between: str) -> None:
    text = f'id\tquery\tdocument\n1\tq\t"b\n2\tq\t"another\n{between}\n4\tq\tc"\n5\tq\td\n'
    rows, refused = read(text, tabs=True)
    assert {row["id"]: row["document"] for row in rows.values()} == {
        "1": '"b', "2": '"another', "4": 'c"', "5": "d",
    }  # fmt: skip
    assert refused.keys() == ({4} if between else set())


def test_a_line_whose_quotes_are_closed_is_no_part_of_a_cell_of_the_line_before_in_tsv() -> None:
    text = 'id\tquery\tdocument\n1\tq\t"Title" is stray\n2\n3\tq\tthe "word" is closed\n4\tq\td\n'
    rows, refused = read(text, tabs=True)
    assert [row["id"] for row in rows.values()] == ["1", "3", "4"]
    assert refused.keys() == {3}
    _, refused = read(text.replace('"Title"', '"Title'), tabs=True)
    assert refused.keys() == {2, 3}


def test_many_unclosed_quotes_are_read_once() -> None:
    text = "query\tdocument\n" + 'a screen of 15"\t"cat\n' * 20_000
    lines = list(table_lines(io.BytesIO(text.encode()), "in.tsv", {}, tabs=True))
    assert len(lines) == 20_000


cells = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)


@given(st.lists(st.tuples(cells, cells), max_size=5))
def test_what_csv_writes_is_read_back(records: list[tuple[str, str]]) -> None:
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL).writerows([("a", "b"), *records])
    rows, refused = read(out.getvalue())
    assert refused == {}
    assert list(rows.values()) == [
        {name: cell for name, cell in zip("ab", record, strict=True) if cell} for record in records
    ]


@pytest.mark.parametrize("long", ["x" * 5000, f'"{"x" * 5000}"'])
def test_what_is_above_the_limit_is_rejected_and_the_next_record_is_read(
    monkeypatch: pytest.MonkeyPatch, long: str
) -> None:
    monkeypatch.setenv("PRISM_MAX_LINE_BYTES", "1024")
    rows, refused = read(f"query,document\nq,{long}\nq,d\n")
    assert all(len(row["document"]) < 10 for row in rows.values())
    assert refused[2][1].startswith("not CSV: ")


def test_a_header_above_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRISM_MAX_LINE_BYTES", "1024")
    with pytest.raises(MissingDataError, match="expected a header, found a line of more than 1024"):
        read("x" * 5000)


def test_a_cell_over_many_lines_above_the_limit_refuses_the_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PRISM_MAX_LINE_BYTES", "1024")
    with pytest.raises(MissingDataError, match=r"in\.csv:2: a quoted cell goes on to line"):
        read('query,document\nq,"' + "x\n" * 2000 + '"\nq,d\n')


@pytest.mark.parametrize(
    "text",
    [
        "\n\nquery,document\nq,d\n",
        "query|document\nq|d\n",
        "sep=;\nquery;document\nq;d\n",
        '"sep=;"\nquery;document\nq;d\n',
        "sep=\t\r\nquery\tdocument\r\nq\td\r\n",
    ],
)
def test_spreadsheets_dialects_are_read(text: str) -> None:
    (row,) = read(text)[0].values()
    assert row == {"query": "q", "document": "d"}
