"""Title and text of PDF files, by pypdf; its warnings are printed with the name of the file."""

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from prism_cli.errors import MissingPackageError, RowError
from prism_cli.files.lines import foreign
from prism_cli.files.names import shown_name

_HEAD_BYTES = 1024
"""Bytes at the start that contain the signature of a PDF."""


def refuse_pdfs_without_pypdf(files: Sequence[Path]) -> None:
    """Raise MissingPackageError if one of `files` is a PDF and pypdf is not installed."""
    pdf = next((file for file in files if file.suffix.lower() == ".pdf"), None)
    if pdf is None:
        return
    try:
        import pypdf  # noqa: F401
    except ImportError:
        way = " (or `pip install pypdf`), or give the PDFs as text files. Nothing was done"
        raise MissingPackageError("pypdf", "pdf", where=str(pdf), otherwise=way) from None


def read_pdf(file: Path) -> tuple[str, str]:
    """Return the title, "" if there is none, and the text.

    Raises:
        RowError: the file is encrypted, or cannot be read.
    """
    import pypdf
    from pypdf.errors import DependencyError, PyPdfError

    try:
        with _warns_of_repairs(file):
            reader = pypdf.PdfReader(file)
            if reader.is_encrypted and not reader.decrypt(""):
                raise RowError("", "an encrypted PDF; give a copy without a password")
            pages = [page.extract_text() for page in reader.pages]
            title = reader.metadata.title if reader.metadata else None
    except DependencyError as error:
        raise RowError("", f"an encrypted PDF: {error}; give a copy without encryption") from None
    except (
        PyPdfError, OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError,
        RecursionError, NotImplementedError,
    ) as error:  # fmt: skip  # a damaged file fails anywhere in the parser
        raise RowError("", _unread(file, error)) from None
    return (title or "").strip(), _without_lone_surrogates("\n\n".join(pages))


def _unread(file: Path, error: Exception) -> str:
    """Return why no text could be read: not a PDF, or a damaged one."""
    try:
        with file.open("rb") as opened:
            start = opened.read(_HEAD_BYTES)
    except OSError as bad:
        return f"cannot be read: {bad.strerror}"
    if b"%PDF-" in start:
        return f"a damaged PDF: {str(error) or type(error).__name__}; give a whole copy of it"
    content = foreign(start).partition(";")[0] or "another format" if start else "an empty file"
    return f"expected a PDF, as its name says, found {content}"


@contextmanager
def _warns_of_repairs(file: Path) -> Iterator[None]:
    """Print, once, what pypdf repaired in a file that it could read."""
    log, records = logging.getLogger("pypdf"), list[logging.LogRecord]()
    handler, before = logging.Handler(), log.propagate
    handler.emit = records.append  # type: ignore[method-assign, assignment]
    log.addHandler(handler)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.propagate = before
    if messages := dict.fromkeys(record.getMessage() for record in records):
        first, *others = messages
        more = f" ({len(others)} more)" if others else ""
        _warn(
            f"prism: warning: {shown_name(file)}: a damaged PDF, read as far as it can be: "
            f"{first}{more}"
        )


@cache
def _warn(line: str) -> None:
    print(line, file=sys.stderr)


def _without_lone_surrogates(text: str) -> str:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
