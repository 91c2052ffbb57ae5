"""metrics.json: the schema of all evaluations, its version, and provenance.

{"schema": SCHEMA, "kind": one of KINDS, KIND: plain numbers, "statistics":
intervals and tests, "examples": texts for the report, "provenance": what reproduces it}. It
contains no times and no output paths: the same evaluation gives the same bytes.
"""

import importlib.metadata
import platform
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson

from prism_cli.errors import MissingDataError
from prism_cli.files.text import read_text
from prism_cli.reporting.html import render_page
from prism_cli.reporting.page import Page
from prism_cli.shards.writer import OutputRecord, PartFile
from prism_cli.version import __version__

METRICS, REPORT = "metrics.json", "report.html"
EVALUATIONS = Path("runs/eval")
"""Folder of the evaluations whose -o was left out."""
SCHEMA = "prism-metrics/1"
KINDS = ("ranking", "quality", "labels", "answers")
_TAKES_A_VALUE = ("--output", "--max-seconds")
_FLAGS = ("--quiet", "--verbose", "--json", "--overwrite", "--fresh")
_SHORT = re.compile("-[qv]*(?:[qv]|(?P<output>o.*))", re.DOTALL)


@dataclass(frozen=True)
class PublishedMetrics:
    """The published content of metrics.json at `path`."""

    metrics: dict[str, Any]
    path: Path
    finished_before: bool


def default_folder(name: str, length: int) -> Path:
    """Return the folder of an evaluation without -o: `name` in at most `length` plain letters; with
    other letters than ASCII's, ends in a digest of them."""
    plain = re.sub(r"[^A-Za-z0-9._+-]+", "-", name)
    if not name.isascii():
        digest = sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:8]
        plain = f"{plain[: length - 9].rstrip('-')}-{digest}"
    return EVALUATIONS / plain[:length]


def library_versions(names: Iterable[str]) -> dict[str, str]:
    """Return the versions of prism, Python, and the installed packages of `names`."""
    versions = {"prism": __version__, "python": platform.python_version()}
    for name in names:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def typed_command(argv: Sequence[str]) -> list[str]:
    """Return `argv` without the options that decide no figure: output, display and resuming.

    Args:
        argv: arguments of the process; the first, the program, becomes `prism`.
    """
    kept = ["prism"]
    words = iter(argv[1:])
    for word in words:
        if word == "--":
            return [*kept, word, *words]
        if word in _TAKES_A_VALUE:
            next(words, None)
        elif short := _SHORT.fullmatch(word):
            if short["output"] == "o":
                next(words, None)
        elif word not in _FLAGS and word.partition("=")[0] not in _TAKES_A_VALUE:
            kept.append(word)
    return kept


def provenance(
    command: Sequence[str],
    config: Mapping[str, Any],
    versions: Mapping[str, str],
    files: Mapping[str, str],
    models: Mapping[str, str],
) -> dict[str, Any]:
    """Return what reproduces an evaluation.

    Args:
        command: see `typed_command`.
        files: name -> SHA-256, as hex.
        models: spec -> fingerprint.
    """
    return {
        "command": list(command),
        "config": dict(config),
        "versions": dict(versions),
        "files": dict(files),
        "models": dict(models),
    }


def publish(
    path: Path,
    kind: str,
    content: Mapping[str, Any],
    page: Page,
    announce: Callable[[Mapping[str, OutputRecord]], None],
    more: Mapping[str, bytes] | None = None,
) -> None:
    """Publish files of `more` by name, report.html, then metrics.json at `path`.

    Args:
        announce: called with the records of all files once they are written, before the first is
            published; if it raises, none is published.
    """
    metrics = {"schema": SCHEMA, "kind": kind, **content}
    data = orjson.dumps(metrics, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    files = {**(more or {}), REPORT: render_page(page), path.name: data}
    records: dict[str, OutputRecord] = {}
    with ExitStack() as stack:
        parts = []
        for name, data in files.items():
            parts.append(part := PartFile(path.with_name(name)))
            stack.callback(part.discard)
            part.write(data)
            part.finish()
            records |= {name: part.record} if part.record else {}
        announce(records)
        for part in parts:
            part.publish()


def has_no_figures(metrics: Mapping[str, Any]) -> bool:
    """Return whether a metrics.json, as earlier versions wrote it, covers no row."""
    if metrics["kind"] == "quality":
        return bool(metrics.get("pairs", {}).get("all") == 0)
    return bool(metrics["kind"] == "labels" and metrics["labels"].get("rows") == 0)


class _Part(dict[str, Any]):
    """Object in a metrics.json, which names its file where a key is missing."""

    def __init__(self, content: Mapping[str, Any], path: Path) -> None:
        super().__init__((name, _part(value, path)) for name, value in content.items())
        self._path = path

    def __missing__(self, name: str) -> Any:
        raise MissingDataError(
            f"{self._path}: damaged, or of an earlier version: it has no {name!r}; run the "
            "evaluation again"
        )


def _part(value: Any, path: Path) -> Any:
    if isinstance(value, list):
        return [_part(item, path) for item in value]
    return _Part(value, path) if isinstance(value, dict) else value


def read_metrics(path: Path) -> dict[str, Any]:
    """Return the content of a metrics.json; a part that it lacks raises MissingDataError, too.

    Raises:
        MissingDataError: the file is missing, is not a metrics.json, or has an unknown schema.
    """
    if not path.exists():
        raise MissingDataError(
            f"{path}: no such file; expected a finished evaluation, as `prism eval` makes it"
        )
    try:
        metrics = orjson.loads(read_text(path))
    except orjson.JSONDecodeError as error:
        raise MissingDataError(f"{path}: cannot be read: {error}") from None
    schema = metrics.get("schema") if isinstance(metrics, dict) else None
    if schema != SCHEMA or metrics.get("kind") not in KINDS:
        raise MissingDataError(
            f"{path}: schema: expected {SCHEMA!r}, found {schema!r}; run the evaluation again with "
            "this version of prism"
        )
    if not isinstance(metrics.get(metrics["kind"]), dict):
        raise MissingDataError(
            f"{path}: damaged: it has no `{metrics['kind']}`, the part with its figures; run the "
            "evaluation again"
        )
    return _Part(metrics, path)
