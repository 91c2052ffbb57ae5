"""The paper's nine BEIR sets about questions and claims: where they are, how large, how to get."""

import shutil
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from prism_cli.adapters.datasets.beir import BeirSet
from prism_cli.errors import PrerequisiteError, UsageError

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


def _folder(one: QaSet, data_dir: Path) -> Path:
    names = [one.name, *(short for short, name in _ALIASES.items() if name == one.name)]
    there = [data_dir / name for name in names if (data_dir / name).is_dir()]
    return there[0] if there else data_dir / one.name


def _fetch(one: QaSet, data_dir: Path) -> None:
    from beir.util import download_and_unzip

    url = URL.format(name=one.name)
    data_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{one.name}.", dir=data_dir) as workplace:
        try:
            found = Path(download_and_unzip(url, workplace))
        except (OSError, zipfile.BadZipFile) as error:
            raise PrerequisiteError(
                f"{one.name}: cannot be fetched from {url}: {type(error).__name__}; unpack that "
                f"file into {data_dir}, or name the folder that holds it with --data-dir, and run "
                "the same command again"
            ) from error
        shutil.move(found, data_dir / one.name)
