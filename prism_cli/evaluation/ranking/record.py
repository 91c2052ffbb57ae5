"""Record of a ranking evaluation: its settings, files and models, for resuming and refusing."""

from collections.abc import Sequence
from pathlib import Path

from prism_cli.engine.job_record import job_record
from prism_cli.engine.jobs import Job
from prism_cli.evaluation.metrics_file import REPORT, library_versions
from prism_cli.evaluation.ranking.fusion import fit_source
from prism_cli.evaluation.ranking.plan import EvalModel, EvalOptions, EvalSet
from prism_cli.evaluation.ranking.reranking import WINDOW_PAIRS
from prism_cli.shards.manifest import manifest_path, read_manifest
from prism_cli.shards.run_record import RunRecord

PICTURE = "ndcg.svg"
_LIBRARIES = (
    "pytrec-eval-terrier",
    "bm25s",
    "PyStemmer",
    "scipy",
    "numpy",
    "torch",
    "transformers",
    "sentence-transformers",
    "peft",
)


def earlier_record(
    path: Path, sets: Sequence[EvalSet], models: Sequence[EvalModel], options: EvalOptions
) -> RunRecord:
    """Return the record of an earlier attempt, when some of the sets were not available."""
    previous = read_manifest(manifest_path(path))
    if previous and previous["figures"].get("missing_sets"):
        earlier = previous["config"].get("sets", ())
        sets = [dataset for dataset in sets if dataset.data.name in earlier]
    return eval_record(path, sets, models, options)


def eval_record(
    path: Path, sets: Sequence[EvalSet], models: Sequence[EvalModel], options: EvalOptions
) -> RunRecord:
    """Return the record of an evaluation, with all that decides its figures."""
    config = {
        **options.config,
        "limit": options.limit,
        "sets": [dataset.data.name for dataset in sets],
        "first_stages": [dataset.first_stage.fingerprint for dataset in sets],
        "model_fingerprints": {model.name: model.fingerprint for model in models},
    }
    if own := {model.name: model.fuse for model in models if model.fuse is not None}:
        config["own_fuse"] = own
    splits = [(dataset.data, options.split) for dataset in sets]
    if options.fit_fusion:
        for data, reported in splits[:]:
            source = fit_source(data.splits, reported, options.fit_on)
            splits += [(data, source)] if isinstance(source, str) else []
    files = list(dict.fromkeys(file for data, split in splits for file in data.files(split)))
    also = [path.with_name(REPORT), path.with_name(PICTURE)]
    record = job_record(Job([], {"": path}, path), "eval", config, files, also)
    record.manifest.versions = library_versions(_LIBRARIES)
    record.manifest.figures = {"missing_sets": sorted(options.missing)}
    if origins := {
        dataset.data.name: dataset.data.origin for dataset in sets if dataset.data.origin
    }:
        record.manifest.figures["fetched_from"] = origins
    record.manifest.batch_plan = {"window_pairs": WINDOW_PAIRS}
    return record
