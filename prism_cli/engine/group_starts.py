"""Borders of groups of rows, such as those of a query, which a window never cuts."""

from collections.abc import Callable, Mapping

from prism_cli.engine.stage import MAX_GROUP_ROWS, RowStage
from prism_cli.errors import RowError


def group_starts(stage: RowStage, fields: Mapping[str, str]) -> Callable[[bytes], bool]:
    """Return a function that says whether a line begins a group, given each line in order.

    Args:
        fields: as for `decode_row`.
    """
    current, rows = b"", 0

    def starts(raw: bytes) -> bool:
        nonlocal current, rows
        try:
            row = stage.decode(raw, fields)
            stage.check(row)
        except RowError:
            return False
        key = stage.group_of(row)
        first = key != current or not key or rows == MAX_GROUP_ROWS
        current, rows = key, 1 if first else rows + 1
        return first

    return starts
