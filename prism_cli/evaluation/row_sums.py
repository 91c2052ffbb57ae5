"""Sums of measures by query, from the rows.jsonl of a finished evaluation of rows."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from prism_cli.domain.query_sums import QuerySums
from prism_cli.errors import MissingDataError
from prism_cli.evaluation.answers.figures import answer_key, answer_measures
from prism_cli.evaluation.quality.row_measures import row_measurements
from prism_cli.evaluation.rows_evaluation import ROWS
from prism_cli.files.text import text_lines

_Row = Mapping[str, Any]
_KINDS: dict[
    str, tuple[Callable[[_Row], str], Callable[[_Row], Iterator[tuple[str, float, float]]]]
] = {
    "quality": (lambda row: row["query_id"], lambda row: row_measurements(row["quality"])),
    "answers": (answer_key, answer_measures),
}
"""Key of a row's query, and measures of the row."""


def read_row_sums(folder: Path, kind: str) -> QuerySums:
    """Return the sums of each measure; none of a kind that keeps no measures of its rows.

    Raises:
        MissingDataError: a line is malformed.
    """
    path = folder / ROWS
    sums = QuerySums()
    if kind not in _KINDS or not path.exists():
        return sums
    key, measures = _KINDS[kind]
    for number, line in enumerate(text_lines(path), 1):
        try:
            row = orjson.loads(line)
            index = sums.index(key(row))
            for measure, total, count in measures(row):
                sums.add(index, measure, total, count)
        except (orjson.JSONDecodeError, TypeError, KeyError, AttributeError):
            raise MissingDataError(
                f"{path}:{number}: expected a row of this evaluation; the file is damaged: run the "
                "evaluation again with --overwrite"
            ) from None
    return sums
