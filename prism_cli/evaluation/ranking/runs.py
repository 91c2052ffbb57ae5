"""Finished rankings on disk: a TREC run each, and beside it a note with its fingerprint.

A ranking whose note has the requested fingerprint is not computed again.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path

import orjson

from prism_cli.domain.trec import parse_run_line, render_run_line
from prism_cli.errors import RowError
from prism_cli.files.digest import file_sha256
from prism_cli.shards.writer import whole_file

Run = dict[str, list[tuple[str, float]]]
"""query_id -> (doc_id, score), best first."""


@dataclass(frozen=True)
class RunNote:
    """Fingerprint, counts and time of one ranking.

    Attributes:
        fingerprint: of everything that decides the ranking.
        truncated: documents that were cut to fit the model.
        unscored: candidates without a score, ranked behind all others.
        seconds: wall-clock time of this ranking.
        long_documents: pairs whose document was read in windows; None in notes of an earlier
            version, which cut all documents that did not fit.
        windows: of these documents.
        unscored_queries: query_id -> number of its last documents that have no score.
        long_queries: query_id -> its part of `truncated`, `long_documents` and `windows`, if any.
    """

    fingerprint: str
    truncated: int = 0
    unscored: int = 0
    seconds: float = 0.0
    long_documents: int | None = None
    windows: int = 0
    unscored_queries: Mapping[str, int] = field(default_factory=dict)
    long_queries: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    @property
    def counts_queries(self) -> bool:
        """True if each count is known by query too; earlier versions had sums alone."""
        long = Counter[str]()
        for counts in self.long_queries.values():
            long.update(counts)
        return sum(self.unscored_queries.values()) == self.unscored and all(
            long[name] == (getattr(self, name) or 0)
            for name in ("truncated", "long_documents", "windows")
        )


class RunStore:
    """The folder `runs` of an evaluation.

    Args:
        systems: all systems of the evaluation; files are named after them.
    """

    def __init__(self, folder: Path, systems: Sequence[str]) -> None:
        self.folder = folder
        self._names = _file_names(systems)

    def path(self, dataset: str, system: str) -> Path:
        """Return the path runs/DATASET.SYSTEM.trec."""
        return self.folder / f"{dataset}.{self._names[system]}.trec"

    def find(self, dataset: str, system: str, fingerprint: str) -> tuple[Run, RunNote] | None:
        """Return the finished ranking; None if it is missing, damaged or outdated."""
        path = self.path(dataset, system)
        try:
            saved = orjson.loads(_note_path(path).read_bytes())
            digest = saved.pop("sha256")
            saved.pop("pairs", None)  # of an earlier version
            note = RunNote(**saved)
            current = note.fingerprint == fingerprint and note.counts_queries
            if not current or file_sha256(path) != digest:
                return None
            run: Run = {}
            with path.open(encoding="utf-8") as file:
                for line in file:
                    query_id, doc_id, _, score = parse_run_line(line)
                    run.setdefault(query_id, []).append((doc_id, score))
        except (FileNotFoundError, orjson.JSONDecodeError, KeyError, TypeError, RowError):
            return None
        return run, note

    def save(self, dataset: str, system: str, run: Run, note: RunNote) -> None:
        """Publish the run, with each query's documents in their order, then its note."""
        path = self.path(dataset, system)
        tag = re.sub(r"\s", "_", system)
        with whole_file(path) as file:
            for query_id, hits in run.items():
                lines = [
                    render_run_line(query_id, doc_id, rank, score, tag) + "\n"
                    for rank, (doc_id, score) in enumerate(hits, 1)
                ]
                file.write("".join(lines).encode())
        content = {**asdict(note), "sha256": file_sha256(path)}
        with whole_file(_note_path(path)) as file:
            file.write(orjson.dumps(content, option=orjson.OPT_APPEND_NEWLINE))


def run_fingerprint(*parts: object) -> str:
    """Return the SHA-256, as hex, of JSON values."""
    return sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _note_path(run: Path) -> Path:
    return run.with_name(f"{run.name}.json")


def _file_names(systems: Sequence[str]) -> dict[str, str]:
    names: dict[str, str] = {}
    for system in systems:
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", system).strip("-.") or "system"
        if name in names.values():
            name = f"{name}-{sha256(system.encode()).hexdigest()[:6]}"
        names[system] = name
    return names
