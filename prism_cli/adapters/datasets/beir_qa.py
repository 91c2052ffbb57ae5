"""The paper's nine BEIR sets about questions and claims: where they are, how large, how to get."""

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
        name: as BEIR names the folder.
        queries, documents, judgements: of its test split and corpus, as BEIR publishes them.
        megabytes: of the packed download, about.
        md5: of that file, as BEIR's README has it.
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
"""Of a prompt, about, where a set is not here yet to be measured."""
_LEAST_SECONDS, _LEAST_BYTES_A_SECOND = 600, 100_000
"""A transfer that takes longer than these allow is given up; what has come is kept."""
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
    """The set in DATA_DIR/NAME (or the paper's shorter name).

    Raises:
        MissingDataError: no folder is there, or it is no BEIR folder.
    """
    return BeirSet(_folder(one, data_dir))


def obtain(
    chosen: list[QaSet], data_dir: Path, tell: Callable[[str], None] = lambda _line: None
) -> tuple[list[BeirSet], dict[str, str]]:
    """Those that are in `data_dir` or can be fetched, and why the others are missing, by name.

    BEIR's host is asked first, then the hub's copies; one that cannot be reached is not tried
    again.

    Args:
        tell: takes lines about what is fetched.

    Raises:
        MissingDataError: a folder is there, and no BEIR folder.
    """
    found: list[BeirSet] = []
    missing: dict[str, str] = {}
    dead: dict[str, str] = {}
    for one in chosen:
        if is_local(one, data_dir) or not (why := _fetch(one, data_dir, dead, tell)):
            found.append(local_set(one, data_dir))
        else:
            missing[one.name] = why
    return found, missing


def _folder(one: QaSet, data_dir: Path) -> Path:
    names = [one.name, *(short for short, name in _ALIASES.items() if name == one.name)]
    there = [data_dir / name for name in names if (data_dir / name).is_dir()]
    return there[0] if there else data_dir / one.name


def _fetch(
    one: QaSet, data_dir: Path, dead: dict[str, str], tell: Callable[[str], None]
) -> str | None:
    """Put the set into `data_dir`, whole; else why none of its hosts gave it.

    Args:
        dead: hosts that could not be reached, with the reason; taken note of here.
    """
    parts = data_dir / f".{one.name}.parts"
    seconds = _LEAST_SECONDS + one.megabytes * 1_000_000 / _LEAST_BYTES_A_SECOND
    ways: list[tuple[str, Callable[[Path], str]]] = [
        ("beir", lambda folder: _from_host(one, folder, parts, seconds))
    ]
    for repository, judgements in copies(one.name):
        write = partial(write_copy, repository, judgements, parts=parts, seconds=seconds)
        ways.append(("hub", partial(_from_hub, one, write)))
    reasons = []
    for host, way in ways:
        if host in dead:
            reasons.append(dead[host])
            continue
        try:
            data_dir.mkdir(parents=True, exist_ok=True)
            parts.mkdir(exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=f".{one.name}.", dir=data_dir) as workplace:
                origin = way(Path(workplace) / one.name)
                folder = Path(workplace) / one.name
                (folder / ORIGIN).write_text(f"{origin}\n", encoding="utf-8")
                shutil.move(folder, data_dir / one.name)
        except UnreachableError as error:
            reasons.append(dead.setdefault(host, str(error)))
        except PrerequisiteError as error:
            reasons.append(str(error))
            tell(f"{one.name}: {error}")
        else:
            shutil.rmtree(parts, ignore_errors=True)
            tell(f"{one.name}: fetched from {origin}")
            return None
    for empty in (parts, data_dir):
        with suppress(OSError):
            empty.rmdir()
    return "; ".join(dict.fromkeys(reasons))


def _from_host(one: QaSet, folder: Path, parts: Path, seconds: float) -> str:
    """BEIR's own file, unpacked to `folder`."""
    from beir.util import unzip

    url = URL.format(name=one.name)
    packed = parts / f"{one.name}.zip"
    download(url, packed, seconds=seconds)
    with packed.open("rb") as file:
        digest = hashlib.file_digest(file, "md5").hexdigest()
    if digest != one.md5:
        packed.unlink()
        raise PrerequisiteError(
            f"cannot be fetched from {url}: MD5 {digest}, expected {one.md5}: not the published "
            "file"
        )
    unzip(str(packed), str(folder.parent))
    return f"{url}, MD5 {digest}"


def _from_hub(one: QaSet, write: Callable[[Path], str], folder: Path) -> str:
    """A copy of the hub, held against the published counts."""
    origin = write(folder)
    data = BeirSet(folder)
    grades = data.qrels(SPLIT)
    counted = {
        "documents": (sum(1 for _ in data.corpus()), one.documents),
        "queries": (len(data.judged_queries(SPLIT)), one.queries),
        "judgements": (sum(map(len, grades.values())), one.judgements),
    }
    wrong = [
        f"{found:,} {name}, expected {known:,}"
        for name, (found, known) in counted.items()
        if found != known
    ]
    if wrong:
        raise PrerequisiteError(f"{origin}: not the published set: {'; '.join(wrong)}")
    return origin
