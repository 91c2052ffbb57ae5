"""Reader of Parquet files; holds one batch of rows at a time."""

import datetime
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prism_cli.errors import MissingDataError, MissingPackageError
from prism_cli.rows.ids import is_id_name
from prism_cli.rows.records import record_line
from prism_cli.shards.formats.absent_fields import absent_fields

_BATCH_BYTES = 16 << 20
_BATCH_ROWS = 1024


def parquet_lines(path: Path, name: str) -> Iterator[tuple[int, bytes]]:
    """Yield (number of the row, JSON object) for each row.

    Nested columns become objects and arrays, dates ISO strings, decimals and durations strings,
    bytes the UTF-8 text that they hold, NaN null; a row with an infinite number is rejected. A
    column of ids that are floats, as pandas makes them of integers with gaps, becomes integers if
    all of them are whole numbers. A null that stands for no field, by the metadata of a file that
    prism wrote, is omitted.

    Raises:
        MissingPackageError: pyarrow is not installed.
        MissingDataError: the file is damaged or not Parquet, or has a column twice.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise MissingPackageError("pyarrow", "local") from None
    number = 0
    try:
        with parquet.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20) as file:
            columns = file.schema_arrow.names
            for column, count in Counter(columns).items():
                if count > 1:
                    raise MissingDataError(f"{name}: holds the column {column!r} twice")
            ids = _whole_ids(file)
            absent = absent_fields(file.schema_arrow.metadata)
            for batch in file.iter_batches(batch_size=_batch_rows(file), use_threads=False):
                for row in batch.to_pylist(maps_as_pydicts="strict"):
                    number += 1
                    for column in ids:
                        if (value := row[column]) is not None and value == value:
                            row[column] = int(value)
                    if absent:
                        absent.remove_from(row)
                    yield number, record_line(row, _plain)
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError, KeyError) as error:
        raise MissingDataError(
            f"{name}: cannot be read as Parquet behind row {number}: {error}; nothing was published"
        ) from error


def _batch_rows(file: Any) -> int:
    """Return the number of rows that take about _BATCH_BYTES."""
    meta = file.metadata
    size = sum(meta.row_group(place).total_byte_size for place in range(meta.num_row_groups))
    return int(max(1, min(_BATCH_ROWS, _BATCH_BYTES * meta.num_rows // max(size, 1))))


def _whole_ids(file: Any) -> list[str]:
    """Return the columns of float ids that are whole and within the exact range of their type."""
    import pyarrow
    from pyarrow import compute

    limits = {pyarrow.float64(): 2.0**53, pyarrow.float32(): 2.0**24}
    columns = {
        field.name: limits[field.type]
        for field in file.schema_arrow
        if field.type in limits and is_id_name(field.name)
    }
    for batch in file.iter_batches(columns=list(columns), use_threads=False) if columns else ():
        for name in list(columns):
            values = batch.column(name).drop_null()
            values = values.filter(compute.invert(compute.is_nan(values)))
            is_whole = compute.and_(
                compute.equal(values, compute.trunc(values)),
                compute.less(compute.abs(values), columns[name]),
            )
            if not compute.all(is_whole, min_count=0).as_py():
                del columns[name]
    return list(columns)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    return value.isoformat() if isinstance(value, datetime.datetime) else str(value)
