"""PDF files as title and text, by pypdf; what it says of a damaged one is told with its name."""

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
"""In which a PDF says that it is one."""


def refuse_pdfs_without_pypdf(files: Sequence[Path]) -> None:
    """Raise MissingPackageError where one of `files` is a PDF, and pypdf is not installed."""
    pdf = next((file for file in files if file.suffix.lower() == ".pdf"), None)
    if pdf is None:
        return
    try:
        import pypdf  # noqa: F401
    except ImportError:
        way = " (or `pip install pypdf`), or give the PDFs as text files. Nothing was done"
        raise MissingPackageError("pypdf", "pdf", where=str(pdf), otherwise=way) from None


def read_pdf(file: Path) -> tuple[str, str]:
    """Title, "" where it names none, and text.

    Raises:
        RowError: it is encrypted, or cannot be read.
    """
    import pypdf
    from pypdf.errors import DependencyError, PyPdfError

    try:
        with _repairs_told(file):
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
    """Why no text was read: no PDF, or a damaged one."""
    try:
        with file.open("rb") as opened:
            start = opened.read(_HEAD_BYTES)
    except OSError as bad:
        return f"cannot be read: {bad.strerror}"
    if b"%PDF-" in start:
        return f"a damaged PDF: {str(error) or type(error).__name__}; give a whole copy of it"
    found = "an empty file" if not start else foreign(start).partition(";")[0] or "another format"
    return f"expected a PDF, as its name says, found {found}"


@contextmanager
def _repairs_told(file: Path) -> Iterator[None]:
    """Say once, on standard error, what pypdf had to repair in a file that it could read."""
    log, heard = logging.getLogger("pypdf"), list[logging.LogRecord]()
    handler, before = logging.Handler(), log.propagate
    handler.emit = heard.append  # type: ignore[method-assign, assignment]
    log.addHandler(handler)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.propagate = before
    if messages := dict.fromkeys(one.getMessage() for one in heard):
        first, *others = messages
        more = f" ({len(others)} more)" if others else ""
        _tell(
            f"prism: warning: {shown_name(file)}: a damaged PDF, read as far as it can be: "
            f"{first}{more}"
        )


@cache
def _tell(line: str) -> None:
    print(line, file=sys.stderr)


def _without_lone_surrogates(text: str) -> str:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
