"""The main measure of each query, beside metrics.json, for comparisons of finished runs.

One JSON object per line, for a data set and system: {"dataset", "system", "measure", "values":
{query id: value}}.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import orjson

from prism_cli.errors import MissingDataError
from prism_cli.files.text import text_lines
from prism_cli.shards.writer import whole_file

PER_QUERY = "per_query.jsonl"


def write_per_query(
    folder: Path,
    measure: str,
    values: Mapping[str, Mapping[str, Sequence[float]]],
    queries: Mapping[str, Sequence[str]],
) -> None:
    """Publish PER_QUERY in `folder`.

    Args:
        values: dataset -> system -> one value per query, in the order of `queries`.
        queries: dataset -> query ids.
    """
    with whole_file(folder / PER_QUERY) as file:
        for dataset, systems in values.items():
            for system, system_values in systems.items():
                by_query = dict(zip(queries[dataset], system_values, strict=True))
                line = {"dataset": dataset, "system": system, "measure": measure}
                file.write(
                    orjson.dumps(line | {"values": by_query}, option=orjson.OPT_APPEND_NEWLINE)
                )


def read_per_query(folder: Path) -> dict[tuple[str, str], dict[str, float]]:
    """Return (dataset, system) -> value by query id; {} if the run wrote no such file.

    Raises:
        MissingDataError: a line is malformed.
    """
    path = folder / PER_QUERY
    if not path.exists():
        return {}
    values: dict[tuple[str, str], dict[str, float]] = {}
    for number, line in enumerate(text_lines(path), 1):
        try:
            entry = orjson.loads(line)
            values[entry["dataset"], entry["system"]] = entry["values"]
        except (orjson.JSONDecodeError, TypeError, KeyError):
            raise MissingDataError(
                f"{path}:{number}: expected an object with dataset, system and values; the file is "
                "damaged: delete it, or run the evaluation again with --overwrite"
            ) from None
    return values
