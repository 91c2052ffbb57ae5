"""The same rows in every format give the same outputs, for every command."""

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from prism_cli.rows.row import check_pair
from prism_cli.shards.reader import read_rows
from tests.door import prism
from tests.pdf import write_pdf

ROWS: list[dict[str, Any]] = [
    {
        "query_id": f"00{number // 2}",
        "query": f"what is {number // 2}?",
        "doc_id": f"d{number}",
        "title": "NA",
        "document": f"A text,\nof two lines: “{number}”.",
        "source_label": str(number % 2),
        "teacher_score": 0.25 + number / 20,
        "teacher_scores": {"st:a": 0.5},
    }
    for number in range(10)
]


def write(name: str) -> Path:
    """Write ROWS in the format of the suffix."""
    path, name = Path(name), name.lower()
    lines = [json.dumps(row) for row in ROWS]
    if ".parquet" in name:
        parquet.write_table(pyarrow.Table.from_pylist(ROWS), path)
        return path
    if ".json" in path.suffixes and ".gz" not in name:
        text = f"[\n {', '.join(json.dumps(row, indent=2) for row in ROWS)}\n]"
    elif ".csv" in name or ".tsv" in name:
        comma = "," if ".csv" in name else "\t"
        cells = [
            [value if isinstance(value, str) else json.dumps(value) for value in row.values()]
            for row in ROWS
        ]
        table = [list(ROWS[0]), *cells]
        text = "\r\n".join(
            comma.join('"' + cell.replace('"', '""') + '"' for cell in record) for record in table
        )
    else:
        text = "\n".join(lines)
    raw = b"\xef\xbb\xbf" * (".csv" in name) + text.encode()
    path.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    return path


def lines_of(path: str) -> list[Any]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


FORMATS = ["in.csv", "in.CSV.gz", "in.tsv", "in.parquet", "in.json", "lines.json.gz"]
COMMANDS = [
    ("convert",),
    ("convert", "--sort-queries"),
    ("convert", "--to", "flagembedding"),
    ("collect",),
    ("relabel", "--judge", "source"),
    ("sample",),
    ("distill", "--generator", "extractive"),
]


@pytest.mark.parametrize(
    ("words", "name"),
    [(COMMANDS[0], name) for name in FORMATS]
    + [(words, name) for words in COMMANDS[1:] for name in ("in.csv", "in.parquet")],
    ids=lambda names: names if isinstance(names, str) else " ".join(names),
)
def test_every_row_command_reads_it(words: tuple[str, ...], name: str) -> None:
    command, *options = words
    for source, out in [(write("plain.jsonl"), "plain.out.jsonl"), (write(name), "out.jsonl")]:
        done = prism(command, source, "-o", out, *options)
        assert done.returncode == 0, done.stderr
    assert Path("plain.out.jsonl").read_text() == Path("out.jsonl").read_text()
    assert len(Path("out.jsonl").read_text().splitlines()) >= 5


@pytest.mark.parametrize("name", ["in.csv", "in.parquet"])
def test_split_and_evaluation_of_labels_read_it(name: str) -> None:
    for source, out in [(write("plain.jsonl"), "plain"), (write(name), "other")]:
        done = prism("split", source, "-o", f"{out}.split", "--dev-queries", "2")
        assert done.returncode == 0, done.stderr
        assert prism("eval", "labels", source, "-o", f"{out}.eval").returncode == 0
    for file in ("split/train.jsonl", "split/dev.jsonl"):
        assert Path(f"plain.{file}").read_bytes() == Path(f"other.{file}").read_bytes()
    first, second = (
        json.loads(Path(f"{folder}.eval/metrics.json").read_text()) for folder in ("plain", "other")
    )
    assert first["input_rows"] == second["input_rows"]


@pytest.mark.parametrize("name", FORMATS[:4], ids=FORMATS[:4])
def test_the_output_has_the_inputs_name_and_is_jsonl(name: str) -> None:
    done = prism("convert", write(name))
    assert done.returncode == 0, done.stderr
    assert lines_of("in.convert.jsonl") == ROWS
    assert "finished before" in prism("convert", name).stderr


def test_a_folder_of_several_formats_gives_a_shard_each() -> None:
    Path("rows").mkdir()
    for name in ("rows/a.csv", "rows/b.parquet", "rows/c.jsonl"):
        write(name)
    Path("rows/about.json").write_text('{"licence": "MIT"}')
    done = prism("convert", "rows", "-o", "out")
    assert done.returncode == 0, done.stderr
    paths = sorted(path for path in Path("out").glob("*.jsonl"))
    assert [path.name for path in paths] == ["a.jsonl", "b.jsonl", "c.jsonl"]
    assert len({path.read_bytes() for path in paths}) == 1


def test_a_table_that_grew_is_processed_again() -> None:
    Path("in.csv").write_text("query,document\nq,d\n")
    assert prism("convert", "in.csv", "-o", "out.jsonl").returncode == 0
    Path("in.csv").write_text("query,document\nq,d\nq,e\n")
    assert prism("convert", "in.csv", "-o", "out.jsonl").returncode == 0
    assert len(Path("out.jsonl").read_text().splitlines()) == 2


def test_columns_under_other_names_come_with_the_options_that_name_them() -> None:
    Path("in.csv").write_text("id;question;passage;label\n1;q;d;yes\n")
    done = prism("convert", "in.csv", "-o", "out.jsonl")
    assert done.returncode == 4
    assert (
        "query: expected a string, found no such field; there is id, question, passage, label: "
        "--field query=question --field document=passage names them"
    ) in " ".join(done.stderr.split())
    named = ("--field", "query=question", "--field", "document=passage")
    assert prism("convert", "in.csv", "-o", "two.jsonl", *named).returncode == 0


def test_an_empty_cell_of_a_required_field_is_reported() -> None:
    Path("in.csv").write_text("query,passage,title\nq,,t\nq,d,\n")
    words = ("convert", "in.csv", "-o", "out.jsonl", "--field", "document=passage")
    assert prism(*words).returncode == 4
    (reject,) = lines_of("out.jsonl.rejects.jsonl")
    assert (reject["line"], reject["field"]) == (2, "document")
    assert reject["reason"] == "expected text, found an empty cell"
    assert lines_of("out.jsonl") == [{"query": "q", "document": "d"}]
    told_to: list[str] = []
    fields = {"document": "passage"}
    rows = read_rows(
        ["in.csv"],
        fields=fields,
        check=check_pair,
        on_reject=lambda bad: told_to.append(bad.reason),
    )
    assert len(list(rows)) == 1
    assert told_to == ["expected text, found an empty cell"]


def test_a_table_without_a_suffix_is_reported_as_a_table() -> None:
    Path("rows").write_bytes(b"\xef\xbb\xbfquery;document\nq;d\n")
    assert prism("convert", "rows", "-o", "out.jsonl").returncode == 4
    reasons = {reject["reason"] for reject in lines_of("out.jsonl.rejects.jsonl")}
    assert reasons == {"not JSON, this looks like CSV: name the file .csv to have it read so"}


def test_records_that_are_no_rows_are_rejected_in_either_order() -> None:
    Path("in.csv").write_text("query,document,rank\nq,d,1\nq\nq,d,first\nr,d,\n")
    for options in ([], ["--sort-queries"]):
        out = f"out{len(options)}.jsonl"
        done = prism("convert", "in.csv", "-o", out, *options)
        assert done.returncode == 4, done.stderr
        rejects = lines_of(f"{out}.rejects.jsonl")
        assert [(reject["field"], reject["reason"][:30]) for reject in rejects] == [
            ("", "expected 3 cells, as the heade"),
            ("rank", "expected a whole number in thi"),
        ]
    assert [reject["line"] for reject in lines_of("out0.jsonl.rejects.jsonl")] == [3, 4]


@pytest.mark.parametrize("name", ["docs", "docs/a.md", "docs/b.pdf"])
def test_documents_are_ranked_for_a_query(name: str, tiny_reranker: Path) -> None:
    Path("docs").mkdir()
    Path("docs/a.md").write_text("# Refunds\n\nWithin 30 days.")
    write_pdf(Path("docs/b.pdf"), "Shipping takes five days.", title="Shipping")
    words = ("--model", tiny_reranker, "--no-evidence", "--json")
    done = prism("rerank", "--query", "refunds", name, *words)
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)["results"]
    assert {result["doc_id"] for result in results} == (
        {"a.md", "b.pdf"} if name == "docs" else {Path(name).name}
    )


COMMANDS_OF_ROWS = [
    ("convert",),
    ("rerank", "--model", "hf:none"),
    ("collect",),
    ("train", "--size", "tiny"),
    ("eval", "labels"),
    ("eval", "quality"),
]


@pytest.mark.parametrize("words", COMMANDS_OF_ROWS, ids=" ".join)
def test_documents_without_a_query_are_refused_with_the_missing_field(
    words: tuple[str, ...],
) -> None:
    Path("docs").mkdir()
    Path("docs/a.md").write_text("# Refunds\n\nWithin 30 days.")
    done = prism(*words, "docs", "-o", "out")
    assert done.returncode == 2, done.stderr
    assert "docs: is a folder of documents, without a query" in done.stderr
    assert "prism collect --corpus docs --queries questions.txt" in done.stderr
    assert not Path("out").exists()
