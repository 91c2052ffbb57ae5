"""Reader of folders of Markdown, plain text and PDF: one row per document, without a query."""

import re
from collections.abc import Iterator
from pathlib import Path

import orjson

from prism_cli.errors import RowError, SkippedRowError
from prism_cli.files.lines import foreign, holds_nul, max_line_bytes, not_utf8, too_long
from prism_cli.files.names import has_utf8_name, shown_name
from prism_cli.rows.decode import Unreadable
from prism_cli.rows.row import RowRef
from prism_cli.rows.texts import is_blank
from prism_cli.shards.formats.pdf import read_pdf, refuse_pdfs_without_pypdf

SUFFIXES = (".md", ".markdown", ".txt", ".pdf")
EMPTY = "empty document"
"""Reason for skipping a document without text."""
NO_UTF8 = "its name is not UTF-8, as ids, rows and manifests are; rename the file"
"""Reason for rejecting a file."""
_HEADING = re.compile(r"^ {0,3}#{1,6}[ \t]+(\S.*)$|^(\S.*)\n(?:=+|-{3,})[ \t\r]*$", re.M)
_CODE = re.compile(
    r"^ {0,3}((?:[-*+]|\d{1,9}[.)])[ \t]+)*(`{3,}+(?!.*`)|~{3,}+)(?s:.*?)"
    r"(?:^(?(1)[ \t]*+| {0,3})\2[`~]*[ \t\r]*$|(?(1)(?=\n\S)|(?!))|\Z)",
    re.M,
)
"""A fenced block of code, with an end or without; one in a list ends with its item."""
_FRONT_MATTER = re.compile(r"\A---[ \t]*\r?\n.*?^---[ \t]*$", re.M | re.S)


def is_document(path: Path) -> bool:
    """Return whether the name is that of a document."""
    return path.name.lower().endswith(SUFFIXES) and not path.name.startswith(".")


def documents_in(folder: Path) -> list[Path]:
    """Return the documents below `folder` in the order of their paths, without hidden ones."""
    return sorted(path for path in visible_files(folder) if is_document(path))


def visible_files(folder: Path) -> set[Path]:
    """Return the files below `folder`, without hidden files and folders."""
    return {
        path
        for path in folder.rglob("*")
        if path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    }


def document_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield (number of the file, {doc_id, title, document}) for a document or each one of a folder.

    doc_id is the path within the folder, or the file's name. The title is the first heading of a
    Markdown file, which is removed from the document, the title of a PDF, else the file's name
    without its suffix.

    Raises:
        MissingPackageError: there is a PDF, and pypdf is not installed; before the first document.
    """
    folder = path if path.is_dir() else path.parent
    files = documents_in(path) if path.is_dir() else [path]
    refuse_pdfs_without_pypdf(files)
    for number, file in enumerate(files, 1):
        doc_id = shown_name(file.relative_to(folder))
        try:
            if not has_utf8_name(file):
                raise RowError("", NO_UTF8)
            title, text = _read(file)
        except RowError as error:
            skipped = isinstance(error, SkippedRowError)
            ref = RowRef(shown_name(file), 0)
            yield number, Unreadable(doc_id.encode(), "", error.reason, ref=ref, skipped=skipped)
            continue
        row = {"doc_id": doc_id, "title": title or file.stem, "document": text}
        yield number, orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)


def check_documents(path: Path) -> None:
    """Raise MissingPackageError if `path` is or holds a PDF and pypdf is not installed."""
    refuse_pdfs_without_pypdf(documents_in(path) if path.is_dir() else [path])


def _read(file: Path) -> tuple[str, str]:
    """Return the title, "" if there is none, and the text.

    Raises:
        SkippedRowError: the document is empty.
        RowError: no text can be read.
    """
    kind = file.suffix.lower()
    title, text = read_pdf(file) if kind == ".pdf" else ("", _read_text(file))
    if is_blank(text):
        if kind == ".pdf":
            raise RowError("", "holds no text (a scan?); `ocrmypdf IN OUT` adds it")
        raise SkippedRowError("", EMPTY)
    if kind in (".md", ".markdown"):
        body = _FRONT_MATTER.sub("", text, count=1)
        heading = _HEADING.search(_CODE.sub(lambda code: " " * len(code[0]), body))
        if heading:
            title = (heading[2] or _without_end(heading[1])).strip()
            text = _without(text, heading, len(text) - len(body)) or text
    return title, text


def _without_end(heading: str) -> str:
    """Return a heading without the #s at its end, if blanks separate them."""
    words = heading.rstrip()
    text = words.rstrip("#")
    return text if not text or text[-1].isspace() else words


def _without(text: str, heading: re.Match[str], offset: int) -> str:
    """Return the text without its heading; "" if there is no other text."""
    start, end = (offset + position for position in heading.span())
    rest = text[:start] + text[end:].lstrip("\r\n")
    return rest if rest.strip() else ""


def _read_text(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            raw = opened.read(max_line_bytes() + 1)
        if len(raw) > max_line_bytes():
            raise RowError("", too_long("document"))
        if other_format := foreign(raw):
            raise RowError("", f"is {other_format}")
        text = raw.decode("utf-8-sig")
        if problem := holds_nul(raw):
            raise RowError("", problem)
        return text
    except UnicodeDecodeError as error:
        raise RowError("", not_utf8(raw, error)) from None
    except OSError as error:
        raise RowError("", f"cannot be read: {error.strerror}") from None
