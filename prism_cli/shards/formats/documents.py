"""Folders of Markdown, plain text and PDF as JSON lines: a document each, without a query."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import orjson

from prism_cli.errors import MissingPackageError, RowError, SkippedRowError
from prism_cli.files.lines import max_line_bytes, too_long
from prism_cli.files.names import has_utf8_name, shown_name
from prism_cli.rows.decode import Unreadable, not_utf8
from prism_cli.rows.row import RowRef
from prism_cli.rows.texts import is_blank

SUFFIXES = (".md", ".markdown", ".txt", ".pdf")
EMPTY = "empty document"
"""Why a document without text is left out."""
NO_UTF8 = "its name is not UTF-8, as ids, rows and manifests are; rename the file"
"""Why a file is not read."""
_HEADING = re.compile(
    r"^ {0,3}#{1,6}[ \t]+(\S.*?)[ \t]*#*[ \t]*$|^(\S.*)\n(?:=+|-{3,})[ \t\r]*$", re.M
)
_FRONT_MATTER = re.compile(r"\A---[ \t]*\r?\n.*?^---[ \t]*$", re.M | re.S)


def is_document(path: Path) -> bool:
    """Whether the name is that of a document."""
    return path.name.lower().endswith(SUFFIXES) and not path.name.startswith(".")


def documents_in(folder: Path) -> list[Path]:
    """The documents below `folder`, by path; folders and files whose names begin with a dot are
    left out."""
    return sorted(
        path
        for path in folder.rglob("*")
        if is_document(path)
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def document_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """(number of the file, {doc_id, title, document}) for each document of a folder, or for one.

    doc_id is the path within the folder, or the file's name. The title is the first heading of a
    Markdown file, which its document is then without, the title that a PDF names, else the file's
    name without its suffix.

    Raises:
        MissingPackageError: there is a PDF, and pypdf is not installed; before the first document.
    """
    folder = path if path.is_dir() else path.parent
    files = documents_in(path) if path.is_dir() else [path]
    _refuse_pdfs_without_pypdf(files)
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
    """Raise MissingPackageError where `path` is or holds a PDF, and pypdf is not installed."""
    _refuse_pdfs_without_pypdf(documents_in(path) if path.is_dir() else [path])


def _refuse_pdfs_without_pypdf(files: Sequence[Path]) -> None:
    pdf = next((file for file in files if file.suffix.lower() == ".pdf"), None)
    if pdf is None:
        return
    try:
        import pypdf  # noqa: F401
    except ImportError:
        way = " (or `pip install pypdf`), or give the PDFs as text files. Nothing was done"
        raise MissingPackageError("pypdf", "pdf", where=str(pdf), otherwise=way) from None


def _read(file: Path) -> tuple[str, str]:
    """Title, "" where the file names none, and text.

    Raises:
        SkippedRowError: it is empty.
        RowError: it has no text that can be read.
    """
    kind = file.suffix.lower()
    title, text = _read_pdf(file) if kind == ".pdf" else ("", _read_text(file))
    if is_blank(text):
        if kind == ".pdf":
            raise RowError("", "holds no text (a scan?)")
        raise SkippedRowError("", EMPTY)
    if kind in (".md", ".markdown"):
        body = _FRONT_MATTER.sub("", text, count=1)
        heading = _HEADING.search(body)
        if heading:
            title = (heading[1] or heading[2]).strip()
            text = _without(text, heading, len(text) - len(body)) or text
    return title, text


def _without(text: str, heading: re.Match[str], offset: int) -> str:
    """The text without its heading; "" where nothing else is in it."""
    start, end = (offset + place for place in heading.span())
    left = text[:start] + text[end:].lstrip("\r\n")
    return left if left.strip() else ""


def _read_text(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            raw = opened.read(max_line_bytes() + 1)
        if len(raw) > max_line_bytes():
            raise RowError("", too_long("document"))
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RowError("", not_utf8(raw, error)) from None
    except OSError as error:
        raise RowError("", f"cannot be read: {error.strerror}") from None


def _read_pdf(file: Path) -> tuple[str, str]:
    import pypdf
    from pypdf.errors import DependencyError, PyPdfError

    try:
        reader = pypdf.PdfReader(file)
        if reader.is_encrypted and not reader.decrypt(""):
            raise RowError("", "an encrypted PDF; give a copy without a password")
        pages = [page.extract_text() for page in reader.pages]
        title = reader.metadata.title if reader.metadata else None
    except DependencyError as error:
        raise RowError("", f"an encrypted PDF: {error}") from None
    except (
        PyPdfError, OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError,
        RecursionError, NotImplementedError,
    ) as error:  # fmt: skip  # a damaged file fails anywhere in the parser
        raise RowError("", f"cannot be read as PDF: {error or type(error).__name__}") from None
    return (title or "").strip(), _without_lone_surrogates("\n\n".join(pages))


def _without_lone_surrogates(text: str) -> str:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
