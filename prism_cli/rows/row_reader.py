"""Interface of the readers of foreign rows."""

from collections.abc import Mapping
from typing import Protocol

from prism_cli.rows.row import Dropped, Row


class RowReader(Protocol):
    """Reads rows of one foreign shape, or of several that it distinguishes."""

    @property
    def plain_lines(self) -> bool:
        """True if the input's lines are not JSON rows, whatever the file's name."""

    def decode(self, raw: bytes, fields: Mapping[str, str]) -> Row:
        """Return one line of the input as an object; `fields` as for `decode_row`."""

    def read(self, row: Row) -> Row | list[Row] | Dropped:
        """Return the pair row that the row is, or the pair rows that it contains; `Dropped` for
        a header, which only a file's first line may be.

        Raises:
            RowError: names the foreign field.
        """
