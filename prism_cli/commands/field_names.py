"""Checks of the inputs before any work: the names of --field, rows without a query."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from prism_cli.errors import RowError, UsageError
from prism_cli.wording import most_similar

if TYPE_CHECKING:
    from prism_cli.shards.reader import Shard, Source


def parsed_fields(items: Sequence[str]) -> dict[str, str]:
    """NAME=NAME each, as contract name -> name in the input.

    Raises:
        UsageError: not NAME=NAME, no field that prism knows, or one twice.
    """
    from prism_cli.rows.fields import FIELDS

    names: dict[str, str] = {}
    for item in items:
        ours, equals, theirs = item.partition("=")
        if not equals or not ours or not theirs:
            raise UsageError(f"--field {item}: expected NAME=NAME, such as document=passage")
        if ours not in FIELDS:
            near = most_similar(ours, FIELDS)
            turned = f"{theirs}={ours}" if theirs in FIELDS else ""
            hint = f"--field {turned}" if turned else f"{near}={theirs}" if near else ""
            raise UsageError(
                f"--field {item}: {ours!r} is no field of a row"
                + (f"; did you mean {hint}?" if hint else ".")
                + " Expected FIELD=NAME: on the left one of prism's fields (query, document, "
                "query_id, doc_id, title, … as `prism help rows` lists them), on the right its "
                "name in your rows"
            )
        if names.setdefault(ours, theirs) != theirs:
            raise UsageError(f"--field {item}: {ours} is {names[ours]} already; name it once")
    return names


def check_inputs(
    inputs: "Iterable[str | Source | Shard]",
    fields: Mapping[str, str],
    *,
    plain: bool = False,
    documents: bool = False,
) -> None:
    """Refuse documents where rows are needed, and look for each name on the right of --field until
    a row has it.

    Standard input and sources are not checked.

    Args:
        plain: as for `find_shards`.
        documents: whether the command takes documents, which have no query.

    Raises:
        UsageError: a BEIR folder or documents; a name given twice, or that no row has.
        MissingDataError: an input cannot be read.
        MissingPackageError: a PDF, which cannot be read without pypdf.
    """
    from prism_cli.commands.beir_folders import is_beir
    from prism_cli.shards.formats.documents import check_documents

    targets: dict[str, str] = {}
    for name, theirs in fields.items():
        if (other := targets.setdefault(theirs, name)) != name:
            raise UsageError(
                f"--field {name}={theirs}: {theirs!r} is {other} already; a field of your rows is "
                "one of prism's fields"
            )
    inputs = list(inputs)
    for source in inputs:
        if isinstance(source, str) and is_beir(source) and (Path(source) / "qrels").is_dir():
            raise UsageError(_beir_message(source))
    if plain:
        return
    shards = list(_files(inputs))
    for folder in (shard for shard in shards if shard.format == "documents"):
        if not documents:
            raise UsageError(_documents_message(folder))
        check_documents(folder.path)
    missing = dict(fields)
    if not missing:
        return
    first: tuple[str, list[str]] | None = None
    for shard in (shard for shard in shards if shard.format != "documents"):
        for names in _names(shard):
            first = first or (shard.name, names)
            for ours, theirs in list(missing.items()):
                if theirs in names:
                    del missing[ours]
            if not missing:
                return
    if first:
        ours, theirs = next(iter(missing.items()))
        near = most_similar(theirs, first[1])
        hint = f"; did you mean {ours}={near}?" if near else "."
        raise UsageError(
            f"--field {ours}={theirs}: no row has a field {theirs!r}{hint} The first row of "
            f"{first[0]} has: {', '.join(first[1])}. Nothing was done"
        )


def _files(inputs: "Iterable[str | Source | Shard]") -> "Iterable[Shard]":
    from prism_cli.shards.reader import STDIN, Shard, find_shards

    for source in inputs:
        if isinstance(source, Shard):
            yield source
        elif isinstance(source, str) and source != STDIN:
            yield from find_shards([source])


def _beir_message(folder: str) -> str:
    return (
        f"{folder}: is a BEIR folder (corpus, queries, qrels), and this command takes rows. Make "
        f"pairs of it with `prism collect {folder} -o pairs.jsonl`, or measure a model on it with "
        f"`prism eval {folder}`. Nothing was done"
    )


def _documents_message(shard: "Shard") -> str:
    from prism_cli.shards.folder import rows_below

    name = shard.name
    if shard.path.is_dir() and (below := rows_below(shard.path)):
        return (
            f"{name}: holds documents, and files of rows only in folders below it, which are not "
            f"searched. Name those files: {below}. Nothing was done"
        )
    content = "one document" if shard.path.is_file() else "a folder of documents"
    return (
        f"{name}: is {content}, without a query, and this command takes rows with one (a file of "
        "rows is named .jsonl, .csv, .tsv, .parquet or .json). Rank documents for a question with "
        f'`prism rerank --query "…" {name}`, or make rows of them and a list of questions with '
        f"`prism collect --corpus {name} --queries questions.txt -o rows.jsonl`"
    )


def _names(shard: "Shard") -> Iterable[list[str]]:
    from prism_cli.rows.decode import decode_row

    for _, raw in shard.numbered():
        if raw.strip():
            try:
                yield list(decode_row(raw))
            except RowError:
                continue
