"""Sums of measures by query, from the rows.jsonl of a finished evaluation of rows."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from prism_cli.errors import MissingDataError
from prism_cli.evaluation.answers.figures import answer_measures
from prism_cli.evaluation.quality.row_measures import row_measurements
from prism_cli.evaluation.rows_evaluation import ROWS
from prism_cli.files.text import text_lines
from prism_cli.reporting.arms import RowSums

_MEASURES: dict[str, Callable[[Mapping[str, Any]], Iterator[tuple[str, float, float]]]] = {
    "quality": lambda row: row_measurements(row["quality"]),
    "answers": answer_measures,
}


def read_row_sums(folder: Path, kind: str) -> RowSums:
    """Return the sums of each measure; {} of a kind that keeps no measures of its rows.

    Raises:
        MissingDataError: a line is malformed.
    """
    path = folder / ROWS
    sums: dict[str, dict[str, tuple[float, float]]] = {}
    if kind not in _MEASURES or not path.exists():
        return sums
    for number, line in enumerate(text_lines(path), 1):
        try:
            row = orjson.loads(line)
            for measure, total, count in _MEASURES[kind](row):
                queries = sums.setdefault(measure, {})
                before = queries.get(row["query_id"], (0.0, 0.0))
                queries[row["query_id"]] = (before[0] + total, before[1] + count)
        except (orjson.JSONDecodeError, TypeError, KeyError, AttributeError):
            raise MissingDataError(
                f"{path}:{number}: expected a row of this evaluation; the file is damaged: run the "
                "evaluation again with --overwrite"
            ) from None
    return sums
