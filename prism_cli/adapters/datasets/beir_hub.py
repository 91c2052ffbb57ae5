"""The nine sets from their copies on the hub, as BEIR folders.

Two layouts: `BeIR/NAME` (configs corpus and queries) with judgements as TSV files in
`BeIR/NAME-qrels`, and `mteb/NAME` (configs corpus, queries, default with the splits).
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import orjson

from prism_cli.adapters.datasets.download import UnreachableError, download
from prism_cli.errors import MissingDataError, PrerequisiteError

SPLIT = "test"
_DATA = (".parquet", ".jsonl", ".jsonl.gz", ".tsv", ".tsv.gz", ".csv", "README.md")
_MTEB_NAMES = {"webis-touche2020": "touche2020", "dbpedia-entity": "dbpedia"}
_ASK_SECONDS = 15.0


def copies(name: str) -> list[tuple[str, str | None]]:
    """(repository, repository of the judgements where that is another) of a set, in order."""
    return [(f"BeIR/{name}", f"BeIR/{name}-qrels"), (f"mteb/{_MTEB_NAMES.get(name, name)}", None)]


def write_copy(
    repository: str, judgements: str | None, folder: Path, parts: Path, seconds: float
) -> str:
    """Write the copy as a BEIR folder with its test split.

    Args:
        folder: is made.
        parts: holds downloads; what is left there is used again.
        seconds: for all downloads.

    Returns:
        The repositories with their commits.

    Raises:
        UnreachableError: the hub does not answer.
        PrerequisiteError: the copy is not there, or cannot be read.
    """
    place, origin = _repository(repository, parts, seconds)
    (folder / "qrels").mkdir(parents=True)
    _write(folder / "corpus.jsonl", _rows(place, "corpus"), ("_id", "title", "text"))
    _write(folder / "queries.jsonl", _rows(place, "queries"), ("_id", "text"))
    target = folder / "qrels" / f"{SPLIT}.tsv"
    if judgements is None:
        lines = ["query-id\tcorpus-id\tscore\n"]
        for row in _rows(place, "default", SPLIT):
            lines.append(f"{row['query-id']}\t{row['corpus-id']}\t{int(row['score'])}\n")
        target.write_text("".join(lines), encoding="utf-8")
        return origin
    place, also = _repository(judgements, parts, seconds)
    if not (place / f"{SPLIT}.tsv").is_file():
        raise MissingDataError(f"{judgements}: no {SPLIT}.tsv")
    shutil.copyfile(place / f"{SPLIT}.tsv", target)
    return f"{origin} and {also}"


def _repository(name: str, parts: Path, seconds: float) -> tuple[Path, str]:
    """Where the files of a data set lie, fetched if need be; and its name with the commit."""
    if Path(name).is_dir():
        return Path(name), name
    from huggingface_hub import HfApi, constants, get_token, hf_hub_url, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    if constants.is_offline_mode():
        try:
            found = Path(snapshot_download(name, repo_type="dataset", local_files_only=True))
        except LocalEntryNotFoundError as error:
            raise PrerequisiteError(
                f"{name}: not in the hub's cache, and the hub is not asked (HF_HUB_OFFLINE)"
            ) from error
        return found, f"{name}@{found.name}"
    endpoint = os.environ.get("HF_ENDPOINT") or constants.ENDPOINT
    try:
        told: Any = HfApi(endpoint=endpoint).dataset_info(name, timeout=_ASK_SECONDS)
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else "no status"
        raise PrerequisiteError(f"{name}: the hub says {status}") from error
    except (OSError, httpx2.HTTPError) as error:
        raise UnreachableError(f"cannot reach {endpoint}: {type(error).__name__}") from error
    token = get_token()
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    place = parts / name.replace("/", "--") / told.sha
    for file in (one.rfilename for one in told.siblings):
        if file.endswith(_DATA) and not (place / file).is_file():
            (place / file).parent.mkdir(parents=True, exist_ok=True)
            url = hf_hub_url(name, file, repo_type="dataset", revision=told.sha, endpoint=endpoint)
            download(url, place / file, seconds=seconds, headers=headers)
    return place, f"{name}@{told.sha}"


def _rows(place: Path, config: str, split: str | None = None) -> Iterator[dict[str, Any]]:
    """The rows of a config; without a split, of the one that has the config's name, or the only
    one."""
    import datasets
    from datasets.exceptions import DatasetGenerationError

    try:
        builder: Any = datasets.load_dataset_builder(str(place), config)
        found = builder.as_streaming_dataset()
        chosen = split or (config if config in found else next(iter(found)))
        yield from found[chosen]
    except (ValueError, KeyError, OSError, DatasetGenerationError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise MissingDataError(f"{place.name}: {config}: cannot be read: {first}") from error


def _write(target: Path, rows: Iterator[dict[str, Any]], fields: tuple[str, ...]) -> None:
    """Rows as BEIR's files have them; an id under `id` is the `_id`."""
    with target.open("wb") as file:
        for row in rows:
            kept = {"_id": str(row["_id"] if "_id" in row else row["id"])}
            kept |= {name: row.get(name) or "" for name in fields[1:]}
            file.write(orjson.dumps(kept, option=orjson.OPT_APPEND_NEWLINE))
