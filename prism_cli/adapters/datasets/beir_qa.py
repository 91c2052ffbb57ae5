"""The paper's nine BEIR sets about questions and claims: sources, sizes and download."""

import hashlib
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from prism_cli.adapters.datasets.beir import ORIGIN, BeirSet
from prism_cli.adapters.datasets.beir_hub import SPLIT, copies, write_copy
from prism_cli.adapters.datasets.download import UnreachableError, download
from prism_cli.errors import PrerequisiteError, UsageError

URL = "https://public.ukp.informatik.tu-darmstadt.de/thakur/BEIR/datasets/{name}.zip"


@dataclass(frozen=True, slots=True)
class QaSet:
    """One of the nine.

    Attributes:
        name: BEIR's name of the folder.
        queries: published number of queries of the test split.
        documents: published number of documents of the corpus.
        judgements: published number of judgements of the test split.
        megabytes: approximate size of the zip file.
        md5: MD5 of the zip file from BEIR's README.
    """

    name: str
    queries: int
    documents: int
    judgements: int
    megabytes: int
    md5: str


NINE = (
    QaSet("nfcorpus", 323, 3_633, 12_334, 3, "a89dba18a62ef92f7d323ec890a0d38d"),
    QaSet("scifact", 300, 5_183, 339, 3, "5f7d1de60b170fc8027bb7898e2efca1"),
    QaSet("scidocs", 1_000, 25_657, 29_928, 140, "38121350fc3a4d2f48850f6aff52e4a9"),
    QaSet("fiqa", 648, 57_638, 1_706, 18, "17918ed23cd04fb15047f73e6c3bd9d9"),
    QaSet("trec-covid", 50, 171_332, 66_336, 74, "ce62140cb23feb9becf6270d0d1fe6d1"),
    QaSet("webis-touche2020", 49, 382_545, 2_214, 220, "46f650ba5a527fc69e0a6521c5a23563"),
    QaSet("dbpedia-entity", 400, 4_635_922, 43_515, 610, "c2a39eb420a3164af735795df012ac2c"),
    QaSet("nq", 3_452, 2_681_468, 4_201, 490, "d4d3d2e48787a744b6f6e691ff534307"),
    QaSet("hotpotqa", 7_405, 5_233_329, 14_810, 650, "f412724f78b0d91183a0e86805e16114"),
)
PAIR_TOKENS = 300
"""Estimated tokens of a prompt for sets that are not downloaded yet."""
_LEAST_SECONDS, _LEAST_BYTES_A_SECOND = 600, 100_000
"""Time limit of a download: fixed seconds plus the size at this rate; partial ones are kept."""
_ALIASES = {
    "touche2020": "webis-touche2020",
    "touche": "webis-touche2020",
    "dbpedia": "dbpedia-entity",
}


def official_name(name: str) -> str:
    """Return BEIR's name of a set; `name` may be the paper's shorter one."""
    return _ALIASES.get(name, name)


def chosen_sets(names: list[str]) -> list[QaSet]:
    """Return the named sets in the order of NINE; all sets if `names` is empty.

    Raises:
        UsageError: a name is not in NINE.
    """
    wanted = {official_name(name) for name in names}
    unknown = wanted - {qa_set.name for qa_set in NINE}
    if unknown:
        raise UsageError(
            f"--sets {','.join(sorted(unknown))}: not in beir-qa; it has "
            f"{', '.join(qa_set.name for qa_set in NINE)}"
        )
    return [qa_set for qa_set in NINE if not wanted or qa_set.name in wanted]


def is_local(qa_set: QaSet, data_dir: Path) -> bool:
    """Return True if the set's folder is in `data_dir`."""
    return _folder(qa_set, data_dir).is_dir()


def local_set(qa_set: QaSet, data_dir: Path) -> BeirSet:
    """Return the set in DATA_DIR/NAME, where NAME may be the paper's shorter name.

    Raises:
        MissingDataError: there is no such folder, or it is not a BEIR folder.
    """
    return BeirSet(_folder(qa_set, data_dir))


def obtain(
    chosen: list[QaSet], data_dir: Path, tell: Callable[[str], None] = lambda _line: None
) -> tuple[list[BeirSet], dict[str, str]]:
    """Return the sets that are in `data_dir` or can be downloaded, and by name the reason why each
    other set is missing.

    BEIR's host is tried first, then the copies on the hub; an unreachable host is not tried again.

    Args:
        tell: called with a line for each download.

    Raises:
        MissingDataError: an existing folder is not a BEIR folder.
    """
    sets: list[BeirSet] = []
    missing: dict[str, str] = {}
    unreachable: dict[str, str] = {}
    for qa_set in chosen:
        if is_local(qa_set, data_dir) or not (
            reason := _fetch(qa_set, data_dir, unreachable, tell)
        ):
            sets.append(local_set(qa_set, data_dir))
        else:
            missing[qa_set.name] = reason
    return sets, missing


def _folder(qa_set: QaSet, data_dir: Path) -> Path:
    names = [qa_set.name, *(short for short, name in _ALIASES.items() if name == qa_set.name)]
    existing = [data_dir / name for name in names if (data_dir / name).is_dir()]
    return existing[0] if existing else data_dir / qa_set.name


def _fetch(
    qa_set: QaSet, data_dir: Path, unreachable: dict[str, str], tell: Callable[[str], None]
) -> str | None:
    """Download the complete set into `data_dir`; return None, or why no host provides it.

    Args:
        unreachable: hosts that cannot be reached, with the reason; updated here.
    """
    parts = data_dir / f".{qa_set.name}.parts"
    seconds = _LEAST_SECONDS + qa_set.megabytes * 1_000_000 / _LEAST_BYTES_A_SECOND
    sources: list[tuple[str, Callable[[Path], str]]] = [
        ("beir", lambda folder: _from_host(qa_set, folder, parts, seconds))
    ]
    for repository, judgements in copies(qa_set.name):
        write = partial(write_copy, repository, judgements, parts=parts, seconds=seconds)
        sources.append(("hub", partial(_from_hub, qa_set, write)))
    reasons = []
    for host, download_to in sources:
        if host in unreachable:
            reasons.append(unreachable[host])
            continue
        try:
            data_dir.mkdir(parents=True, exist_ok=True)
            parts.mkdir(exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=f".{qa_set.name}.", dir=data_dir) as workplace:
                origin = download_to(Path(workplace) / qa_set.name)
                folder = Path(workplace) / qa_set.name
                (folder / ORIGIN).write_text(f"{origin}\n", encoding="utf-8")
                shutil.move(folder, data_dir / qa_set.name)
        except UnreachableError as error:
            reasons.append(unreachable.setdefault(host, str(error)))
        except PrerequisiteError as error:
            reasons.append(str(error))
            tell(f"{qa_set.name}: {error}")
        else:
            shutil.rmtree(parts, ignore_errors=True)
            tell(f"{qa_set.name}: downloaded from {origin}")
            return None
    for empty in (parts, data_dir):
        with suppress(OSError):
            empty.rmdir()
    return "; ".join(dict.fromkeys(reasons))


def _from_host(qa_set: QaSet, folder: Path, parts: Path, seconds: float) -> str:
    """Download BEIR's own zip file and unpack it to `folder`; return its origin."""
    from beir.util import unzip

    url = URL.format(name=qa_set.name)
    archive = parts / f"{qa_set.name}.zip"
    download(url, archive, seconds=seconds)
    with archive.open("rb") as file:
        digest = hashlib.file_digest(file, "md5").hexdigest()
    if digest != qa_set.md5:
        archive.unlink()
        raise PrerequisiteError(
            f"cannot be downloaded from {url}: not the published file: expected MD5 {qa_set.md5}, "
            f"found {digest}"
        )
    unzip(str(archive), str(folder.parent))
    return f"{url}, MD5 {digest}"


def _from_hub(qa_set: QaSet, write: Callable[[Path], str], folder: Path) -> str:
    """Write a copy from the hub, check it against the published counts, and return its origin."""
    origin = write(folder)
    data = BeirSet(folder)
    grades = data.qrels(SPLIT)
    counted = {
        "documents": (sum(1 for _ in data.corpus()), qa_set.documents),
        "queries": (len(data.judged_queries(SPLIT)), qa_set.queries),
        "judgements": (sum(map(len, grades.values())), qa_set.judgements),
    }
    wrong = [
        f"{count:,} {name}, expected {published:,}"
        for name, (count, published) in counted.items()
        if count != published
    ]
    if wrong:
        raise PrerequisiteError(f"{origin}: not the published set: {'; '.join(wrong)}")
    return origin
