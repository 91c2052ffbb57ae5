"""The paper's nine BEIR sets about questions and claims: where they are, how large, how to get."""

import shutil
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import httpx2

from prism_cli.adapters.datasets.beir import BeirSet
from prism_cli.errors import MissingDataError, PrerequisiteError, UsageError

URL = "https://public.ukp.informatik.tu-darmstadt.de/thakur/BEIR/datasets/{name}.zip"


@dataclass(frozen=True, slots=True)
class QaSet:
    """One of the nine.

    Attributes:
        name: as BEIR names the folder.
        queries, documents: of its test split and corpus, as BEIR publishes them.
        megabytes: of the packed download, about.
    """

    name: str
    queries: int
    documents: int
    megabytes: int


NINE = (
    QaSet("nfcorpus", 323, 3_633, 3),
    QaSet("scifact", 300, 5_183, 3),
    QaSet("scidocs", 1_000, 25_657, 140),
    QaSet("fiqa", 648, 57_638, 18),
    QaSet("trec-covid", 50, 171_332, 74),
    QaSet("webis-touche2020", 49, 382_545, 220),
    QaSet("dbpedia-entity", 400, 4_635_922, 610),
    QaSet("nq", 3_452, 2_681_468, 490),
    QaSet("hotpotqa", 7_405, 5_233_329, 650),
)
PAIR_TOKENS = 300
"""Of a prompt, about, where a set is not here yet to be measured."""
_CONNECT_SECONDS = 5.0
_ANSWER_SECONDS = 15.0
_ALIASES = {
    "touche2020": "webis-touche2020",
    "touche": "webis-touche2020",
    "dbpedia": "dbpedia-entity",
}


def official_name(name: str) -> str:
    """BEIR's name of a set that may be called by the paper's shorter one."""
    return _ALIASES.get(name, name)


def chosen_sets(names: list[str]) -> list[QaSet]:
    """The named ones, in the order of the nine; all for no name.

    Raises:
        UsageError: a name that is none of them.
    """
    wanted = {official_name(name) for name in names}
    unknown = wanted - {one.name for one in NINE}
    if unknown:
        raise UsageError(
            f"--sets {','.join(sorted(unknown))}: not in beir-qa; it has "
            f"{', '.join(one.name for one in NINE)}"
        )
    return [one for one in NINE if not wanted or one.name in wanted]


def is_local(one: QaSet, data_dir: Path) -> bool:
    """Whether its folder lies in `data_dir`."""
    return _folder(one, data_dir).is_dir()


def local_set(one: QaSet, data_dir: Path) -> BeirSet:
    """The set in DATA_DIR/NAME (or the paper's shorter name), fetched by beir where it is not
    there; whole or not at all.

    Raises:
        PrerequisiteError: it cannot be fetched.
        MissingDataError: the folder is there, and no BEIR folder.
    """
    folder = _folder(one, data_dir)
    if not folder.is_dir():
        _fetch(one, data_dir)
    return BeirSet(folder)


def obtain(chosen: list[QaSet], data_dir: Path) -> tuple[list[BeirSet], dict[str, str]]:
    """Those that are in `data_dir` or can be fetched, and why the others are missing, by name.

    Once their site cannot be reached it is not tried again.

    Raises:
        MissingDataError: a folder is there, and no BEIR folder.
    """
    found: list[BeirSet] = []
    missing: dict[str, str] = {}
    unreachable: str | None = None
    for one in chosen:
        if unreachable and not is_local(one, data_dir):
            missing[one.name] = unreachable
            continue
        try:
            found.append(local_set(one, data_dir))
        except UnreachableError as error:
            missing[one.name] = unreachable = str(error)
        except MissingDataError:
            raise
        except PrerequisiteError as error:
            missing[one.name] = str(error)
    return found, missing


class UnreachableError(PrerequisiteError):
    """The site of the sets does not answer."""


def _folder(one: QaSet, data_dir: Path) -> Path:
    names = [one.name, *(short for short, name in _ALIASES.items() if name == one.name)]
    there = [data_dir / name for name in names if (data_dir / name).is_dir()]
    return there[0] if there else data_dir / one.name


def _fetch(one: QaSet, data_dir: Path) -> None:
    from beir.util import download_and_unzip

    url = URL.format(name=one.name)
    _knock(url)
    data_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{one.name}.", dir=data_dir) as workplace:
        try:
            found = Path(download_and_unzip(url, workplace))
        except (OSError, zipfile.BadZipFile) as error:
            raise PrerequisiteError(_refused(url, type(error).__name__)) from error
        shutil.move(found, data_dir / one.name)


def _knock(url: str) -> None:
    """Ask whether the file is there, as the download itself would wait for minutes."""
    patience = httpx2.Timeout(_ANSWER_SECONDS, connect=_CONNECT_SECONDS)
    try:
        with httpx2.stream("GET", url, timeout=patience, follow_redirects=True) as answer:
            if answer.is_error:
                raise PrerequisiteError(_refused(url, f"HTTP {answer.status_code}"))
    except httpx2.TransportError as error:
        site = url.removesuffix(httpx2.URL(url).path)
        raise UnreachableError(_refused(site, type(error).__name__)) from error


def _refused(url: str, why: str) -> str:
    return f"cannot be fetched from {url}: {why}"
