"""Downloads copies of the nine sets from the hub and writes them as BEIR folders.

There are two layouts: `BeIR/NAME` (configs corpus and queries) with judgements as TSV files in
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
    """Return (repository, repository of the judgements or None if it is the same) of each copy of
    a set, in the order to try."""
    return [(f"BeIR/{name}", f"BeIR/{name}-qrels"), (f"mteb/{_MTEB_NAMES.get(name, name)}", None)]


def write_copy(
    repository: str, judgements: str | None, folder: Path, parts: Path, seconds: float
) -> str:
    """Write a copy as a BEIR folder with its test split.

    Args:
        folder: folder to create.
        parts: folder of downloads; partial downloads in it are resumed.
        seconds: time limit of each download.

    Returns:
        The repositories with their commits.

    Raises:
        UnreachableError: the hub does not answer.
        PrerequisiteError: the copy does not exist or cannot be read.
    """
    path, origin = _repository(repository, parts, seconds)
    (folder / "qrels").mkdir(parents=True)
    _write(folder / "corpus.jsonl", _rows(path, "corpus"), ("_id", "title", "text"))
    _write(folder / "queries.jsonl", _rows(path, "queries"), ("_id", "text"))
    target = folder / "qrels" / f"{SPLIT}.tsv"
    if judgements is None:
        lines = ["query-id\tcorpus-id\tscore\n"]
        for row in _rows(path, "default", SPLIT):
            lines.append(f"{row['query-id']}\t{row['corpus-id']}\t{int(row['score'])}\n")
        target.write_text("".join(lines), encoding="utf-8")
        return origin
    path, also = _repository(judgements, parts, seconds)
    if not (path / f"{SPLIT}.tsv").is_file():
        raise MissingDataError(f"{judgements}: no {SPLIT}.tsv")
    shutil.copyfile(path / f"{SPLIT}.tsv", target)
    return f"{origin} and {also}"


def _repository(name: str, parts: Path, seconds: float) -> tuple[Path, str]:
    """Return the folder of a data set's files, downloaded if needed, and its name with commit."""
    if Path(name).is_dir():
        return Path(name), name
    from huggingface_hub import HfApi, constants, get_token, hf_hub_url, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    if constants.is_offline_mode():
        try:
            cached = Path(snapshot_download(name, repo_type="dataset", local_files_only=True))
        except LocalEntryNotFoundError as error:
            raise PrerequisiteError(
                f"{name}: not in the hub's cache, and HF_HUB_OFFLINE is set"
            ) from error
        return cached, f"{name}@{cached.name}"
    endpoint = os.environ.get("HF_ENDPOINT") or constants.ENDPOINT
    try:
        info: Any = HfApi(endpoint=endpoint).dataset_info(name, timeout=_ASK_SECONDS)
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else "no status"
        raise PrerequisiteError(f"{name}: the hub answers {status}") from error
    except (OSError, httpx2.HTTPError) as error:
        raise UnreachableError(f"cannot reach {endpoint}: {type(error).__name__}") from error
    token = get_token()
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    path = parts / name.replace("/", "--") / info.sha
    for file in (sibling.rfilename for sibling in info.siblings):
        if file.endswith(_DATA) and not (path / file).is_file():
            (path / file).parent.mkdir(parents=True, exist_ok=True)
            url = hf_hub_url(name, file, repo_type="dataset", revision=info.sha, endpoint=endpoint)
            download(url, path / file, seconds=seconds, headers=headers)
    return path, f"{name}@{info.sha}"


def _rows(path: Path, config: str, split: str | None = None) -> Iterator[dict[str, Any]]:
    """Yield rows of `split`, else of the split with the config's name, else of the first one."""
    import datasets
    from datasets.exceptions import DatasetGenerationError

    try:
        builder: Any = datasets.load_dataset_builder(str(path), config)
        splits = builder.as_streaming_dataset()
        chosen = split or (config if config in splits else next(iter(splits)))
        yield from splits[chosen]
    except (ValueError, KeyError, OSError, DatasetGenerationError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise MissingDataError(f"{path.name}: {config}: cannot be read: {first}") from error


def _write(target: Path, rows: Iterator[dict[str, Any]], fields: tuple[str, ...]) -> None:
    """Write rows in BEIR's format; an `id` becomes the `_id`."""
    with target.open("wb") as file:
        for row in rows:
            kept = {"_id": str(row["_id"] if "_id" in row else row["id"])}
            kept |= {name: row.get(name) or "" for name in fields[1:]}
            file.write(orjson.dumps(kept, option=orjson.OPT_APPEND_NEWLINE))
