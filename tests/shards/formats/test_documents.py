"""Folders of documents: which files, which titles, which texts, and what is set aside."""

import sys
import time
from pathlib import Path

import pytest

from prism_cli.errors import MissingPackageError, RowError, SkippedRowError
from prism_cli.rows.decode import Unreadable, decode_row
from prism_cli.rows.row import Rejected, Row
from prism_cli.shards.formats.documents import document_lines
from prism_cli.shards.reader import read_rows
from tests.pdf import write_pdf


def read(path: Path) -> tuple[dict[str, Row], dict[str, str]]:
    """Rows by doc_id, and reasons by the place of what was set aside."""
    rows: dict[str, Row] = {}
    refused: dict[str, str] = {}
    for number, raw in document_lines(path):
        assert number == len(rows) + len(refused) + 1
        try:
            row = decode_row(raw)
            rows[row["doc_id"]] = row
        except RowError as error:
            assert isinstance(raw, Unreadable)
            told = " (skipped)" if isinstance(error, SkippedRowError) else ""
            refused[str(raw.ref)] = f"{error}{told}"
    return rows, refused


def test_each_file_of_a_folder_is_a_document(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "notes.md").write_text("# Hidden")
    (tmp_path / ".draft.md").write_text("# Hidden")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfPlain words.\r\nMore.\n")
    (tmp_path / "b" / "c.MD").write_text("Intro.\n\n## Über *uns* ##\n\nText.\n", encoding="utf-8")
    write_pdf(tmp_path / "d.pdf", "First page.", "Second page.", title="A report")
    rows, refused = read(tmp_path)
    assert refused == {}
    assert list(rows) == ["a.txt", "b/c.MD", "d.pdf"]
    assert rows["a.txt"] == {
        "doc_id": "a.txt",
        "title": "a",
        "document": "Plain words.\r\nMore.\n",
    }
    assert rows["b/c.MD"]["title"] == "Über *uns*"
    assert rows["d.pdf"]["title"] == "A report"
    assert rows["d.pdf"]["document"].split("\n\n") == ["First page.", "Second page."]


@pytest.mark.parametrize(
    ("text", "title", "document"),
    [
        (
            "---\ntitle: x\n# no heading\n---\n# Real\nText.\n",
            "Real",
            "---\ntitle: x\n# no heading\n---\nText.\n",
        ),
        ("Setext\n======\n\ntext", "Setext", "text"),
        ("Setext\r\n---\r\ntext", "Setext", "text"),
        ("Intro.\n\n## First ##\n\nText.\n\n## Next\n", "First", "Intro.\n\nText.\n\n## Next\n"),
        ("#hashtag\n\nno heading", "name", "#hashtag\n\nno heading"),
        ("a | b\n--- | ---\n1 | 2\n", "name", "a | b\n--- | ---\n1 | 2\n"),
        ("#   \n\n# Second", "Second", "#   \n\n"),
        ("# Alone\n", "Alone", "# Alone\n"),
        ("# C# \t#\r\ntext", "C#", "text"),
        ("# C#\ntext", "C#", "text"),
        ("```sh\n# comment\n```\n# Real\ntext", "Real", "```sh\n# comment\n```\ntext"),
        ("~~~\n```\n# comment\n~~~~ \r\n# Real\n", "Real", "~~~\n```\n# comment\n~~~~ \r\n"),
        ("````\n```\n# comment", "name", "````\n```\n# comment"),
        ("- ```sh\n  # comment\n  ```\n# Real\ntext", "Real", "- ```sh\n  # comment\n  ```\ntext"),
        ("1. ```sh\n   # comment\n\n# Real\ntext", "Real", "1. ```sh\n   # comment\n\ntext"),
        ("```inline``` code\n# Real\ntext", "Real", "```inline``` code\ntext"),
    ],
)
def test_the_first_heading_is_the_title_and_not_in_the_text(
    tmp_path: Path, text: str, title: str, document: str
) -> None:
    (tmp_path / "name.md").write_bytes(text.encode())
    rows, _ = read(tmp_path / "name.md")
    assert rows["name.md"] == {"doc_id": "name.md", "title": title, "document": document}


@pytest.mark.parametrize(
    "run", [" ", "#", "` ", "`", "```\n", "# ", "=", "# a\n=\r", "---\n", "- ```\n", "- "]
)
def test_long_runs_of_marks_take_no_time(tmp_path: Path, run: str) -> None:
    for start in ("# a", "a\n", "```", "---\n"):
        text = start + run * (100_000 // len(run)) + "b\n"
        (tmp_path / "name.md").write_text(text)
        began = time.process_time()
        read(tmp_path / "name.md")
        assert time.process_time() - began < 2


def test_rows_that_are_folded_have_the_same_places_and_skips(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    (tmp_path / "blank.txt").write_text(" \n")
    (tmp_path / "latin.txt").write_bytes("Käse".encode("latin-1"))
    aside: list[Rejected] = []
    (one,) = read_rows([str(tmp_path)], on_reject=aside.append)
    assert one[1]["doc_id"] == "a.txt"
    assert [str(bad.ref) for bad in aside] == [str(tmp_path / "latin.txt")]  # no blank document


def test_what_has_no_text_is_set_aside_by_its_path(tmp_path: Path) -> None:
    (tmp_path / "blank.txt").write_text(" \n")
    (tmp_path / "latin.txt").write_bytes("Käse".encode("latin-1"))
    (tmp_path / "damaged.pdf").write_bytes(b"%PDF-1.4\nnothing")
    (tmp_path / "empty.pdf").write_bytes(b"")
    write_pdf(tmp_path / "scan.pdf", "")
    write_pdf(tmp_path / "locked.pdf", "Secret.", password="secret")
    rows, by_file = read(tmp_path)
    assert rows == {}
    refused = {Path(file).name: reason for file, reason in by_file.items()}
    assert by_file.keys() == {str(tmp_path / name) for name in refused}
    assert refused.keys() == {
        "blank.txt", "latin.txt", "damaged.pdf", "empty.pdf", "scan.pdf", "locked.pdf",
    }  # fmt: skip
    assert refused["blank.txt"] == "empty document (skipped)"
    told = "not UTF-8: byte 0xe4 at offset 1 (Latin-1 perhaps: `iconv -f latin1 -t utf-8`)"
    assert refused["latin.txt"] == told
    assert "no text (a scan?)" in refused["scan.pdf"]
    assert refused["locked.pdf"] == "an encrypted PDF; give a copy without a password"
    assert refused["damaged.pdf"].startswith("a damaged PDF: ")
    assert refused["empty.pdf"] == "expected a PDF, as its name says, found an empty file"


def test_what_pypdf_repairs_is_told_once_with_the_file(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_pdf(tmp_path / "torn.pdf", "Text.")
    whole = (tmp_path / "torn.pdf").read_bytes()
    start = whole.rindex(b"startxref")
    (tmp_path / "torn.pdf").write_bytes(whole[:start] + b"startxref\n1\n%%EOF\n")
    for _ in range(2):
        rows, _ = read(tmp_path)
        assert rows["torn.pdf"]["document"] == "Text."
    (line,) = capfd.readouterr().err.splitlines()
    told = f"prism: warning: {tmp_path / 'torn.pdf'}: a damaged PDF, read as far as it can be: "
    assert line.startswith(told)


def test_utf16_and_nul_are_told_with_the_right_command(tmp_path: Path) -> None:
    (tmp_path / "marked.md").write_bytes("# Ä\n".encode("utf-16"))
    (tmp_path / "bare.txt").write_bytes("plain text".encode("utf-16-be"))
    (tmp_path / "nul.txt").write_bytes(b"a text with one \0 in it")
    rows, by_file = read(tmp_path)
    assert rows == {}
    refused = {Path(file).name: reason for file, reason in by_file.items()}
    assert "`iconv -f utf-16 -t utf-8`" in refused["marked.md"]
    assert "`iconv -f utf-16be -t utf-8`" in refused["bare.txt"]
    assert "a NUL byte at offset 16" in refused["nul.txt"]


def test_a_pdf_without_pypdf_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.txt").write_text("Text.")
    write_pdf(tmp_path / "b.pdf", "Text.")
    monkeypatch.setitem(sys.modules, "pypdf", None)
    with pytest.raises(MissingPackageError) as caught:
        next(document_lines(tmp_path))
    told = str(caught.value)
    assert told.startswith(f"{tmp_path / 'b.pdf'}: this needs pypdf")
    assert "'prism-cli[pdf]'" in told
    assert "`pip install pypdf`" in told
