"""Whether a judge belongs to the panel that labelled the rows: it would mark its own work."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from prism_cli.domain.model_names import model_name
from prism_cli.errors import UsageError
from prism_cli.rows.row import Row
from prism_cli.shards.manifest import manifest_path, read_manifest
from prism_cli.shards.reader import STDIN, find_shards, read_rows

_BY_JUDGE = ("votes", "vote_probabilities")


def find_same_judge(judge: str, inputs: Sequence[str], fields: Mapping[str, str]) -> str | None:
    """Where the rows, or the manifests behind them, name the judge's model; None if nowhere.

    Rows are passed over once, before anything is asked.

    Raises:
        UsageError: rows from standard input, which cannot be passed over twice.
        MissingDataError: no such file.
    """
    if STDIN in inputs:
        raise UsageError(
            "--judge with rows from standard input: they cannot be looked through for the "
            "judge's own labels first; give a file, or --allow-same-judge"
        )
    model = model_name(judge)
    for shard in find_shards(inputs):
        for place, spec in _in_manifests(shard.path):
            if model_name(spec) == model:
                return f"{place}: {spec}"
    for ref, row in read_rows(inputs, fields=fields):
        for field, spec in _in_row(row):
            if model_name(spec) == model:
                return f"{ref}: {field}: {spec}"
    return None


def _in_row(row: Row) -> Iterator[tuple[str, str]]:
    """(field, spec) of a pair, or of a query and each of its documents."""
    for field in _BY_JUDGE:
        if isinstance(row.get(field), dict):
            yield from ((f"{field}.{spec}", spec) for spec in row[field])
    if isinstance(row.get("generator"), str):
        yield "generator", row["generator"]
    documents = row.get("documents")
    for place, one in enumerate(documents if isinstance(documents, list) else ()):
        if isinstance(one, dict):
            yield from ((f"documents[{place}].{name}", spec) for name, spec in _in_row(one))


def _in_manifests(path: Path) -> Iterator[tuple[str, str]]:
    """(place, spec) of the file's manifest, and of those of the files that it was made from."""
    waiting, seen = [path], set[Path]()
    while waiting:
        place = manifest_path(waiting.pop())
        if place in seen or (made := read_manifest(place)) is None:
            continue
        seen.add(place)
        config: dict[str, Any] = made.get("config", {})
        judges = (*config.get("judges", ()), *config.get("add_judges", ()))
        if made.get("stage") == "relabel":
            yield from ((f"{place}: judges", spec) for spec in judges)
        if config.get("generator"):
            yield f"{place}: generator", config["generator"]
        waiting += [Path(one["path"]) for one in made.get("inputs", ())]
