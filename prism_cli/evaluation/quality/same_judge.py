"""Search for a judge among the models that labelled the rows or wrote their texts: it would rate
its own work."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from prism_cli.domain.model_names import model_name
from prism_cli.errors import UsageError
from prism_cli.rows.row import Row
from prism_cli.shards.manifest import manifest_path, read_manifest
from prism_cli.shards.reader import STDIN, find_shards, read_rows

_BY_JUDGE = ("votes", "vote_probabilities")


def find_same_judge(
    judge: str, inputs: Sequence[str], fields: Mapping[str, str], texts: str = "labels"
) -> str | None:
    """Return where the rows, or the manifests behind them, name the judge's model; None if nowhere.

    Reads the rows once, before any request.

    Args:
        texts: whose texts are rated; unless they are the labels, a reranker may have written them.

    Raises:
        UsageError: rows from standard input, which cannot be read twice.
        MissingDataError: no such file.
    """
    if STDIN in inputs:
        raise UsageError(
            "--judge with rows from standard input: they cannot be looked through for the "
            "judge's own labels first; give a file, or --allow-same-judge"
        )
    model, reranked = model_name(judge), texts != "labels"
    for shard in find_shards(inputs):
        for location, spec in _in_manifests(shard.path, reranked=reranked):
            if model_name(spec) == model:
                return f"{location}: {spec}"
    for ref, row in read_rows(inputs, fields=fields):
        for field, spec in _in_row(row, reranked=reranked):
            if model_name(spec) == model:
                return f"{ref}: {field}: {spec}"
    return None


def find_labeller(
    model: str, inputs: Sequence[str], fields: Mapping[str, str], texts: str = "labels"
) -> str | None:
    """Return the result of `find_same_judge`, for a model that may be one of the labellers; for
    rows from standard input, that it was not looked for."""
    if STDIN in inputs:
        return "not looked for: rows from standard input"
    return find_same_judge(model, inputs, fields, texts)


def _in_row(row: Row, *, reranked: bool) -> Iterator[tuple[str, str]]:
    """Yield (field, spec) of a pair, or of a query and each of its documents."""
    for field in _BY_JUDGE:
        if isinstance(row.get(field), dict):
            yield from ((f"{field}.{spec}", spec) for spec in row[field])
    for field in ("generator", "model") if reranked else ("generator",):
        if isinstance(row.get(field), str):
            yield field, row[field]
    documents = row.get("documents")
    for index, document in enumerate(documents if isinstance(documents, list) else ()):
        if isinstance(document, dict):
            found = _in_row(document, reranked=reranked)
            yield from ((f"documents[{index}].{name}", spec) for name, spec in found)


def _in_manifests(path: Path, *, reranked: bool) -> Iterator[tuple[str, str]]:
    """Yield (manifest, spec) from the manifests of the file and of the files it was made from."""
    pending, seen = [path], set[Path]()
    while pending:
        path = manifest_path(pending.pop())
        if path in seen or (manifest := read_manifest(path)) is None:
            continue
        seen.add(path)
        config: dict[str, Any] = manifest.get("config", {})
        judges = (*config.get("judges", ()), *config.get("add_judges", ()))
        if manifest.get("stage") == "relabel":
            yield from ((f"{path}: judges", spec) for spec in judges)
        if reranked and manifest.get("stage") == "rerank" and config.get("model"):
            yield f"{path}: model", config["model"]
        if config.get("generator"):
            yield f"{path}: generator", config["generator"]
        pending += [Path(record["path"]) for record in manifest.get("inputs", ())]
