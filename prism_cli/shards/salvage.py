"""Records of a damaged SQLite file, read page by page and without SQLite.

The file format is that of https://www.sqlite.org/fileformat2.html. Leaf pages hold whole
rows, and so do interior pages of tables WITHOUT ROWID: each intact page yields its rows, whatever
the state of the others. Pages of the write-ahead log replace those of the file. Free pages are read
too, so that an earlier state of a row may be returned beside its last.
"""

import struct
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

Value = None | int | float | str | bytes

_MAGIC = b"SQLite format 3\0"
_PAGE_SIZES = {2**n for n in range(9, 17)}
_DEFAULT_PAGE_SIZE = 4096
_FILE_HEADER, _WAL_HEADER, _FRAME_HEADER = 100, 32, 24
_INTERIOR_INDEX, _LEAF_INDEX, _LEAF_TABLE = 2, 10, 13
_MAX_PAYLOAD = 64 << 20
_INTEGER_BYTES = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}


class Salvage:
    """Reader of the records of one file and of its write-ahead log.

    Attributes:
        lost: number of rows that are listed on a page and cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lost = 0
        self._in_log: dict[int, int] = {}

    def records(self) -> Iterator[list[Value]]:
        """Yield the columns of each row of any table."""
        with ExitStack() as stack:
            self._file = stack.enter_context(self.path.open("rb"))
            self._size = self.path.stat().st_size
            header = self._file.read(_FILE_HEADER)
            size = int.from_bytes(header[16:18], "big") if header.startswith(_MAGIC) else 0
            size = 2**16 if size == 1 else size
            self._page_size = size if size in _PAGE_SIZES else _DEFAULT_PAGE_SIZE
            log = self.path.with_name(self.path.name + "-wal")
            self._log: BinaryIO | None = None
            if log.is_file():
                self._log = stack.enter_context(log.open("rb"))
                self._find_frames(log.stat().st_size)
            last = max([self._size // self._page_size, *self._in_log])
            for number in range(1, last + 1):
                yield from self._rows(number)

    def _find_frames(self, size: int) -> None:
        assert self._log is not None
        step = _FRAME_HEADER + self._page_size
        for place in range(_WAL_HEADER, size - step + 1, step):
            self._log.seek(place)
            number = int.from_bytes(self._log.read(4), "big")
            if 0 < number < 2**31:
                self._in_log[number] = place + _FRAME_HEADER

    def _page(self, number: int) -> bytes:
        if number in self._in_log:
            assert self._log is not None
            self._log.seek(self._in_log[number])
            return self._log.read(self._page_size)
        self._file.seek((number - 1) * self._page_size)
        return self._file.read(self._page_size)

    def _rows(self, number: int) -> Iterator[list[Value]]:
        page = self._page(number)
        start = _FILE_HEADER if number == 1 else 0
        if len(page) < self._page_size or page[start] not in (
            _INTERIOR_INDEX, _LEAF_INDEX, _LEAF_TABLE,
        ):  # fmt: skip
            return
        kind = page[start]
        count = int.from_bytes(page[start + 3 : start + 5], "big")
        first = start + (12 if kind == _INTERIOR_INDEX else 8)
        for index in range(min(count, self._page_size // 4)):
            place = int.from_bytes(page[first + 2 * index : first + 2 * index + 2], "big")
            try:
                yield _columns(self._payload(page, place, kind))
            except (IndexError, ValueError, struct.error):
                self.lost += 1

    def _payload(self, page: bytes, place: int, kind: int) -> bytes:
        """Return the content of a cell, overflow pages included."""
        place += 4 if kind == _INTERIOR_INDEX else 0
        size, place = _varint(page, place)
        if kind == _LEAF_TABLE:
            _, place = _varint(page, place)
        if not 0 < size <= _MAX_PAYLOAD:
            raise ValueError
        usable = self._page_size
        most = usable - 35 if kind == _LEAF_TABLE else (usable - 12) * 64 // 255 - 23
        if size <= most:
            return _of_size(page[place : place + size], size)
        least = (usable - 12) * 32 // 255 - 23
        here = least + (size - least) % (usable - 4)
        here = here if here <= most else least
        parts = [_of_size(page[place : place + here], here)]
        number = int.from_bytes(page[place + here : place + here + 4], "big")
        left = size - here
        while left > 0:
            further = _of_size(self._page(number) if number else b"", usable)
            number = int.from_bytes(further[:4], "big")
            parts.append(further[4 : 4 + left])
            left -= usable - 4
        return b"".join(parts)


def _of_size(content: bytes, size: int) -> bytes:
    if len(content) != size:
        raise ValueError
    return content


def _varint(content: bytes, place: int) -> tuple[int, int]:
    """Return a variable-length integer and the offset behind it."""
    number = 0
    for _ in range(8):
        byte = content[place]
        place += 1
        number = number << 7 | byte & 0x7F
        if byte < 0x80:
            return number, place
    return number << 8 | content[place], place + 1


def _columns(record: bytes) -> list[Value]:
    end, place = _varint(record, 0)
    kinds: list[int] = []
    while place < end:
        kind, place = _varint(record, place)
        kinds.append(kind)
    values: list[Value] = []
    place = end
    for kind in kinds:
        size = _INTEGER_BYTES.get(kind, 8 if kind == 7 else max(0, kind - 12) // 2)
        content = _of_size(record[place : place + size], size)
        place += size
        values.append(_value(kind, content))
    if place != len(record):
        raise ValueError
    return values


def _value(kind: int, content: bytes) -> Value:
    if kind == 0:
        return None
    if kind in _INTEGER_BYTES:
        return int.from_bytes(content, "big", signed=True)
    if kind == 7:
        return float(struct.unpack(">d", content)[0])
    if kind in (8, 9):
        return kind - 8
    if kind < 12:
        raise ValueError
    return content.decode() if kind % 2 else content
