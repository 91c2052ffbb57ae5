"""Values that were paid for already, read from the rows of --reuse: votes, scores and texts that
are not requested again. The backends that are asked are in `paid_wiring`."""

import sys
from typing import TYPE_CHECKING

from prism_cli.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from prism_cli.commands.options import Paid
    from prism_cli.rows.row import Row
    from prism_cli.shards.paid_rows import PaidRows


def paid_rows(common: "Paid") -> "PaidRows | None":
    """Return the paid values of --reuse rows, of prism's own shape and of those that fields tell
    apart; None without it. Rows that hold no pair are skipped and reported.

    Raises:
        MissingDataError: no such file.
    """
    if not common.reuse:
        return None
    from prism_cli.shards.paid_rows import PaidRows

    useless: list[str] = []
    paid = PaidRows(_pairs_of(common, useless))
    if useless and not common.quiet:
        print(
            f"prism: --reuse: {counted(len(useless), 'row')} passed over, as no pair can be "
            f"read from them; the first is {useless[0]}",
            file=sys.stderr,
        )
    return paid


def paid_files(common: "Paid") -> "list[Path]":
    """Return the files of --reuse, those of directories and patterns included."""
    from prism_cli.shards.reader import find_shards, local_paths

    return local_paths(find_shards(common.reuse))


def _pairs_of(common: "Paid", useless: list[str]) -> "Iterator[tuple[str, Row]]":
    """(file, pair row) of all --reuse files; `useless` takes what is wrong with the others."""
    from prism_cli.adapters.shapes.base import ShapeSettings
    from prism_cli.adapters.shapes.table import RecognisingReader
    from prism_cli.errors import RowError
    from prism_cli.rows.row import Dropped, check_pair
    from prism_cli.shards.reader import read_rows

    reader = RecognisingReader(ShapeSettings())
    read = read_rows(
        common.reuse,
        fields=common.field_names,
        on_reject=lambda bad: useless.append(f"{bad.ref}: {bad.field or 'line'}: {bad.reason}"),
    )
    for place, row in read:
        try:
            rows = reader.read(row)
            pairs = rows if isinstance(rows, list) else [rows]
            kept = [pair for pair in pairs if not isinstance(pair, Dropped)]
            for pair in kept:
                check_pair(pair)
        except RowError as error:
            useless.append(f"{place}: {error}")
        else:
            yield from ((place.file, pair) for pair in kept)
