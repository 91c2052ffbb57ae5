"""Reader of .json files that hold an array of objects."""

import codecs
import json
from collections.abc import Iterator
from typing import BinaryIO

from prism_cli.errors import MissingDataError
from prism_cli.files.lines import max_line_bytes, not_utf8, too_long

_CHUNK_BYTES = 1 << 20
_BLANK = " \t\r\n"


def holds_array(file: BinaryIO) -> bool:
    """Return whether the first character that is not blank opens an array; reads up to it."""
    while chunk := file.read(_CHUNK_BYTES):
        text = chunk.removeprefix(codecs.BOM_UTF8).strip()
        if text:
            return text.startswith(b"[") and b"\0" not in text[:4]  # else UTF-16
    return False


def array_lines(file: BinaryIO, name: str) -> Iterator[tuple[int, bytes]]:
    """Yield (number, element on one line) for each element; holds one at a time.

    Raises:
        MissingDataError: the file is not UTF-8 or not JSON, or an element is above the limit of a
            line.
    """
    text = _Text(file, name)
    number = 0
    text.expect("[", number)
    if text.peek() == "]":
        text.expect("]", number)
    else:
        mark = ","
        while mark == ",":
            number += 1
            yield number, text.element(number).encode() + b"\n"
            mark = text.expect(",]", number)
    if text.peek():
        raise MissingDataError(f"{name}: there is text after the array; expected one array")


class _Text:
    """Text of a file from the current position on."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file, self._name = file, name
        self._decode = codecs.getincrementaldecoder("utf-8-sig")()
        self._scan = json.JSONDecoder(
            parse_float=str, parse_int=str, object_pairs_hook=len
        ).raw_decode  # for its end alone; the values are dropped
        self._buffer, self._at, self._ended = "", 0, False

    def peek(self) -> str:
        """Return the next character that is not blank; "" at the end."""
        while True:
            rest = self._buffer[self._at : self._at + 1]
            if rest and rest not in _BLANK:
                return rest
            if rest:
                self._at += 1
            elif not self._more():
                return ""

    def expect(self, marks: str, number: int) -> str:
        """Read and return the next character, which must be one of `marks`."""
        mark = self.peek()
        if not mark or mark not in marks:
            expected = f"expected {' or '.join(marks)}, found {mark!r}"
            problem = expected if mark else "the file ends in the array"
            raise MissingDataError(f"{self._name}: behind element {number}: {problem}")
        self._at += 1
        return mark

    def element(self, number: int) -> str:
        """Return the text of the next element, with line ends replaced by blanks."""
        self.peek()
        while True:
            try:
                _, end = self._scan(self._buffer, self._at)
                problem = "the file ends in it"
            except (json.JSONDecodeError, RecursionError) as error:
                end, problem = len(self._buffer), str(error)
            if end < len(self._buffer):
                break
            if len(self._buffer) - self._at > max_line_bytes():
                problem = f"{too_long('value')}, or not JSON ({problem})"
            elif self._more():
                continue
            raise MissingDataError(
                f"{self._name}: element {number} of the array: {problem}; nothing was published"
            )
        text = self._buffer[self._at : end]
        self._at = end
        return text.replace("\n", " ").replace("\r", " ")

    def _more(self) -> bool:
        """Double the buffer, so that a long element is not parsed too often."""
        self._buffer = self._buffer[self._at :]
        self._at = 0
        raw = self._file.read(max(_CHUNK_BYTES, len(self._buffer)))
        if self._ended:
            return False
        self._ended = not raw
        try:
            self._buffer += self._decode.decode(raw, final=self._ended)
        except UnicodeDecodeError as error:
            raise MissingDataError(f"{self._name}: {not_utf8(error.object, error)}") from None
        return not self._ended
