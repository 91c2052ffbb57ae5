"""The run record of an exported folder, and the check that this command may replace it."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from prism_cli.domain.prompting import Profile
from prism_cli.errors import ChangedInputError, UsageError
from prism_cli.exporting.evaluations import Evaluation
from prism_cli.exporting.request import ExportRequest
from prism_cli.exporting.source import Source
from prism_cli.modeling.digests import cached_sha256
from prism_cli.shards.manifest import read_manifest
from prism_cli.shards.run_record import RunRecord

MANIFEST, SUMS, CARD = "manifest.json", "SHA256SUMS", "README.md"
_LIBRARIES = ("torch", "transformers", "peft", "tokenizers", "safetensors")


def output_of(request: ExportRequest, source: Source) -> Path:
    """Return the folder to write.

    Raises:
        UsageError: none is named and there is no run directory, or it is the model's own folder.
    """
    if request.output is None and source.run is None:
        raise UsageError(f"{request.spec}: not a run directory, so name the output folder with -o")
    output = request.output or Path(source.run or "") / "export"
    if output.resolve() in (source.model.path.resolve(), source.model.base.path.resolve()):
        raise UsageError(f"-o {output}: the model's own folder; name another")
    return output


def export_record(
    output: Path,
    request: ExportRequest,
    source: Source,
    profile: Profile,
    evaluations: Sequence[Evaluation],
    dtype: str,
) -> RunRecord:
    """Return the record of an export to `output`."""
    config = {
        "model": source.model.fingerprint,
        "profile": profile.name,
        "profile_hash": profile.hash,
        "dtype": dtype,
        "quantize": request.quantize,
        "evaluations": {evaluation.name: evaluation.sha256 for evaluation in evaluations},
    }
    return RunRecord(
        "export",
        config,
        output,
        output / MANIFEST,
        inputs=list(source.files()),
        outputs=[output],
        inputs_may_grow=False,
        libraries=_LIBRARIES,
    )


def finished_export(record: RunRecord, *, overwrite: bool) -> dict[str, Any] | None:
    """Return the manifest of the folder if this export is finished, else None; changes nothing.

    Raises:
        ChangedInputError: another command made it and --overwrite was not given, or it is not the
            output of an export.
    """
    output = record.record_path
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return None
    previous = read_manifest(record.path) if output.is_dir() else None
    if previous is None or previous["stage"] != record.stage:
        raise ChangedInputError(
            f"{output}: exists, and no `prism export` made it; it was left as it is. Name another "
            "output with -o"
        )
    if overwrite:
        return None
    finished = record.finished()
    if finished and (changed := _changed_files(output)):
        raise ChangedInputError(
            f"{output}: changed since its export: {', '.join(changed)}; it was left as it is. Name "
            "another output with -o, or replace it with --overwrite"
        )
    return finished


def write_sums(folder: Path) -> None:
    """Write SHA256SUMS of all other files, for `sha256sum -c`."""
    lines = [f"{cached_sha256(folder / name)}  {name}\n" for name in _files(folder)]
    (folder / SUMS).write_text("".join(lines), encoding="utf-8")


def _files(folder: Path) -> list[str]:
    names = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(str(name) for name in names if str(name) != SUMS)


def _changed_files(folder: Path) -> list[str]:
    """Return the files that differ from SHA256SUMS; the card may be edited."""
    return [name for name in _mismatches(folder) if name != CARD]


def _mismatches(folder: Path) -> Iterator[str]:
    sums = folder / SUMS
    if not sums.is_file():
        yield SUMS
        return
    for line in sums.read_text(encoding="utf-8").splitlines():
        digest, _, name = line.partition("  ")
        path = folder / name
        if not path.is_file() or cached_sha256(path) != digest:
            yield name
