"""Standard output and error of a command. Any character can be written; if standard error is no
terminal, each of its lines has a date and the command, between a first and a last line.
"""

import codecs
import io
import os
import platform
import re
import shlex
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import datetime
from typing import Any, NoReturn, TextIO

from prism_cli.errors import stdout_refused
from prism_cli.reporting.sanitize import escape_invisible, escape_line
from prism_cli.wording import counted

_PLAIN = {
    "…": "...", "–": "-", "—": "-", "−": "-", "‘": "'", "’": "'", "“": '"', "”": '"', "→": "->",
    "×": "x", "≤": "<=", "≥": ">=", "•": "*", "·": "*", "✓": "ok",
    "█": "#", "░": ".", "⟦": "[[", "⟧": "]]",
}  # fmt: skip
_SECRET_NAME = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD)$")
_SECRET_WORD = re.compile(r"(?i)((?:key|token|secret|password)=)[^\s&]+|(://)[^\s/@]+(?=@)")
_SHORTEST_SECRET = 6

_amounts: Counter[str] = Counter()
_ends_at_once = False


def end_at_once() -> None:
    """Let `leave` end the process without the exit handlers of libraries, which would hang."""
    global _ends_at_once
    _ends_at_once = True


def leave(code: int) -> NoReturn:
    """Exit with `code`; standard output and error have been flushed."""
    if _ends_at_once:
        os._exit(code)
    sys.exit(code)


def count(**amounts: float) -> None:
    """Add to the amounts of the last line: rows, written, dropped, rejected, pending, steps; asked,
    lost_calls, usd."""
    for name, amount in amounts.items():
        _amounts[name] += amount  # type: ignore[assignment]


def accept_all_characters() -> None:
    """Replace characters that a stream's encoding lacks by plain ones or escapes."""
    codecs.register_error("prism", _replace_unencodable)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="prism")


def write_bytes(content: bytes, stream: TextIO | None = None) -> None:
    """Write bytes unchanged to `stream`, by default standard output: output for programs is UTF-8,
    whatever the terminal's encoding, and has no date."""
    stream = stream or sys.stdout
    with naming_stdout() if stream is sys.stdout else nullcontext():
        stream.flush()
        stream.buffer.write(content)
        stream.buffer.flush()


@contextmanager
def naming_stdout() -> Iterator[None]:
    """Raise StorageError where standard output cannot be written, except for a closed pipe."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise stdout_refused(error) from error


def print_json(content: dict[str, Any], *, to_stderr: bool = False) -> None:
    """Print a JSON object on one line of standard output or standard error, without a date."""
    import orjson

    line = orjson.dumps(content, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_APPEND_NEWLINE)
    write_bytes(line, sys.stderr if to_stderr else sys.stdout)


class Log:
    """Dated lines of one command on a standard error that is no terminal.

    Args:
        name: the command, as in "prism NAME".
        words: its command line.
        quiet: omit the first and the last line.
    """

    def __init__(self, name: str, words: Sequence[str], *, quiet: bool) -> None:
        self._name = name
        self._words = words
        self._quiet = quiet
        self._began = time.monotonic()
        self._before = sys.stderr

    def begin(self) -> None:
        """Replace standard error, and write the first line."""
        _amounts.clear()
        sys.stderr = _DatedLines(self._before, f"prism {self._name}")
        if not self._quiet:
            from prism_cli.version import __version__

            line = escape_line(shlex.join(["prism", *map(_without_secrets, self._words)]))
            print(
                f"started: {line} (version {__version__}, host {platform.node()}, "
                f"process {os.getpid()})",
                file=sys.stderr,
            )

    def end(self, code: int) -> None:
        """Write the last line, and restore standard error."""
        try:
            sys.stderr.write("\n")  # ends the last line of the command
            if not self._quiet:
                seconds = time.monotonic() - self._began
                parts = [f"ended with exit code {code} after {seconds:.1f} s", *_amount_texts()]
                print(", ".join(parts), file=sys.stderr)
            sys.stderr.flush()
        finally:
            sys.stderr = self._before


class _DatedLines(io.TextIOBase):
    """Writes whole lines to `stream` with the date and `name` before each; drops blank lines.

    A full disk behind `stream` does not stop the command: `app` exits with 3 at the end.
    """

    def __init__(self, stream: TextIO, name: str) -> None:
        self._stream = stream
        self._name = name
        self._line = ""
        self._lock = threading.RLock()
        prefixes = (f"{name}: ", f"{name.partition(' ')[2]}: ", "prism: ")
        self._prefix = re.compile("|".join(map(re.escape, prefixes)))

    def write(self, text: str) -> int:
        with self._lock:
            *lines, self._line = (self._line + text).split("\n")
            for line in lines:
                self._put(line)
        return len(text)

    def flush(self) -> None:
        with self._lock, _going_on():
            self._stream.flush()

    def close(self) -> None:
        """Do nothing: the caller owns the stream."""

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        return self._stream.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        return self._stream.errors

    @property
    def buffer(self) -> io.BufferedIOBase:
        return self._stream.buffer  # type: ignore[return-value]

    @property
    def name(self) -> str:
        return "<stderr>"

    def _put(self, line: str) -> None:
        # Progress bars of libraries overwrite their line.
        line = line.rstrip("\r").rpartition("\r")[2]
        if line.strip():
            now = datetime.now().astimezone().isoformat(timespec="seconds")
            prefix = self._prefix.match(line)
            line = escape_invisible(line[prefix.end() :] if prefix else line)
            with _going_on():
                self._stream.write(f"{now} {self._name}: {line}\n")


@contextmanager
def _going_on() -> Iterator[None]:
    """Ignore a failed write, except to a closed pipe."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError:
        pass


def _amount_texts() -> list[str]:
    """Return the counted amounts with their nouns."""
    texts = []
    for name, words in (
        ("rows", ("row in", "rows in")), ("written", ("row out", "rows out")),
        ("dropped", ("dropped", "dropped")), ("rejected", ("rejected", "rejected")),
        ("pending", ("pending", "pending")), ("steps", ("step", "steps")),
        ("asked", ("reply asked", "replies asked")),
    ):  # fmt: skip
        if name in _amounts and (_amounts[name] or name in ("rows", "written")):
            texts.append(counted(_amounts[name], *words))
    if _amounts["usd"] or _amounts["lost_calls"]:
        texts.append(f"{_amounts['usd']:.4f} USD")
        texts.append(counted(_amounts["lost_calls"], "lost call"))
    return texts


def _replace_unencodable(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    escaped = (
        _PLAIN.get(char) or char.encode("ascii", "backslashreplace").decode() for char in text
    )
    return "".join(escaped), error.end


def _without_secrets(word: str) -> str:
    for name, value in os.environ.items():
        if _SECRET_NAME.search(name) and len(value) >= _SHORTEST_SECRET:
            word = word.replace(value, "***")
    return _SECRET_WORD.sub(lambda match: f"{match[1] or match[2]}***", word)
