"""Finished evaluations of the exported model, found by its fingerprint."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prism_cli.domain.prompting import Profile
from prism_cli.errors import MissingDataError
from prism_cli.evaluation.metrics_file import EVALUATIONS, METRICS, read_metrics
from prism_cli.exporting.source import Source
from prism_cli.modeling.digests import cached_sha256

_Shape = dict[str, dict[str, type]]
"""Parts of metrics.json that a card reads: name -> key -> type."""
_OF_ALL: _Shape = {"provenance": {"command": list, "versions": dict, "models": dict}}
_OF_RANKING: _Shape = {"statistics": {"intervals": dict, "comparisons": list}, "runs": {}}


@dataclass(frozen=True)
class Evaluation:
    """A metrics.json.

    Attributes:
        name: of its folder.
        system: the model's name in it.
        made: how the model was run: type, device, tokens.
    """

    name: str
    system: str
    made: str
    sha256: str
    metrics: dict[str, Any]


def find_evaluations(source: Source, profile: Profile) -> list[Evaluation]:
    """Return the evaluations in runs/eval of the working directory, beside the run, and in it.

    An evaluation that is unfinished, damaged, of other weights or of another prompt is ignored.
    """
    evaluations = [
        evaluation
        for path in sorted(set(_places(source.run)))
        if (evaluation := _of_model(path, source.model.fingerprint, profile.hash)) is not None
    ]
    return sorted(evaluations, key=lambda evaluation: evaluation.name)


def _places(run: Path | None) -> Iterator[Path]:
    folders = [EVALUATIONS, *((run.parent / "eval", run, run / "eval") if run else ())]
    for folder in folders:
        for pattern in (METRICS, f"*/{METRICS}"):
            yield from (path.resolve() for path in folder.glob(pattern))


def _of_model(path: Path, fingerprint: str, profile_hash: str) -> Evaluation | None:
    try:
        metrics = read_metrics(path)
    except MissingDataError:
        return None
    if not _has_shape(metrics):
        return None
    for system, identity in metrics["provenance"]["models"].items():
        words = str(identity).split()
        if {fingerprint, profile_hash} <= set(words):
            hashes = (fingerprint, profile_hash)
            made = " ".join(w for w in words if w not in hashes and not w.startswith("tokenizer:"))
            return Evaluation(path.parent.name, system, made, cached_sha256(path), metrics)
    return None


def _has_shape(metrics: dict[str, Any]) -> bool:
    wanted = _OF_ALL | (_OF_RANKING if metrics["kind"] == "ranking" else {})
    return all(
        isinstance(part := metrics.get(name), dict)
        and all(isinstance(part.get(key), kind) for key, kind in kinds.items())
        for name, kinds in wanted.items()
    )
