"""Input files of another format: each error has a description and a remedy."""

import gzip
from pathlib import Path

import pytest

from prism_cli.errors import PrismError
from prism_cli.files.lines import foreign, not_utf8, refuse_foreign
from prism_cli.files.text import text_lines
from prism_cli.shards.reader import find_shards, read_rows
from tests.door import prism

ROWS = b'{"query": "q", "document": "d"}\n{"query": "q", "document": "e"}\n'


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("in.jsonl", ROWS.replace(b"\n", b"\r")),
        ("in.jsonl", ROWS.replace(b"\n", b"\r").rstrip()),
        ("in.csv", b"query,document\rq,d\r"),
        ("in.tsv", b"query\tdocument\rq\td"),
        ("run.trec", b"q Q0 d 1 2 x\rq Q0 e 2 1 x\r"),
        ("questions.txt", b"one?\rtwo?\r"),
    ],
)
def test_lines_that_end_in_cr_are_reported(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    text = name.endswith(("trec", "txt"))
    with pytest.raises(PrismError, match=r"lines end in CR alone.*`tr '.r' '.n' < OLD > NEW`"):
        list(text_lines(path) if text else read_rows([str(path)]))


@pytest.mark.parametrize(
    "content", [b'{"query": "q",\r "document": "d"}', b'{"query": "q\\r"}\r\n']
)
def test_a_cr_within_a_line_is_kept(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(content)
    assert len(list(read_rows([str(path)]))) == 1


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("utf-16", "-f utf-16 -t utf-8"),
        ("utf-16-le", "-f utf-16le -t utf-8"),
        ("utf-16-be", "-f utf-16be -t utf-8"),
        ("utf-32", "-f utf-32 -t utf-8"),
        ("latin-1", "-f latin1 -t utf-8"),
        ("cp1252", "-f cp1252 -t utf-8"),
    ],
)
@pytest.mark.parametrize("name", ["in.jsonl", "in.csv", "in.json", "run.trec", "text.txt"])
def test_the_command_that_converts_an_encoding_is_the_right_one(
    tmp_path: Path, name: str, code: str, message: str
) -> None:
    sign = {"cp1252": "“", "latin-1": "é"}.get(code, "a")
    text = {
        "in.jsonl": f'{{"query": "{sign}"}}\n',
        "in.csv": f"query,document\n{sign},d\n",
        "in.json": f'[{{"query": "{sign}"}}]',
        "run.trec": f"q Q0 {sign} 1 2 x\n",
        "text.txt": f"{sign} text\n",
    }[name]
    path = tmp_path / name
    path.write_bytes(text.encode(code))
    reasons: list[str] = []
    try:
        if name == "run.trec":
            list(text_lines(path))
        else:
            rows = read_rows([str(path)], on_reject=lambda reject: reasons.append(reject.reason))
            assert not list(rows)
    except PrismError as error:
        reasons.append(str(error))
    (reason,) = reasons
    if name == "in.csv" and not code.startswith("utf"):
        message = "not UTF-8; a spreadsheet saves it as “CSV UTF-8”"
    assert message in reason


def test_utf8_text_is_accepted() -> None:
    for raw in (b"", b"text\n", "déjà vu\r\n".encode(), b"\xef\xbb\xbfx\n", b"<rubric>\n"):
        assert foreign(raw) == ""
        refuse_foreign(raw, "in")


def test_a_byte_that_is_not_utf8_is_named() -> None:
    raw = b"caf\xe9"
    with pytest.raises(UnicodeDecodeError) as error:
        raw.decode()
    assert not_utf8(raw, error.value).startswith("not UTF-8: byte 0xe9 at offset 3 (Latin-1")


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz", ".zst"])
def test_plain_rows_under_the_name_of_compressed_ones_are_not_called_damaged(
    tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"in.jsonl{suffix}"
    path.write_bytes(ROWS)
    with pytest.raises(
        PrismError, match="not the compressed data that its suffix indicates"
    ) as raised:
        list(read_rows([str(path)]))
    assert "damaged" not in str(raised.value)


def test_a_gz_that_is_cut_short_is_still_called_damaged(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl.gz"
    path.write_bytes(gzip.compress(ROWS)[:-12])
    with pytest.raises(PrismError, match="compressed data is damaged"):
        list(read_rows([str(path)]))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.html", r"is HTML, which is not read; save its text as \.txt, \.md or \.pdf"),
        ("a.docx", r"a text processor's file, which is not read; save its text as \.txt"),
        ("a.XLSX", "a spreadsheet, which is not read; save it as CSV UTF-8"),
    ],
)
def test_an_unsupported_format_is_reported_with_a_supported_one(
    tmp_path: Path, name: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_bytes(b"PK\3\4")
    with pytest.raises(PrismError, match=message):
        find_shards([str(tmp_path / name)])
    (tmp_path / "note.md").write_text("A note.")
    for inputs_given in (str(tmp_path), f"{tmp_path}/*"):
        assert len(find_shards([inputs_given])) == 1
        line = capsys.readouterr().err
        assert line.startswith(f"prism: {inputs_given}: passed over: ")
        assert f"to have it read): {name}" in line


def test_html_under_another_name_is_reported(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(b"<!DOCTYPE html>\n<html></html>\n")
    with pytest.raises(PrismError, match="is HTML; nothing was read"):
        list(read_rows([str(tmp_path / "in.jsonl")]))


def test_a_beir_folder_is_reported_with_the_commands_that_read_it(tmp_path: Path) -> None:
    (tmp_path / "qrels").mkdir()
    (tmp_path / "corpus.jsonl").write_bytes(b'{"_id": "d", "text": "x"}\n')
    (tmp_path / "queries.jsonl").write_bytes(b'{"_id": "q", "text": "x"}\n')
    for words in (["relabel", "--judge", "source"], ["rerank", "--model", "hf:prism-tiny"]):
        done = prism(*words, tmp_path)
        assert done.returncode == 2
        assert f"`prism collect {tmp_path} -o pairs.jsonl`" in done.stderr
        assert f"`prism eval {tmp_path}`" in done.stderr


@pytest.mark.parametrize("inputs", [["in.jsonl"], ["in.jsonl", "in2.jsonl"]])
def test_csv_as_output_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inputs: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for path in inputs:
        (tmp_path / path).write_bytes(ROWS)
    done = prism("relabel", "--judge", "source", *inputs, "-o", "out.csv")
    assert done.returncode == 2
    assert "out.csv: outputs are JSON lines" in done.stderr
    assert "name a file that ends in .jsonl" in done.stderr
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize("name", ["out.tsv", "out.json", "out.txt"])
def test_a_file_name_is_not_taken_for_a_directory_of_outputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for source in ("in.jsonl", "in2.jsonl"):
        (tmp_path / source).write_bytes(ROWS)
    done = prism("relabel", "--judge", "source", "in.jsonl", "in2.jsonl", "-o", name)
    assert done.returncode == 2
    assert f"{name}: outputs " in done.stderr
    assert not (tmp_path / name).exists()
    assert (
        prism("relabel", "--judge", "source", "in.jsonl", "in2.jsonl", "-o", "v1.2").returncode == 0
    )
    assert (tmp_path / "v1.2" / "in.jsonl").is_file()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("in.csv", "a question,a text\nq,d\n", "first line was taken as the header; where it is"),
        ("in.csv", "The Query,The Document\nq,d\n", "--field 'query=The Query' --field"),
        (
            "in.json",
            '{"data": [{"query": "q", "document": "d"}]}',
            "jq -c '.[\"data\"][]' IN > OUT",
        ),
        ("in.json", '{\n "query": "q"\n}', "`jq -c . IN > OUT`"),
        ("in.csv", "A title,\n\nquery,document,title\nq,d,t\n", "where it is a row or a title"),
        ("in.jsonl", '{"query": "q"},\n', "one object a line is expected, without commas"),
        ("in.jsonl", '{"query": "q"} {"query": "q"}\n', "the next on the same line begins"),
        ("in.json", '{"query": ["q"], "document": ["d"]}', "`to_json(OUT, orient='records'"),
        ("in.json", '{"query": {"0": "q"}, "document": {"0": "d"}}', "a table by columns?"),
    ],
)
def test_missing_fields_are_reported_with_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_text(content)
    done = prism("relabel", "--judge", "source", name)
    assert done.returncode == 4
    assert message in done.stderr
    assert ("taken as the header" in done.stderr) == content.startswith(("a question", "A title"))


def test_a_tsv_without_tabs_is_reported_by_name(tmp_path: Path) -> None:
    path = tmp_path / "in.tsv"
    path.write_text("query,document\nq,d\n")
    with pytest.raises(PrismError, match=r"in\.tsv:1: expected tabs.*Name the file \.csv"):
        list(read_rows([str(path)]))
    path.write_text("document\nd, and more\n")
    assert len(list(read_rows([str(path)]))) == 1
