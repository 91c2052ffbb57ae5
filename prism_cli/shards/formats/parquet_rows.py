"""Writer of rows as Parquet: rows are spooled as JSON lines while their types are unified, then
written as row groups, so that memory does not grow with the number of rows."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from prism_cli.errors import MissingPackageError, UsageError
from prism_cli.shards.formats.absent_fields import METADATA_KEY, AbsentFields

_GROUP_BYTES = 16 << 20
"""JSON bytes of one row group, which is held in memory."""
_GROUP_ROWS = 1 << 16
_EXACT = 2**53
"""Integers up to this size are exact as float64."""
_INT64 = range(-(2**63), 2**63)
_NO_FIELD = "_"
"""Field of an object that is empty in all rows: Parquet has no type for objects without fields."""
_KINDS = {bool: "boolean", int: "integer", float: "number", str: "string", list: "list",
    dict: "object"}  # fmt: skip


def check_parquet_writer() -> None:
    """Raise MissingPackageError if pyarrow is not installed."""
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise MissingPackageError("pyarrow", "local", where="a Parquet output") from None


class ParquetRows:
    """Stream that takes JSON lines, and writes them as Parquet when it is closed.

    A field is null in rows that lack it; the file's metadata says where null means that, so that
    prism reads the same rows. Integers and other numbers of one field become float64.

    Call `check_parquet_writer` before the work.

    Args:
        file: where the Parquet file is written.
        path: its final path, beside which the rows are spooled.
    """

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file, self._path = file, path
        self._spool = tempfile.TemporaryFile(dir=path.parent, prefix=f".{path.name[:100]}.")  # noqa: SIM115
        self._type = _Type()
        self._rows = 0

    def write(self, data: bytes) -> None:
        """Add rows: whole lines, each a JSON object.

        Raises:
            UsageError: a line is no JSON object, or a field has types that no column can have.
        """
        for line in data.splitlines():
            self._rows += 1
            try:
                row = orjson.loads(line)
            except orjson.JSONDecodeError:
                row = None
            if not isinstance(row, dict):
                raise UsageError(
                    f"{self._path}: a Parquet file holds rows, and this command writes other lines;"
                    " name a file with another suffix with -o. Nothing was published"
                )
            try:
                self._type.add(row, self._rows)
            except _Conflict as conflict:
                raise UsageError(
                    f"{self._path}: field {conflict.field}: {conflict}; a Parquet column has one "
                    "type. Nothing was published, and the replies so far are kept: the same command"
                    f" with -o {self._path.with_suffix('.jsonl').name} writes these rows as JSON "
                    "Lines"
                ) from None
        self._spool.write(data)

    def close(self) -> None:
        """Write the Parquet file; does nothing the second time, and after `discard`."""
        if self._spool.closed:
            return
        import pyarrow
        from pyarrow import parquet

        columns = self._type.arrow() if self._rows else ()
        absent = orjson.dumps(self._type.absent())
        schema = pyarrow.schema(list(columns), {METADATA_KEY: absent})
        self._spool.seek(0)
        with parquet.ParquetWriter(self._file, schema, compression="zstd") as writer:
            for rows in self._groups():
                writer.write_table(pyarrow.Table.from_pylist(rows, schema), len(rows))
        self._spool.close()

    def discard(self) -> None:
        """Forget the rows, without writing them."""
        self._spool.close()

    def _groups(self) -> Iterator[list[dict[str, Any]]]:
        group: list[dict[str, Any]] = []
        size = 0
        for line in self._spool:
            group.append(orjson.loads(line))
            size += len(line)
            if size >= _GROUP_BYTES or len(group) == _GROUP_ROWS:
                yield group
                group, size = [], 0
        if group:
            yield group


class _Conflict(Exception):
    """Two values of a field have no common type.

    Args:
        first: first value's kind and row.
    """

    def __init__(self, first: str, kind: str, row: int) -> None:
        self.field = ""
        super().__init__(f"{first}, and {kind} in row {row:,} of the output")

    def within(self, name: str) -> "_Conflict":
        """Return this conflict as one of a field inside `name`."""
        self.field = f"{name}.{self.field}".rstrip(".").replace(".[]", "[]")
        return self


@dataclass
class _Type:
    """Type of all values of a field so far.

    Attributes:
        kind: type of the values that are not null; None if there are none.
        first: row of the first one, from 1.
        count: number of values, null included.
        nulls: number of nulls.
        smallest, largest: of the integers.
        fields: of objects, by name.
        item: of lists.
    """

    kind: type | None = None
    first: int = 0
    count: int = 0
    nulls: int = 0
    smallest: int = 0
    largest: int = 0
    fields: dict[str, "_Type"] = field(default_factory=dict)
    item: "_Type | None" = None

    def add(self, value: Any, row: int) -> None:
        """Unify with the type of `value`.

        Raises:
            _Conflict: there is no common type.
        """
        self.count += 1
        kind = type(value)
        if value is None:
            self.nulls += 1
            return
        if kind is not self.kind:
            self._change(kind, row)
        if kind is dict:
            for name, inner in value.items():
                known = self.fields.get(name)
                if known is None:
                    known = self.fields[name] = _Type()
                try:
                    known.add(inner, row)
                except _Conflict as conflict:
                    raise conflict.within(name) from None
        elif kind is list:
            if self.item is None:
                self.item = _Type()
            for inner in value:
                try:
                    self.item.add(inner, row)
                except _Conflict as conflict:
                    raise conflict.within("[]") from None
        elif kind is int and not self.smallest <= value <= self.largest:
            self.smallest, self.largest = min(self.smallest, value), max(self.largest, value)
            self._check_range(value, row)
        elif kind is float and (self.smallest < -_EXACT or self.largest > _EXACT):
            self._check_range(value, row)

    def _change(self, kind: type, row: int) -> None:
        if self.kind is None:
            self.kind, self.first = kind, row
        elif {self.kind, kind} == {int, float}:
            self.kind = float
        else:
            raise _Conflict(self._described(), f"{_article(_KINDS[kind])}", row)

    def _check_range(self, value: float, row: int) -> None:
        exact = self.kind is not float or -_EXACT <= self.smallest <= self.largest <= _EXACT
        fits = self.smallest in _INT64 and (self.largest in _INT64 or self.smallest >= 0)
        if not (exact and fits):
            raise _Conflict(self._described(), f"{value} beside numbers that it cannot join", row)

    def _described(self) -> str:
        assert self.kind is not None
        return f"{_article(_KINDS[self.kind])} in row {self.first:,}"

    def arrow(self) -> Any:
        """Return the pyarrow type."""
        import pyarrow

        if self.kind is dict:
            fields = {name: inner.arrow() for name, inner in self.fields.items()}
            return pyarrow.struct(list((fields or {_NO_FIELD: pyarrow.null()}).items()))
        if self.kind is list:
            return pyarrow.list_((self.item or _Type()).arrow())
        if self.kind is int:
            return pyarrow.int64() if self.largest in _INT64 else pyarrow.uint64()
        types = {bool: pyarrow.bool_(), float: pyarrow.float64(), str: pyarrow.string()}
        return types[self.kind] if self.kind else pyarrow.null()

    def absent(self) -> AbsentFields:
        """Return where a null in the file means that the row lacks the field: fields that some
        objects lack, and that are null in none."""
        if self.kind is list:
            return self.item.absent() if self.item else AbsentFields()
        if self.kind is not dict:
            return AbsentFields()
        objects = self.count - self.nulls
        names = [
            name for name, inner in self.fields.items() if inner.count < objects and not inner.nulls
        ]
        inside = {name: inner.absent() for name, inner in self.fields.items()}
        return AbsentFields(
            names if self.fields else [_NO_FIELD],
            {name: inner for name, inner in inside.items() if inner},
        )


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
