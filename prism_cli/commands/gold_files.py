"""The option --gold of evaluations: marks by people."""

import sys
from typing import TYPE_CHECKING

from prism_cli.wording import counted

if TYPE_CHECKING:
    from prism_cli.evaluation.quality.gold_rows import GoldRows


def read_gold(files: list[str], *, quiet: bool) -> "GoldRows | None":
    """Return people's marks, and print their counts; None where none are given.

    Raises:
        MissingDataError: no such file, or none of its lines is gold.
        UsageError: standard input, which is for the rows.
    """
    from prism_cli.errors import MissingDataError, UsageError
    from prism_cli.evaluation.quality.gold_rows import GoldRows
    from prism_cli.shards.reader import STDIN

    if not files:
        return None
    if STDIN in files:
        raise UsageError("--gold -: name a file; standard input is for the rows")
    found = GoldRows(files)
    if not found.figures.rows:
        reason = f": {found.figures.unread}" if found.figures.unread else ""
        raise MissingDataError(f"--gold {', '.join(files)}: no row of marks by people{reason}")
    if not quiet:
        _print_gold(found)
    return found


def _print_gold(marks: "GoldRows") -> None:
    figures = marks.figures
    parts = [f"gold: {counted(figures.rows, 'row')}"]
    if figures.repeated:
        parts.append(f"{figures.repeated:,} of a pair that came before, put together with it")
    if figures.contradictory:
        parts.append(
            f"{figures.contradictory:,} left out that contradict each other in answerable, of "
            f"{figures.contradiction}"
        )
    if figures.unreadable:
        parts.append(
            f"{counted(figures.unreadable, 'line')} passed over, the first: {figures.unread}"
        )
    print("; ".join(parts), file=sys.stderr)
